package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// refuses waits until a worker reports that the ledger cannot be relied on.
func (b *rig) refuses(w *worker) {
	b.t.Helper()
	b.eventually("the worker says that it claims nothing", func() bool { return strings.Contains(w.log.String(), "run `backhaul recover`") })
	if _, ok := errors.AsType[*consumer.LedgerError](w.consumer.Ledger()); !ok {
		b.t.Errorf("the condition is %v, want a LedgerError", w.consumer.Ledger())
	}
}

// recover accepts the ledger as it is.
func (b *rig) recover() consumer.Recovered {
	b.t.Helper()
	found, err := consumer.Recover(b.within(patience), b.js.Conn(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// edit changes the settings of the events stream.
func (b *rig) edit(change func(*jetstream.StreamConfig)) {
	b.t.Helper()
	ctx := b.within(patience)
	events, err := b.js.Stream(ctx, publisher.EventsStream)
	if err == nil {
		cfg := events.CachedInfo().Config
		change(&cfg)
		_, err = b.js.UpdateStream(ctx, cfg)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// The ledger is deleted and set up again during a call: the job is not announced in the new
// ledger, the request is in doubt, and Recover leads to its job. Nothing is sent twice.
func TestALedgerThatIsMadeAgainDuringACall(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("id"))
	w := b.start(func(s *setup) {
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				job, n, err := v.Submit(ctx, waits, task, permit)
				b.remake(publisher.EventsStream)
				return job, n, err
			}}
		}
	})
	b.refuses(w)
	b.publish("billing", body("id")) // a copy, and something else
	b.publish("billing", body("other"))
	b.eventually("the request is in doubt", func() bool {
		history := b.history(billing("id"))
		if len(history) == 0 {
			return false
		}
		claim, ok := history[len(history)-1].data.(*schemas.JobSubmitting)
		return ok && claim.DoubtSequence > 0 && claim.LeaseMillis == 0
	})
	two := b.start(owner("two")) // one that starts now knows it as well
	b.refuses(two)
	b.checkCalls(1)
	w.drain()
	if found := b.recover(); found.Forgot == "" || found.Waiting != 3 {
		t.Errorf("%+v", found)
	}
	b.settled()
	if e := b.started(billing("id")); !e.Adopted {
		t.Error("the job was not adopted")
	}
	b.checkPromise(2)
}

// A ledger that is made again between two requests is noticed at the next write or before.
func TestALedgerThatIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		running, kept bool
	}{
		"while a replica runs":                      {true, true},
		"while none runs":                           {false, true},
		"while a replica runs, and no mark is kept": {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			if !c.kept {
				if err := b.js.DeleteStream(b.within(patience), publisher.MarkStream); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range []string{"one", "two", "three"} {
				b.publish("billing", body(id))
			}
			w := b.start()
			b.settled()
			if kept := w.consumer.Ledger() == nil; kept != c.kept {
				t.Errorf("the condition is %v", w.consumer.Ledger())
			}
			if !c.running {
				w.drain()
			}
			b.remake(publisher.EventsStream)
			b.publish("billing", body("one"))
			if !c.running {
				w = b.start()
			}
			b.refuses(w)
			if err := w.consumer.Ready(); err != nil && c.running {
				t.Errorf("not ready: %v; no other replica would claim either", err)
			}
			b.checkCalls(3)
			b.recover()
			if !c.kept { // it cannot know that the ledger was accepted
				w.drain()
				b.start()
			}
			b.settled()
			if e, ok := b.lastEvent(billing("one")).(*schemas.JobStarted); c.kept && (!ok || !e.Adopted) {
				t.Errorf("the outcome is %+v, want the job that was there", b.lastEvent(billing("one")))
			}
			if got := b.sim.Account().CreateTaskCalls; c.kept && got != 3 {
				t.Errorf("%d calls of CreateTask, want 3", got)
			}
		})
	}
}

// A stream whose settings remove events is not relied on, and a removed event does not count
// as never written.
func TestAStreamThatForgets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*jetstream.StreamConfig)
		loses  bool
	}{
		"max_msgs, none lost":              {func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 }, false},
		"max_msgs":                         {func(c *jetstream.StreamConfig) { c.MaxMsgs = 2 }, true},
		"max_bytes":                        {func(c *jetstream.StreamConfig) { c.MaxBytes = 1500 }, true},
		"max_msgs_per_subject":             {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }, false},
		"max_age":                          {func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, false},
		"max_age that takes what is there": {func(c *jetstream.StreamConfig) { c.MaxAge, c.Duplicates = 100*time.Millisecond, 100*time.Millisecond }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			for _, id := range []string{"one", "two", "three"} {
				b.publish("billing", body(id))
			}
			w := b.start()
			b.settled()
			var before jetstream.StreamConfig
			b.edit(func(cfg *jetstream.StreamConfig) {
				before = *cfg
				c.change(cfg)
			})
			b.refuses(w)
			b.publish("billing", body("four"))
			b.edit(func(cfg *jetstream.StreamConfig) { *cfg = before })
			if c.loses {
				b.eventually("the loss is known", func() bool { return strings.Contains(w.log.String(), "begins at sequence") })
				b.recover()
			}
			b.settled()
			if jobs := b.sim.Account().JobsByMarker[billing("four").Marker()]; len(jobs) != 1 {
				t.Errorf("jobs %v, want one", jobs)
			}
		})
	}
}

// A damaged block on the server's disk that the server's state does not show after a kill: the
// server loses the rest of the ledger without an error.
func TestADamagedBlock(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	for _, id := range []string{"one", "two", "three", "four"} {
		b.publish("billing", body(id))
	}
	w := b.start()
	b.settled()
	b.eventually("what was written is kept", func() bool { return b.mark().Last == 8 })
	b.nats.Stop()
	dir := filepath.Join(b.nats.StoreDir(), "jetstream", "$G", "streams", publisher.EventsStream, "msgs")
	if err := os.Remove(filepath.Join(dir, "index.db")); err != nil {
		t.Fatal(err)
	}
	block := filepath.Join(dir, "1.blk")
	data, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte(billing("three").Subject(schemas.KindJobSubmitting)))
	data[at] ^= 1
	if err := os.WriteFile(block, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b.nats.Restart()
	b.publishSoon("billing", body("three"))
	b.refuses(w)
	b.checkCalls(4)
	b.recover()
	b.settled()
	if jobs := b.sim.Account().JobsByMarker[billing("three").Marker()]; len(jobs) != 1 {
		t.Errorf("jobs %v, want one", jobs)
	}
}

// publishSoon publishes while the server may be restarting.
func (b *rig) publishSoon(source, data string) {
	b.t.Helper()
	b.eventually("the server takes a request", func() bool {
		_, err := b.js.PublishMsg(b.within(time.Second), &nats.Msg{Subject: "backup.request." + source, Data: []byte(data)})
		return err == nil
	})
}

// mark returns the mark of the ledger.
func (b *rig) mark() publisher.Mark {
	b.t.Helper()
	marks := natstest.Stream(b.t, b.js, publisher.MarkStream)
	mark, _, err := publisher.ReadMark(b.within(patience), marks)
	if err != nil {
		b.t.Fatal(err)
	}
	return mark
}
