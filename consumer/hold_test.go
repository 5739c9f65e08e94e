package consumer_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer"
	"backhaul/consumer/scope"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// pauseScope pauses a scope on record.
func (b *rig) pauseScope(s scope.Scope, d time.Duration) {
	b.t.Helper()
	pub, err := publisher.New(b.nats.Connect(b.t))
	if err != nil {
		b.t.Fatal(err)
	}
	now := time.Now().UTC()
	_, err = scope.Add(b.within(patience), natstest.Stream(b.t, b.js, publisher.EventsStream), pub, scope.Pause{
		Scope: s, Since: now, Until: now.Add(d), Actor: "ann@ops", Reason: "maintenance", OperationID: s.String() + now.String(),
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *rig) resumeScope(s scope.Scope) {
	b.t.Helper()
	pub, err := publisher.New(b.nats.Connect(b.t))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := scope.Remove(b.within(patience), natstest.Stream(b.t, b.js, publisher.EventsStream), pub, s); err != nil {
		b.t.Fatal(err)
	}
}

// knows waits until a worker knows that a number of scopes is paused.
func (w *worker) knows(b *rig, scopes int) {
	b.t.Helper()
	b.eventually("the pauses are known", func() bool { return len(w.consumer.Paused()) == scopes })
}

// other is a request for another content group than body's.
func other(id string) string { return strings.Replace(body(id), "stestgroup", "load-1", 1) }

// A request of a paused scope waits unclaimed while others are started, and is started when the scope
// is resumed.
func TestAPausedScope(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		scope         scope.Scope
		waits, passes [2]string // source and body
	}{
		"source":                         {scope.Scope{Source: "billing"}, [2]string{"billing", body("w")}, [2]string{"crm", body("p")}},
		"client":                         {scope.Scope{Client: "S-AdHoc-Object-Storage"}, [2]string{"crm", body("w")}, [2]string{"crm", strings.Replace(body("p"), "s-adhoc-object-storage", "other", 1)}},
		"content group":                  {scope.Scope{Group: "STestGroup"}, [2]string{"crm", body("w")}, [2]string{"crm", other("p")}},
		"content group of a client":      {scope.Scope{Client: "s-adhoc-object-storage", Group: "stestgroup"}, [2]string{"crm", body("w")}, [2]string{"crm", other("p")}},
		"content group of another":       {scope.Scope{Client: "s-adhoc-object-storage", Group: "load-1"}, [2]string{"crm", other("w")}, [2]string{"crm", body("p")}},
		"content group of one source":    {scope.Scope{Source: "crm", Group: "stestgroup"}, [2]string{"crm", body("w")}, [2]string{"billing", body("p")}},
		"requests of a priority as well": {scope.Scope{Source: "crm"}, [2]string{"crm.high", body("w")}, [2]string{"billing.low", body("p")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
			b.pauseScope(test.scope, time.Hour)
			w := b.start(unhurried)
			w.knows(b, 1) // from the start
			b.publish(test.waits[0], test.waits[1])
			b.publish(test.passes[0], test.passes[1])
			passes := publisher.NewKey(strings.TrimSuffix(test.passes[0], ".low"), "p")
			waits := publisher.NewKey(strings.TrimSuffix(test.waits[0], ".high"), "w")
			b.eventually("the other request has its outcome", func() bool { return len(b.history(passes)) == 2 })
			b.eventually("the queue has one request", func() bool { return b.queued() == 1 })
			if got := kinds(b.history(waits)); got != "" {
				t.Errorf("the request that waits has the history %q", got)
			}
			b.resumeScope(test.scope)
			b.settled()
			if got := kinds(b.history(waits)); got != "job-submitting job-started" {
				t.Errorf("the request that waited has the history %q", got)
			}
		})
	}
}

// A pause ends at its time, by the server's clock, on replicas that came before and after it.
func TestAScopesPauseEndsByItself(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	w := b.start(unhurried)
	s := scope.Scope{Source: "billing"}
	b.pauseScope(s, 4*time.Second)
	w.knows(b, 1)
	b.publish("billing", body("id"))
	published := time.Now()
	b.settled()
	if took := time.Since(published); took < 2*time.Second {
		t.Errorf("started after %s, in the pause", took)
	}
	b.checkPromise(1)
	w.knows(b, 0)
	if log := w.log.String(); !strings.Contains(log, "source billing is paused until ") || !strings.Contains(log, " by ann@ops: maintenance") || !strings.Contains(log, "source billing is paused no longer") {
		t.Errorf("the log does not say it: %s", log)
	}
}

// The wait ends with the request's notAfter or its age, also where the claim of it was released.
func TestARequestOfAPausedScopeExpires(t *testing.T) {
	t.Parallel()
	soon := func() string {
		return fmt.Sprintf(`"notAfter":%q`, time.Now().Add(3*time.Second).UTC().Format(time.RFC3339Nano))
	}
	for name, test := range map[string]struct {
		members func() []string
		change  func(*setup)
		says    string
	}{
		"notAfter": {func() []string { return []string{soon()} }, func(*setup) {}, "not started by 20"},
		"age":      {func() []string { return nil }, func(s *setup) { s.cfg.GiveUpAfter = 3 * time.Second }, "not started within 3s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			b.pauseScope(scope.Scope{Source: "billing"}, time.Hour)
			w := b.start(unhurried, test.change)
			w.knows(b, 1)
			b.publish("billing", body("id", test.members()...))
			b.settled()
			e := b.failed(billing("id"))
			if e.ErrorCode != schemas.CodeExpired || e.ErrorSource != schemas.ErrorSourceBackhaul || !strings.HasPrefix(e.ErrorMessage, test.says) ||
				!strings.Contains(e.ErrorMessage, ": source billing is paused until ") || !strings.HasSuffix(e.ErrorMessage, " by ann@ops: maintenance") {
				t.Errorf("job-failed is %+v", e)
			}
			if got := kinds(b.history(billing("id"))); got != "job-failed" {
				t.Errorf("the history is %q", got)
			}
			b.checkPromise(0)
		})
	}
}

