package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// The server delivers no more before some are acknowledged: then the largest windows end.
func TestTrigger_asksWhenAllThatMayBePendingIs(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *jetstream.StreamConfig, cfg *jetstream.ConsumerConfig) {
		if cfg != nil && cfg.Durable == publisher.StorageConsumer {
			cfg.MaxAckPending = 3
		}
	})
	for n := range 7 {
		b.publish(put("a", fmt.Sprint(n)))
	}
	b.run(routesFor("quiet: 1h, max: 2h", "a"))
	b.requested(2)
	b.exactlyOnce([]string{"/a/0", "/a/1", "/a/2", "/a/3", "/a/4", "/a/5"})
}

// A server that is silent counts as gone, whatever the state of its connection.
func TestTrigger_saysThatTheServerIsSilent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	proxy := natstest.StartProxy(t, b.nats)
	silent := proxy.Once("PUB "+publisher.StateSubject, natstest.Deafen)
	w := b.start(routesFor("quiet: 1h, max: 2h", "a"), proxy.Connect(t))
	b.wait("it reads", silent)
	b.eventually("it says so", func() bool { err := w.Ready(); return err != nil && strings.Contains(err.Error(), "no heartbeat") })
	proxy.Cut(false)
	b.eventually("it reads again", func() bool { return w.Ready() == nil })
}

// A header that a client writes is not a status of the server.
func TestTrigger_believesNoHeaderOfAMessage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var want []string
	for _, status := range []string{"100", "408", "409", "503"} {
		msg := &nats.Msg{Subject: "storage.event.minio", Data: []byte(put("a", status)), Header: nats.Header{
			"Status": {status}, "Description": {"Consumer Deleted"}, "Nats-Pending-Messages": {"1000"},
		}}
		if _, err := b.js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
		want = append(want, "/a/"+status)
	}
	b.run(routesFor(soon, "a"))
	b.settled()
	b.exactlyOnce(want)
}

func TestTrigger_saysThatItsConsumerIsPaused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publish(put("a", "1"))
	if _, err := b.js.PauseConsumer(t.Context(), publisher.StorageStream, publisher.StorageConsumer, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	w := b.run(routesFor(soon, "a"))
	b.eventually("it says so", func() bool { err := w.Ready(); return err != nil && strings.Contains(err.Error(), "paused") })
	if _, err := b.js.ResumeConsumer(t.Context(), publisher.StorageStream, publisher.StorageConsumer); err != nil {
		t.Fatal(err)
	}
	b.settled()
	b.exactlyOnce([]string{"/a/1"})
}

// heldStore is a store that writes nothing before it is released.
type heldStore struct {
	Store
	arrived, release chan struct{}

	mu              sync.Mutex
	writing, atOnce int
}

func (s *heldStore) Put(ctx context.Context, container, name string, data []byte) error {
	s.mu.Lock()
	s.writing++
	s.atOnce = max(s.atOnce, s.writing)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.writing--
	}()
	select {
	case s.arrived <- struct{}{}:
	default:
	}
	select {
	case <-s.release:
		return s.Store.Put(ctx, container, name, data)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bench) holdStore(arrivals int) *heldStore {
	held := &heldStore{Store: b.store, arrived: make(chan struct{}, arrivals), release: make(chan struct{})}
	b.store = held
	return held
}

// unread waits until no pull is open: a reader was asked to stop.
func (b *bench) unread() {
	b.Helper()
	b.eventually("no pull is open", func() bool {
		c, err := b.js.Consumer(b.Context(), publisher.StorageStream, publisher.StorageConsumer)
		return err == nil && c.CachedInfo().NumWaiting == 0
	})
}

func TestTrigger_aStopWaitsForRequestsOnTheirWay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	held := b.holdStore(1)
	b.publish(put("a", "1"))
	w := b.run(routesFor(soon, "a"))
	b.wait("its file is written", held.arrived)
	w.stop()
	b.unread()
	close(held.release)
	b.wait("it has stopped", w.done)
	b.exactlyOnce([]string{"/a/1"})
	b.settled()
}

// The one that is given up is not asked for in another way.
func TestTrigger_aStopHasAnEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	held := b.holdStore(1)
	defer close(held.release)
	b.publish(put("a", "1"))
	w := b.run(routesFor(soon, "a"), func(cfg *Config) { cfg.DrainTimeout = time.Millisecond })
	b.wait("its file is written", held.arrived)
	w.stop()
	b.wait("it has stopped", w.done)
	if n := len(b.stored(publisher.WindowsStream)) + len(b.requests()); n != 0 {
		t.Error("what a stop gave up was decided")
	}
	if text := b.log.String(); strings.Contains(text, "plain incremental") {
		t.Errorf("the log is %s", text)
	}
}

// However many windows end, a few requests are on their way, and all are made.
func TestTrigger_boundsRequestsOnTheirWay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	held := b.holdStore(maxFlights)
	var groups, want []string
	for n := range 2 * maxFlights {
		group := fmt.Sprint("g", n)
		b.publish(put(group, "1"))
		groups, want = append(groups, group), append(want, "/"+group+"/1")
	}
	w := b.run(routesFor(soon, groups...))
	b.eventually("all that may be are on their way", func() bool { return len(held.arrived) == maxFlights })
	b.eventually("all windows have ended", func() bool { return w.State().Windows == 2*maxFlights })
	close(held.release)
	b.settled()
	b.exactlyOnce(want)
	if held.atOnce != maxFlights {
		t.Errorf("%d were on their way at once, want %d", held.atOnce, maxFlights)
	}
}

