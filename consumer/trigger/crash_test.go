package trigger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// A crash at every place where one can make a difference. The first reader's
// connection is broken there and it is killed; meanwhile more changes come, so
// that the second would cut the window in another place. Each change has to be
// part of exactly one request.
func TestACrashAtEveryStep(t *testing.T) {
	t.Parallel()
	const (
		record     = "HPUB storage.window."
		request    = "HPUB backup.request."
		deadLetter = "HPUB backup.dlq."
		ack        = "PUB $JS.ACK."
	)
	for name, test := range map[string]struct {
		op     string
		action natstest.Action
		first  int // changes in the request that the first reader asked for, 0 if it did not
	}{
		"reset":                   {"CONSUMER.RESET", natstest.Deafen, 0},
		"dead letter":             {deadLetter, natstest.Swallow, 0},
		"dead letter, unseen":     {deadLetter, natstest.Deafen, 0},
		"directive":               {record, natstest.Swallow, 0},
		"record, unacknowledged":  {record, natstest.Deafen, 2},
		"record":                  {request, natstest.Swallow, 2},
		"request, unacknowledged": {request, natstest.Deafen, 2},
		"request":                 {ack, natstest.Swallow, 2},
		"acks, unseen":            {ack, natstest.Deafen, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			proxy := natstest.StartProxy(t, b.nats)
			here := proxy.Once(test.op, test.action)
			if test.op == ack { // the broken dead letter's own comes first
				here = second(proxy, ack, test.action)
			}
			b.publish("broken", put("a", "1"), put("a", "2"))
			routes := routesFor("quiet: 300ms, max: 5s", "a")
			first := b.start(routes, proxy.Connect(t), func(cfg *Config) { cfg.DrainTimeout = 100 * time.Millisecond })
			b.wait("the first reader comes to the step", here)
			if test.action == natstest.Deafen {
				b.eventually("what was sent has arrived", func() bool {
					switch test.op {
					case record:
						return len(b.stored(publisher.WindowsStream)) == 1
					case request:
						return len(b.requests()) == 1
					case deadLetter:
						return len(b.stored(publisher.DeadLetterStream)) == 1
					}
					return true
				})
			}
			first.kill()
			b.publish(put("a", "3"))

			b.run(routes)
			b.settled()
			b.exactlyOnce([]string{"/a/1", "/a/2", "/a/3"})
			if deadLetters := len(b.stored(publisher.DeadLetterStream)); deadLetters != 1 {
				t.Errorf("%d dead letters, want 1", deadLetters)
			}
			want := []string{"3"}
			if test.first > 0 {
				want = []string{fmt.Sprint(test.first), "1"}
			}
			var sizes []string
			for _, req := range b.requests() {
				sizes = append(sizes, req.Labels[LabelChanges])
			}
			if !slices.Equal(sizes, want) {
				t.Errorf("the requests have %v changes, want %v", sizes, want)
			}
		})
	}
}

// second is Once for the second message.
func second(p *natstest.Proxy, text string, action natstest.Action) <-chan struct{} {
	met, n := make(chan struct{}), 0
	p.On(func(op string) natstest.Action {
		if !strings.Contains(op, text) {
			return natstest.Forward
		}
		if n++; n != 2 {
			return natstest.Forward
		}
		close(met)
		return action
	})
	return met
}

// A window in which everything was cancelled is decided as well: its creation
// must not come back without its deletion.
func TestACrashWhileNothingIsAskedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	proxy := natstest.StartProxy(t, b.nats)
	here := second(proxy, "PUB $JS.ACK.", natstest.Swallow)
	first := b.start(routesFor("quiet: 300ms", "a"), proxy.Connect(t))
	b.publish(removed("a", "other"), removed("a", "x"), put("a", "x"), removed("a", "x"))
	b.wait("it lets go", here)
	first.kill()
	b.run(routesFor("quiet: 300ms", "a"))
	b.settled()
	if got := b.requests(); len(got) != 0 {
		t.Errorf("%d requests, want none", len(got))
	}
}

// The reader is cut off with its window still open, and another has taken over
// when it comes back: its windows are not requested again.
func TestAFrozenReader(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	proxy := natstest.StartProxy(t, b.nats)
	frozen := make(chan struct{})
	released := make(chan struct{})
	once := false
	// The record of the first reader is on its way for as long as the second needs.
	proxy.On(func(op string) natstest.Action {
		if strings.Contains(op, "HPUB storage.window.") && !once {
			once = true
			close(frozen)
			<-released
		}
		return natstest.Forward
	})
	routes := routesFor("quiet: 300ms", "a")
	b.start(routes, proxy.Connect(t))
	b.publish(put("a", "1"), put("a", "2"))
	b.wait("the first reader decides", frozen)
	b.run(routes)
	b.publish(put("a", "3"))
	b.requested(1)
	close(released)
	b.publish(put("a", "4"))
	b.settled()
	b.exactlyOnce([]string{"/a/1", "/a/2", "/a/3", "/a/4"})
}

// The PubAck of a record is lost, the process lives: it knows its own write.
func TestALostAcknowledgementOfARecord(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	proxy := natstest.StartProxy(t, b.nats)
	lost := proxy.Once("HPUB storage.window.", natstest.Deafen)
	b.start(routesFor("quiet: 300ms", "a"), proxy.Connect(t))
	b.publish(put("a", "1"))
	b.wait("the record is on its way", lost)
	b.eventually("it is stored", func() bool { return len(b.stored(publisher.WindowsStream)) == 1 })
	proxy.Cut(false)
	b.settled()
	b.exactlyOnce([]string{"/a/1"})
}