// A request that was claimed when the pause came goes on: the claim of a dead owner, whose job the
// vendor has, is adopted in the pause.
func TestAPauseComesAfterAClaim(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(3*time.Second))
	crashed := make(chan struct{})
	first := b.start(quick, soonDead, func(s *setup) {
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				_, n, _ := v.Submit(ctx, waits, task, permit)
				close(crashed)
				<-ctx.Done()
				return vendorapi.Job{}, n, errCrashed
			}}
		}
	})
	b.publish("billing", body("claimed"))
	b.wait("the vendor has started the job", crashed)
	first.kill()
	b.pauseScope(scope.Scope{Source: "billing"}, time.Hour)
	b.publish("billing", body("waits"))
	b.start(quick, owner("two"))
	b.start(quick, owner("three"))
	b.eventually("the job is announced", func() bool { return kinds(b.history(billing("claimed"))) != "job-submitting" })
	if !b.started(billing("claimed")).Adopted {
		t.Error("the job is not adopted")
	}
	if got := kinds(b.history(billing("waits"))); got != "" {
		t.Errorf("the other request has the history %q", got)
	}
	b.resumeScope(scope.Scope{Source: "billing"})
	b.settled()
	b.checkPromise(2)
}

// A claim that was released before anything was sent is none: the request waits, and expires where it
// is. With a doubt its job is looked up. There is none, so it waits as well, and can be cancelled.
func TestAReleasedClaimInAPause(t *testing.T) {
	t.Parallel()
	for name, doubt := range map[string]bool{"nothing was sent": false, "in doubt": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			seq := b.publish("billing", body("id"))
			b.claimReleased("billing", seq, doubt)
			b.pauseScope(scope.Scope{Source: "billing"}, time.Hour)
			b.start(quick, func(s *setup) { s.cfg.GiveUpAfter = 10 * time.Second })
			b.settled()
			want := "job-submitting job-failed"
			if doubt {
				want = "job-submitting job-submitting job-submitting job-submitting job-failed" // taken over, without the doubt, released
			}
			if got := kinds(b.history(billing("id"))); got != want {
				t.Errorf("the history is %q, want %q", got, want)
			}
			if e := b.failed(billing("id")); e.ErrorCode != schemas.CodeExpired {
				t.Errorf("job-failed is %+v", e)
			}
			b.checkPromise(0)
		})
	}
}

// A request in doubt cannot be cancelled. In a pause it is not sent again, so that it can be when its job
// was looked up.
func TestAPauseLetsARequestInDoubtBeCancelled(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	seq := b.publish("billing", body("id"))
	b.claimReleased("billing", seq, true)
	d := b.desk(b.nats.Connect(t))
	d.refused(b.message(seq), "pause its content group")
	b.pauseScope(scope.Scope{Client: "s-adhoc-object-storage", Group: "stestgroup"}, time.Hour)
	b.start(quick)
	b.eventually("the request can be cancelled", func() bool {
		_, err := d.Look(b.within(patience), b.message(seq))
		return err == nil
	})
	d.cancels(seq)
	b.resumeScope(scope.Scope{Client: "s-adhoc-object-storage", Group: "stestgroup"})
	b.settled()
	b.cancelled(billing("id"))
	b.checkPromise(0)
}