// A notification that cannot be understood stays where it is until it is kept elsewhere.
func TestTrigger_keepsWhatCannotBeSetAside(t *testing.T) {
	t.Parallel()
	b := newBench(t, full(publisher.DeadLetterStream))
	w := b.run(routesFor(soon, "a"))
	b.publish("broken")
	b.eventually("it says so, or lets it go", func() bool { return w.DeadLetters() != nil && w.Ready() != nil || b.pending() == 0 })
	if n := b.pending(); n != 1 {
		t.Fatalf("%d notifications are left, want 1", n)
	}
	b.limit(publisher.DeadLetterStream, -1)
	b.settled()
	if n := len(b.stored(publisher.DeadLetterStream)); n == 0 {
		t.Error("no dead letter")
	}
}

// The request of an earlier reader has to be stored before its notifications are let go.
func TestACrashBeforeTheRequestCanBeStored(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	proxy := natstest.StartProxy(t, b.nats)
	here := proxy.Once("HPUB backup.request.", natstest.Swallow)
	b.publish(put("a", "1"), put("a", "2"))
	first := b.start(routesFor(soon, "a"), proxy.Connect(t), func(cfg *Config) { cfg.DrainTimeout = time.Millisecond })
	b.wait("it has decided", here)
	first.kill()
	b.limit(publisher.RequestsStream, 100)
	w := b.run(routesFor(soon, "a"))
	b.eventually("it says so, or lets them go", func() bool { return w.Writable() != nil && w.Ready() != nil || b.pending() == 0 })
	if n := b.pending(); n != 2 {
		t.Fatalf("%d notifications are left, want 2", n)
	}
	b.limit(publisher.RequestsStream, -1)
	b.settled()
	b.exactlyOnce([]string{"/a/1", "/a/2"})
	if n := strings.Count(b.log.String(), "published again"); n != 1 {
		t.Errorf("the request was published again %d times, want once", n)
	}
}

// record writes a group's decision as a reader would.
func (b *bench) record(group string, d decision) {
	b.Helper()
	pub, err := publisher.New(b.nc)
	if err != nil {
		b.Fatal(err)
	}
	data, err := json.Marshal(d)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := pub.RecordWindow(b.Context(), group, 0, data); err != nil {
		b.Fatal(err)
	}
}

// An earlier version's decisions have no mark of the routes, and count.
func TestDecision_ofAnEarlierVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	routes := routesFor(soon, "a")
	group := parse(t, routes).All()[0].Group().key()
	b.publish(put("a", "1"))
	b.record(group, decision{Group: group, First: 1, Last: 1, Stored: time.Now().Add(time.Hour), Nonce: "n"})
	b.publish(put("a", "2"))
	b.run(routes)
	b.settled()
	b.exactlyOnce([]string{"/a/2"})
}

// A decision about another group is not used for this one.
func TestDecision_ofAnotherGroup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	routes := routesFor(soon, "a")
	group := parse(t, routes).All()[0].Group().key()
	b.record(group, decision{Group: "another", First: 1, Last: 1, Stored: time.Now().Add(time.Hour), Nonce: "n"})
	b.publish(put("a", "1"))
	w := b.run(routes)
	b.eventually("it says so, or lets it go", func() bool {
		err := w.Ready()
		return err != nil && strings.Contains(err.Error(), `decides about "another"`) || b.pending() == 0
	})
	if n := b.pending(); n != 1 {
		t.Errorf("%d notifications are left, want 1", n)
	}
}

// One of several readers decides, and knows its own write when it makes it again.
func TestDecision_write(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	decisions := b.session(routesFor(soon, "a")).trigger.decisions
	own := decision{Group: "g", First: 1, Last: 2, Nonce: "own"}
	first, err := decisions.write(t.Context(), own, 0)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := decisions.write(t.Context(), own, 0); err != nil || again != first {
		t.Errorf("its own, again: %d, %v, want %d", again, err, first)
	}
	if _, err := decisions.write(t.Context(), decision{Group: "g", First: 1, Last: 3, Nonce: "other"}, 0); !errors.Is(err, publisher.ErrConflict) {
		t.Errorf("another's: %v", err)
	}
	if d, sequence, err := decisions.read(t.Context(), "g"); err != nil || d.Nonce != "own" || sequence != first {
		t.Errorf("%+v is kept at %d, %v", d, sequence, err)
	}
}

func TestDecision_covers(t *testing.T) {
	at := time.Now()
	d := decision{First: 3, Last: 5, Stored: at}
	for _, c := range []struct {
		sequence uint64
		stored   time.Time
		want     bool
	}{{5, at, true}, {2, at.Add(-time.Hour), true}, {6, at, false}, {6, at.Add(-time.Hour), false}, {5, at.Add(1), false}, {1, at.Add(1), false}} {
		if got := d.covers(&message{sequence: c.sequence, stored: c.stored}); got != c.want {
			t.Errorf("message %d of %s: covered %t, want %t", c.sequence, c.stored.Sub(at), got, c.want)
		}
	}
}
