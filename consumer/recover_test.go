package consumer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// disaster is a sequence of events around two snapshots, of which that of the ledger is too old
// to have the last ones. At its end the streams are restored, and publishers have sent again
// what may be lost.
func (b *rig) disaster(eventsFirst bool) {
	b.t.Helper()
	nc := b.js.Conn()
	work := func() {
		b.t.Helper()
		w := b.start()
		b.settled()
		w.drain()
	}
	b.publish("billing", body("before"))
	work()
	b.publish("billing", body("done-1"))
	b.publish("billing", body("released"))
	snapshots := []*natstest.Snapshot{nil, nil}
	take := func(i int) {
		stream := publisher.RequestsStream
		if i == 0 == eventsFirst {
			stream = publisher.EventsStream
		}
		snapshots[i] = natstest.TakeSnapshot(b.t, nc, stream)
	}
	b.release("released")
	take(0)
	work() // done-1 is done between the snapshots
	b.publish("billing", body("done-2"))
	b.publish("billing", body("")) // has no id: no publisher can send it again
	take(1)
	work()
	b.publish("billing", body("done-3"))
	work()
	for _, stream := range []string{publisher.RequestsStream, publisher.EventsStream} {
		if err := b.js.DeleteStream(b.within(patience), stream); err != nil {
			b.t.Fatal(err)
		}
	}
	for _, s := range snapshots {
		s.Restore(b.t, nc)
	}
	for _, id := range []string{"before", "done-1", "done-2", "done-3", "new"} {
		b.publish("billing", body(id))
	}
}

// release writes the released claim of a request that was not sent, as a drain does.
func (b *rig) release(id string) {
	b.t.Helper()
	m, err := schemas.DecodeRequest(nil, []byte(body(id)))
	if err != nil {
		b.t.Fatal(err)
	}
	pub, err := publisher.New(b.js.Conn())
	if err != nil {
		b.t.Fatal(err)
	}
	key := billing(id)
	_, err = pub.Append(b.within(patience), key, 0, &schemas.JobSubmitting{
		RequestID: id, Source: key.Source, Request: m.Request,
		Message: schemas.Message{RequestedAt: time.Now().UTC(), PayloadHash: m.Request.Hash()},
		Claim:   schemas.Claim{Owner: "drained", Nonce: "n", Epoch: 1},
	}, "")
	if err != nil {
		b.t.Fatal(err)
	}
}

// Without Recover an older ledger leads to second jobs. After Recover it does not, whatever the
// order of the snapshots, and also after an interruption.
func TestRecover(t *testing.T) {
	t.Parallel()
	for name, eventsFirst := range map[string]bool{"events first": true, "requests first": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			b.disaster(eventsFirst)
			before := b.sim.Account().JobsStarted
			if before != 6 {
				t.Fatalf("%d jobs before the disaster, want 6", before)
			}
			found, err := consumer.Recover(b.within(patience), b.js.Conn(), nil)
			if err != nil || found.Doubted == 0 || found.Known == 0 || found.Waiting != found.Doubted+found.Known || found.Since.IsZero() || found.Forgot == "" {
				t.Fatalf("%+v, %v", found, err)
			}
			for _, e := range b.lastClaims() { // since it was stored: no event shows what was forgotten
				if c := e.data.(*schemas.JobSubmitting); c.Owner == "recover" && c.DoubtSequence != 1<<53-1 {
					t.Errorf("%s is in doubt since event %d of a ledger that forgot", e.key, c.DoubtSequence)
				}
			}
			again, err := consumer.Recover(b.within(patience), b.js.Conn(), nil)
			if err != nil || again.Doubted != 0 || again.Known != found.Waiting || again.Forgot != "" {
				t.Errorf("again: %+v, %v", again, err)
			}
			b.start()
			b.settled()
			for _, id := range []string{"before", "done-1", "done-2", "done-3", "released", "new"} {
				if jobs := b.sim.Account().JobsByMarker[billing(id).Marker()]; len(jobs) != 1 {
					t.Errorf("%s: jobs %v, want one", id, jobs)
				}
			}
			if e := b.started(billing("done-3")); !e.Adopted {
				t.Error("the job of a request that was sent again was not adopted")
			}
			if got := b.sim.Account().JobsStarted; got != before+1 {
				t.Errorf("%d jobs, want one more than %d", got, before)
			}
		})
	}
	t.Run("without", func(t *testing.T) {
		t.Parallel()
		b := newRig(t, simulator.Config{})
		b.disaster(true)
		before, waiting := b.sim.Account().JobsStarted, b.queued()
		w := b.start()
		b.refuses(w)
		if got := b.sim.Account().JobsStarted; got != before || b.queued() != waiting {
			t.Errorf("%d jobs, want %d: the ledger is not the one that is known", got, before)
		}
		if _, err := consumer.Recover(b.within(patience), b.js.Conn(), nil); err != nil {
			t.Fatal(err)
		}
		b.settled() // by the replica that was running all the while
		if got := b.sim.Account().JobsStarted; got != before+1 {
			t.Errorf("%d jobs, want one more than %d", got, before)
		}
	})
}