// claimReleased writes a claim of a request that its owner has released.
func (b *rig) claimReleased(source string, sequence uint64, doubt bool) {
	b.t.Helper()
	msg, err := natstest.Stream(b.t, b.js, publisher.RequestsStream).GetMsg(b.within(patience), sequence)
	if err != nil {
		b.t.Fatal(err)
	}
	m, err := schemas.DecodeRequest(schemas.Header(msg.Header), msg.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	pub, err := publisher.New(b.nats.Connect(b.t))
	if err != nil {
		b.t.Fatal(err)
	}
	key := publisher.NewKey(source, m.Request.RequestID)
	e := &schemas.JobSubmitting{
		RequestID: key.Name, Source: source, Request: m.Request, SubmittingAt: time.Now().UTC(),
		Message: schemas.Message{RequestedAt: msg.Time.UTC(), PayloadHash: m.Request.Hash()},
		Claim:   schemas.Claim{Owner: "dead", Nonce: "n", Epoch: 1},
	}
	if doubt {
		e.DoubtSequence = 1
	}
	if _, err := pub.Append(b.within(patience), key, 0, e, ""); err != nil {
		b.t.Fatal(err)
	}
}

// Far more requests of a paused scope wait than the server delivers without an acknowledgement, in
// front of the others. The others are started; those that wait are neither delivered again and again
// nor kept in memory, and nothing is written about them.
func TestManyRequestsOfAPausedScope(t *testing.T) {
	t.Parallel()
	const pending, waiting, others = 16, 500, 60
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore}, func(_ *jetstream.StreamConfig, cfg *jetstream.ConsumerConfig) {
		if cfg != nil && cfg.Durable == publisher.RequestsConsumer {
			cfg.MaxAckPending = pending
		}
	})
	b.pauseScope(scope.Scope{Client: "s-adhoc-object-storage", Group: "stestgroup"}, time.Hour)
	for i := range waiting {
		b.publish("billing", body(fmt.Sprint("w-", i)))
	}
	b.start(unhurried)
	b.start(unhurried, owner("two"))
	for i := range others {
		b.publish([]string{"billing", "crm"}[i%2], other(fmt.Sprint("p-", i)))
	}
	b.eventually("the others have their jobs", func() bool { return b.queued() == waiting })
	if got := len(b.events("backup.event.job-started.>")); got != others {
		t.Errorf("%d jobs were started, want %d", got, others)
	}
	if got := len(b.stored(publisher.EventsStream, "backup.event.>")); got != 2*others+1 {
		t.Errorf("%d messages for %d requests and a pause", got, others)
	}
	durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	if info := durable.CachedInfo(); info.NumAckPending > 0 || info.Delivered.Consumer > 0 {
		t.Errorf("%d requests were delivered, %d of them wait", info.Delivered.Consumer, info.NumAckPending)
	}
	b.resumeScope(scope.Scope{Client: "s-adhoc-object-storage", Group: "stestgroup"})
	b.settled()
	b.checkPromise(waiting + others)
}

// A pause comes while the requests of its scope are delivered. They are not delivered again and again.
func TestAPauseWhileRequestsAreDelivered(t *testing.T) {
	t.Parallel()
	const requests = 200
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	open := make(chan struct{})
	w := b.start(unhurried, func(s *setup) {
		s.cfg.MaxInFlight = 4
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				<-open
				return v.Submit(ctx, waits, task, permit)
			}}
		}
	})
	for i := range requests {
		b.publish("billing", body(fmt.Sprint("id-", i)))
	}
	b.eventually("requests are claimed", func() bool { return len(b.events("backup.event.job-submitting.>")) >= 4 })
	b.pauseScope(scope.Scope{Source: "billing"}, time.Hour)
	w.knows(b, 1)
	close(open)
	b.publish("crm", other("p"))
	b.eventually("another source's request has its job", func() bool { return len(b.history(publisher.NewKey("crm", "p"))) == 2 })
	// A request that was admitted before the pause is claimed behind it, so their number is not known before.
	claimed := map[string]bool{}
	b.eventually("what is claimed is released", func() bool {
		claimed = map[string]bool{}
		for _, e := range b.events("backup.event.job-submitting.billing.>") {
			submitting := e.data.(*schemas.JobSubmitting)
			claimed[submitting.RequestID] = submitting.LeaseMillis == 0
		}
		return !slices.Contains(slices.Collect(maps.Values(claimed)), false)
	})
	if started := len(b.events("backup.event.job-started.billing.>")); started != 0 || b.queued() != requests {
		t.Errorf("%d requests were started in the pause, %d wait", started, b.queued())
	}
	durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	if delivered := durable.CachedInfo().Delivered.Consumer; len(claimed) == requests || delivered > requests/2 {
		t.Errorf("%d of %d requests were claimed, with %d deliveries", len(claimed), requests, delivered)
	}
	b.resumeScope(scope.Scope{Source: "billing"})
	b.settled()
	b.checkPromise(requests + 1)
}