// A restart in the middle of a window begins no new one: nothing is lost, and
// there is one request.
func TestARestartInTheMiddleOfAWindow(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*worker){"killed": (*worker).kill, "drained": (*worker).drain} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			long := routesFor("quiet: 1h, max: 1h", "a")
			first := b.run(long)
			b.publish(put("a", "1"), put("a", "2"))
			b.eventually("both are held", func() bool { return first.State().Notifications == 2 })
			end(first)
			if s, err := first.State(), first.ready.Err(); s.Reading || s.Notifications != 0 || !errors.Is(err, reader.ErrStopping) {
				t.Errorf("stopped, the state is %+v, ready: %v", s, err)
			}
			if got := b.requests(); len(got) != 0 {
				t.Fatalf("%d requests", len(got))
			}
			b.publish(put("a", "3"))
			w := b.run(long)
			b.eventually("all are held", func() bool { return w.State().Notifications == 3 })
			if s := w.State(); !s.Reading || s.Windows != 1 || s.Changes != 3 || s.Oldest.IsZero() {
				t.Errorf("the state is %+v", s)
			}
			w.drain()
			b.run(routesFor("quiet: 3s", "a"))
			b.settled()
			b.exactlyOnce([]string{"/a/1", "/a/2", "/a/3"})
			if n := len(b.requests()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

// Two replicas: one reads, the other takes over when it is gone.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	routes := routesFor("quiet: 200ms", "a", "b")
	one := b.run(routes)
	b.eventually("the first reads", func() bool { return one.State().Reading })
	two := b.run(routes)
	b.eventually("the second stands by", func() bool { return two.Ready() == nil })
	var want []string
	for n := range 40 {
		b.publish(put("a", fmt.Sprint(n)), put("b", fmt.Sprint(n)))
		want = append(want, fmt.Sprint("/a/", n), fmt.Sprint("/b/", n))
		if n == 20 {
			if two.State().Reading {
				t.Error("both read")
			}
			one.kill()
		}
	}
	b.settled()
	b.eventually("the second reads", func() bool { return two.State().Reading })
	b.exactlyOnce(want)
}

// The server dies and comes back, with what it remembers.
func TestTheServerRestarts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.run(routesFor("quiet: 500ms", "a"))
	b.publish(put("a", "1"), put("a", "2"))
	b.nats.Stop()
	b.eventually("it says so", func() bool {
		err := w.Ready()
		return err != nil && strings.Contains(err.Error(), "NATS is not connected")
	})
	b.nats.Restart()
	b.eventually("the server answers", func() bool {
		_, err := b.js.Publish(t.Context(), "storage.event.minio", []byte(put("a", "3")))
		return err == nil
	})
	b.settled()
	b.exactlyOnce([]string{"/a/1", "/a/2", "/a/3"})
}

// A message that is delivered again because its acknowledgement was late is the
// same message.
func TestRedeliveries(t *testing.T) {
	t.Parallel()
	b := newBench(t, natstest.AckWait(time.Second))
	w := b.run(routesFor("quiet: 3s", "a"))
	b.publish(put("a", "1"), put("a", "2"))
	b.eventually("both are held", func() bool { return w.State().Notifications == 2 })
	b.settled()
	b.exactlyOnce([]string{"/a/1", "/a/2"})
	if req := b.requests()[0]; req.Labels[LabelChanges] != "2" || req.BackupLevel != schemas.LevelIncremental {
		t.Errorf("the request is %s", req.JSON())
	}
}

// Streams that were lost and restored from snapshots. What was decided after that of
// the notifications, and is known, is not asked for again; what is not known is, by
// one request of each content group.
func TestRestoredStreams(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		restored []string
		want     []string // in the lists of all requests, in addition to the first four
	}{
		"notifications":               {[]string{publisher.StorageStream}, []string{"/a/5"}},
		"notifications and decisions": {[]string{publisher.StorageStream, publisher.WindowsStream}, []string{"/a/1", "/a/2", "/a/3", "/a/4", "/a/5"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			routes := routesFor("quiet: 500ms, maxPaths: 2", "a")
			b.publish(put("a", "1"), put("a", "2"), put("a", "3"), put("a", "4"))
			var kept []*natstest.Snapshot
			for _, stream := range test.restored {
				kept = append(kept, natstest.TakeSnapshot(t, b.nc, stream))
			}
			first := b.run(routes)
			b.settled()
			b.exactlyOnce([]string{"/a/1", "/a/2", "/a/3", "/a/4"})
			first.drain()
			for i, stream := range test.restored {
				if err := b.js.DeleteStream(t.Context(), stream); err != nil {
					t.Fatal(err)
				}
				kept[i].Restore(t, b.nc)
			}
			b.publish(put("a", "5"))
			b.run(routesFor("quiet: 500ms", "a"))
			b.settled()
			b.exactlyOnce(append(test.want, "/a/1", "/a/2", "/a/3", "/a/4"))
			if n := len(b.requests()); n != 3 {
				t.Errorf("%d requests, want one more than the two before", n)
			}
		})
	}
}