// Requests that are older than the ledger have their outcomes on record.
func TestOldRequestsBehindANewLedger(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	for _, id := range []string{"one", "two", ""} {
		b.publish("billing", body(id))
	}
	old := natstest.TakeSnapshot(t, b.js.Conn(), publisher.RequestsStream)
	w := b.start()
	b.settled()
	w.drain()
	if err := b.js.DeleteStream(b.within(patience), publisher.RequestsStream); err != nil {
		t.Fatal(err)
	}
	old.Restore(t, b.js.Conn())
	if b.queued() != 3 {
		t.Fatalf("%d requests were restored, want 3", b.queued())
	}
	b.start()
	b.settled()
	b.checkPromise(3)
}

// A ledger without any event, and a policy.
func TestRecoverWithoutALedger(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("done"))
	b.publish("billing", body("invalid", `"typo":1`))
	b.publish("crm", body("denied"))
	nc := b.js.Conn()
	requests := natstest.TakeSnapshot(t, nc, publisher.RequestsStream)
	events := natstest.TakeSnapshot(t, nc, publisher.EventsStream)
	policy := onlyBilling{}
	withPolicy := func(s *setup) { s.cfg.Policy = policy }
	w := b.start(withPolicy)
	b.settled()
	w.drain()
	for _, stream := range []string{publisher.RequestsStream, publisher.EventsStream} {
		if err := b.js.DeleteStream(b.within(patience), stream); err != nil {
			t.Fatal(err)
		}
	}
	events.Restore(t, nc)
	requests.Restore(t, nc)
	for range 2 {
		found, err := consumer.Recover(b.within(patience), nc, policy)
		if err != nil || found.Waiting != 3 || found.Doubted+found.Known != 1 || found.Refused != 2 || !found.Since.IsZero() {
			t.Fatalf("%+v, %v", found, err)
		}
	}
	b.start(withPolicy)
	b.settled()
	if e := b.started(billing("done")); !e.Adopted {
		t.Error("the job was not adopted")
	}
	if e := b.failed(publisher.NewKey("crm", "denied")); e.ErrorCode != schemas.CodeNotAllowed {
		t.Errorf("job-failed is %+v", e)
	}
	b.checkPromise(1)
}

type onlyBilling struct{}

func (onlyBilling) Allows(_ context.Context, key publisher.Key, _ *schemas.BackupRequest, _ time.Time) error {
	if key.Source != "billing" {
		return &consumer.DeniedError{Reason: "not billing"}
	}
	return nil
}

// A ledger whose limit still removes events is not accepted.
func TestRecover_refusesALedgerThatForgets(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("one"))
	b.edit(func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 })
	const says = "correct the stream first: stream BACKUP_EVENTS has max_msgs 1000 and forgets events of requests: set it to -1"
	if found, err := consumer.Recover(b.within(patience), b.js.Conn(), nil); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%+v, %v, want %q", found, err, says)
	}
	if claims := b.lastClaims(); len(claims) != 0 {
		t.Errorf("%d claims were written before the refusal", len(claims))
	}
	b.edit(func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 })
	if found, err := consumer.Recover(b.within(patience), b.js.Conn(), nil); err != nil || found.Doubted != 1 {
		t.Errorf("%+v, %v, want one request in doubt", found, err)
	}
}
