package consumer_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// Two replicas, and a vendor that takes longer for each answer than the queue
// waits for an acknowledgement.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore}, natstest.AckWait(600*time.Millisecond))
	b.sim.SetFaults([]simulator.Chance{{Fault: simulator.Fault{Kind: simulator.Slow, For: 900 * time.Millisecond}, Probability: 1}})
	const requests = 500
	for i := range requests {
		b.publish("billing", body(fmt.Sprint("id-", i)))
	}
	patient := func(s *setup) { s.cfg.AttemptTimeout, s.cfg.MaxInFlight = 20*time.Second, 128 }
	b.start(patient)
	b.start(patient, owner("two"))
	b.settled()
	b.checkPromise(requests)
	b.checkCalls(requests)
	owners := make(map[string]int)
	for _, e := range b.events("backup.event.job-submitting.>") {
		owners[e.data.(*schemas.JobSubmitting).Owner]++
	}
	if owners["one"] == 0 || owners["two"] == 0 {
		t.Errorf("the work was shared as %v", owners)
	}
	durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	if info := durable.CachedInfo(); info.NumAckPending != 0 || info.NumPending != 0 {
		t.Errorf("the queue's consumer has %d pending acknowledgements", info.NumAckPending)
	}
}

// While a request is in flight its message is not redelivered.
func TestProgressIsAcknowledged(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
	b.sim.Script(simulator.Fault{Kind: simulator.Slow, For: 3 * time.Second})
	patient := func(s *setup) { s.cfg.AttemptTimeout = 20 * time.Second }
	b.start(patient)
	b.start(patient, owner("two"))
	b.start(patient, owner("three"))
	b.publish("billing", body("id"))
	b.settled()
	b.checkPromise(1)
	if account := b.sim.Account(); account.CreateTaskCalls != 1 || account.Calls["JobList"] != 0 {
		t.Errorf("the vendor was called %v: another replica had the request too", account.Calls)
	}
}

// An owner is frozen and resumes after another has taken the request over. It can neither
// start a job nor record an outcome.
func TestAFrozenOwner(t *testing.T) {
	t.Parallel()
	// freezes is the vendor of a process that is frozen once, at one step.
	type freezes func(v consumer.Vendor, freeze func()) consumer.Vendor
	for name, test := range map[string]struct {
		vendor  freezes
		adopted bool
	}{
		"with the permit in its hand": {func(v consumer.Vendor, freeze func()) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				return v.Submit(ctx, waits, task, func(ctx context.Context) (time.Time, error) {
					until, err := permit(ctx)
					freeze()
					return until, err
				})
			}}
		}, false},
		"with the answer in its hand": {func(v consumer.Vendor, freeze func()) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				job, n, err := v.Submit(ctx, waits, task, permit)
				freeze()
				return job, n, err
			}}
		}, true},
		"with a refusal in its hand": {func(v consumer.Vendor, freeze func()) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				task.StoragePolicyName = "no-such-plan"
				job, n, err := v.Submit(ctx, waits, task, permit)
				freeze()
				return job, n, err
			}}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
			frozen, thaw := make(chan struct{}), make(chan struct{})
			thawed := sync.OnceFunc(func() { close(thaw) })
			t.Cleanup(thawed)
			var once sync.Once
			first := b.start(quick, func(s *setup) {
				s.cfg.MaxInFlight = 1 // so that the copy goes to the other
				s.wrap = func(v consumer.Vendor) consumer.Vendor {
					return test.vendor(v, func() { once.Do(func() { close(frozen); <-thaw }) })
				}
			})
			b.publish("billing", body("id"))
			b.wait("the owner is frozen", frozen)
			b.publish("billing", body("id"))
			b.start(quick, owner("two"))
			b.eventually("another has finished the request", func() bool {
				history := b.history(billing("id"))
				return history[len(history)-1].kind.Terminal()
			})
			before := b.history(billing("id"))
			thawed()
			b.settled()
			first.drain()
			if after := b.history(billing("id")); kinds(after) != kinds(before) {
				t.Errorf("the history became %s, was %s", kinds(after), kinds(before))
			}
			if e := b.started(billing("id")); e.Adopted != test.adopted {
				t.Errorf("job-started is %+v, want adopted %t", e, test.adopted)
			}
			b.checkPromise(1)
			if got := len(b.deadLetters()); got != 0 {
				t.Errorf("%d dead letters", got)
			}
		})
	}
}

// Another owner's call is in flight and its job is not visible yet: a second owner finds
// nothing and waits for the lease nevertheless.
func TestAnotherOwnersCallIsUnderWay(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
	sent, looked := make(chan struct{}), make(chan struct{})
	goesOn, arrived := sync.OnceFunc(func() { close(looked) }), sync.OnceFunc(func() { close(sent) })
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/CreateTask") {
			arrived()
			<-looked
		}
		b.sim.ServeHTTP(w, r)
	}))
	t.Cleanup(slow.Close)
	t.Cleanup(goesOn)
	patient := func(s *setup) {
		s.cfg.MaxInFlight, s.cfg.AttemptTimeout, s.cfg.VisibilityWindow = 1, 10*time.Second, 100*time.Millisecond
	}
	b.start(patient, func(s *setup) { s.endpoint = slow.URL + "/webconsole/api" })
	b.publish("billing", body("id"))
	b.wait("the first has sent it", sent)
	b.start(patient, owner("two"))
	b.publish("billing", body("id"))
	b.eventually("the second has looked", func() bool { return b.sim.Account().Calls["JobList"] > 0 })
	goesOn()
	b.settled()
	b.started(billing("id"))
	b.checkPromise(1)
	b.checkCalls(1)
	for _, e := range b.events("backup.event.job-submitting.>") {
		if c := e.data.(*schemas.JobSubmitting); c.Owner != "one" {
			t.Errorf("the claim was taken from its owner while it held: %+v", c.Claim)
		}
	}
}

// lastClaims returns the claims that no outcome has followed.
func (b *rig) lastClaims() []event {
	b.t.Helper()
	last := make(map[publisher.Key]event)
	for _, e := range b.events("backup.event.*.*.*") {
		last[e.key] = e
	}
	var open []event
	for _, e := range last {
		if e.kind == schemas.KindJobSubmitting {
			open = append(open, e)
		}
	}
	return open
}

// inDoubt counts the claims with a doubt.
func inDoubt(claims []event) (n int) {
	for _, e := range claims {
		if e.data.(*schemas.JobSubmitting).DoubtSequence != 0 {
			n++
		}
	}
	return n
}

// After a stop calls finish, and all other requests are released at once.
func TestDrain(t *testing.T) {
	t.Parallel()
	const requests = 60
	for name, test := range map[string]struct {
		faults []simulator.Chance
		change func(*setup)
		until  func(b *rig) bool
		more   func(t *testing.T, b *rig, open []event)
	}{
		"calls under way": {
			[]simulator.Chance{{Fault: simulator.Fault{Kind: simulator.Slow, For: 400 * time.Millisecond}, Probability: 1}},
			func(s *setup) { s.cfg.AttemptTimeout, s.cfg.DrainTimeout, s.cfg.MaxInFlight = patience, patience, 8 },
			func(b *rig) bool { return b.sim.Account().CreateTaskCalls >= 8 },
			func(t *testing.T, b *rig, open []event) {
				calls := uint64(b.sim.Account().CreateTaskCalls)
				// The server removes a message some time after its acknowledgement.
				b.eventually(fmt.Sprintf("end of the %d calls under way", calls), func() bool { return b.queued() == requests-calls })
				for _, e := range open { // those that were claimed ahead
					if e.data.(*schemas.JobSubmitting).DoubtSequence != 0 {
						t.Errorf("%s is in doubt, but it was never sent", e.key)
					}
				}
			},
		},
		"waiting for a vendor that is away": {
			nil,
			func(s *setup) {
				s.endpoint, s.policy.Budget, s.policy.InitialInterval = "http://127.0.0.1:1/webconsole/api", time.Hour, time.Hour
				s.cfg.AttemptTimeout = 10 * time.Second
			},
			func(b *rig) bool { return len(b.lastClaims()) >= 5 }, // as when looking for a job
			nil,
		},
		"waiting for a throttling vendor": {
			[]simulator.Chance{{Fault: simulator.Fault{Kind: simulator.Unavailable, For: 20 * time.Second}, Probability: 1}},
			func(s *setup) { s.cfg.AttemptTimeout = 10 * time.Second },
			func(b *rig) bool { return b.sim.Account().CreateTaskCalls >= 1 },
			nil,
		},
		"looking for a job": {
			[]simulator.Chance{{Fault: simulator.Fault{Kind: simulator.CutBeforeStart}, Probability: 1}},
			func(s *setup) { s.cfg.AttemptTimeout, s.cfg.VisibilityWindow = 10*time.Second, patience },
			func(b *rig) bool {
				return inDoubt(b.lastClaims()) >= 5 // so many make it count as out of reach, and others are neither claimed nor sent
			},
			func(t *testing.T, _ *rig, open []event) {
				if n := inDoubt(open); n < 5 {
					t.Errorf("only %d requests were given back with the doubt that is on them", n)
				}
			},
		},
		"calls that take too long": {
			[]simulator.Chance{{Fault: simulator.Fault{Kind: simulator.HangAfterStart}, Probability: 1}},
			func(s *setup) { s.cfg.AttemptTimeout, s.cfg.DrainTimeout = patience, 100*time.Millisecond },
			func(b *rig) bool { return b.sim.Account().JobsStarted == requests },
			func(t *testing.T, _ *rig, open []event) {
				if len(open) != requests {
					t.Errorf("%d requests are open, want all %d", len(open), requests)
				}
				for _, e := range open {
					if e.data.(*schemas.JobSubmitting).DoubtSequence == 0 {
						t.Errorf("%s was given back without the doubt that is on it", e.key)
					}
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore}, natstest.AckWait(time.Second))
			b.sim.SetFaults(test.faults)
			for i := range requests {
				b.publish("billing", body(fmt.Sprint("id-", i)))
			}
			first := b.start(test.change)
			b.eventually("the work is under way", func() bool { return test.until(b) })
			first.drain()
			open := b.lastClaims()
			for _, e := range open {
				if c := e.data.(*schemas.JobSubmitting); c.LeaseMillis != 0 {
					t.Errorf("%s is still claimed for %d ms", e.key, c.LeaseMillis)
				}
			}
			if test.more != nil {
				test.more(t, b, open)
			}
			b.sim.SetFaults(nil)
			first.nc.Close()
			b.start(owner("two"))
			b.settled()
			b.checkPromise(requests)
		})
	}
}

// A request that was claimed before a stop and not sent is not sent any more.
func TestNothingIsSentAfterAStop(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	claimed, stopped := make(chan struct{}), make(chan struct{})
	w := b.start(func(s *setup) {
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				close(claimed)
				<-stopped
				return v.Submit(ctx, waits, task, permit)
			}}
		}
	})
	b.publish("billing", body("id"))
	b.wait("the request is claimed", claimed)
	w.stop()
	close(stopped)
	w.drain()
	b.checkCalls(0)
	open := b.lastClaims()
	if len(open) != 1 {
		t.Fatalf("%d claims are open, want 1", len(open))
	}
	if c := open[0].data.(*schemas.JobSubmitting); c.LeaseMillis != 0 || c.DoubtSequence != 0 {
		t.Errorf("the released claim is %+v, want nobody to wait for it", c.Claim)
	}
	b.start(owner("two"))
	b.settled()
	b.checkPromise(1)
	if got := b.sim.Account().Calls["JobList"]; got != 0 {
		t.Errorf("%d looks for a job of a request that was never sent", got)
	}
}

func TestTheNATSServerRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore}, natstest.AckWait(time.Second))
	b.sim.SetFaults([]simulator.Chance{
		{Fault: simulator.Fault{Kind: simulator.Slow, For: 50 * time.Millisecond}, Probability: 0.5},
		{Fault: simulator.Fault{Kind: simulator.CutAfterStart}, Probability: 0.05},
	})
	const requests = 200
	for i := range requests {
		if i%10 == 0 {
			b.publish("billing", body(fmt.Sprint("refused-", i), refused))
		} else {
			b.publish("billing", body(fmt.Sprint("id-", i)))
		}
	}
	patient := func(s *setup) { s.cfg.AttemptTimeout, s.cfg.MaxInFlight = 2*time.Second, 16 }
	b.start(patient)
	b.start(patient, owner("two"))
	for _, share := range []int{requests / 4, requests / 2} {
		b.eventually("some of the work is done", func() bool { return b.sim.Account().CreateTaskCalls >= share })
		b.nats.Stop()
		b.nats.Restart()
	}
	// Seen once: after its restart nats-server 2.15.2 had forgotten that a message was
	// delivered and not acknowledged. Such a message stays in the stream and is neither
	// pending nor redelivered. Its outcome was on record, its dead letter was not.
	b.eventually("the server has nothing to deliver", func() bool {
		// A request that is lost in the restart must not block until the end of the test.
		durable, err := b.js.Consumer(b.within(patience/20), publisher.RequestsStream, publisher.RequestsConsumer)
		return err == nil && durable.CachedInfo().NumPending == 0 && durable.CachedInfo().NumAckPending == 0
	})
	b.eventually("every request has its outcome", func() bool {
		return len(b.events("backup.event.job-started.>"))+len(b.events("backup.event.job-failed.>")) == requests
	})
	b.checkPromise(requests * 9 / 10)
	if got := len(b.events("backup.event.job-failed.>")); got != requests/10 {
		t.Errorf("%d requests failed, want %d", got, requests/10)
	}
	forgotten := int(b.queued())
	if got := len(b.deadLetters()); got > requests/10 || got+forgotten < requests/10 {
		t.Errorf("%d dead letters, want %d; the server forgot %d messages", got, requests/10, forgotten)
	}
}

// Everything at once: a vendor with every fault, copies of every request, and replicas that
// are killed and replaced.
func TestChaos(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore, VisibleAfter: 100 * time.Millisecond}, natstest.AckWait(500*time.Millisecond))
	faults, err := simulator.ParseFaults("cut-after-start=0.05,cut-before-start=0.05,hang-after-start=0.02,half-body=0.03,503=0.02:1s," +
		"429=0.02:1s,500=0.02,504-after-start=0.02,empty=0.02,401=0.02,slow=0.2:100ms,JobList/slow=0.1:300ms")
	if err != nil {
		t.Fatal(err)
	}
	b.sim.SetFaults(faults)
	const requests = 150
	for i := range requests {
		for range 1 + i%2 {
			b.publish("billing", body(fmt.Sprint("id-", i)))
		}
	}
	busy := func(s *setup) {
		quick(s)
		s.cfg.MaxInFlight = 16
	}
	b.start(busy)
	for i := range 4 {
		calls := b.sim.Account().CreateTaskCalls
		doomed := b.start(busy, soonDead, owner(fmt.Sprint("doomed-", i)))
		b.eventually("there is work under way", func() bool {
			return b.sim.Account().CreateTaskCalls > calls+15 || b.queued() < requests/3
		})
		doomed.kill()
	}
	b.start(busy, owner("two"))
	b.settled()
	b.checkPromise(requests)
}

// Nothing is left running after Run has returned.
func TestRunLeavesNothingBehind(t *testing.T) {
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("first")) // so that the rig's own connection is complete
	before := goleak.IgnoreCurrent()
	nc := b.nats.Connect(t)
	client, err := vendorapi.New(vendorapi.Config{Endpoint: b.endpoint, Auth: vendorapi.Auth{
		Mode: vendorapi.AuthLogin, Username: "backhaul", Password: func() (vendorapi.Secret, error) { return vendorPassword, nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	vendor := &vendorapi.Retrier{Client: client}
	c, err := consumer.New(t.Context(), consumer.Config{Owner: "one"}, nc, vendor, quiet)
	if err != nil {
		t.Fatal(err)
	}
	b.sim.Script(simulator.Fault{Kind: simulator.None}, simulator.Fault{Kind: simulator.Slow, For: 200 * time.Millisecond})
	for i := range 20 {
		b.publish("billing", body(fmt.Sprint("id-", i)))
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); c.Run(ctx) }()
	b.settled()
	b.publish("billing", "{}")
	b.settled()
	stop()
	b.wait("the consumer has ended", ended)
	client.Close(t.Context())
	nc.Close()
	if err := goleak.Find(before, goleak.IgnoreAnyFunction("net/http.(*conn).serve")); err != nil {
		t.Error(strings.TrimSpace(err.Error()))
	}
}

// A request that the server no longer delivers, although it was not acknowledged, is found and
// processed.
func TestARequestThatTheServerForgot(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("forgotten"))
	last := b.publish("billing", body("invalid", `"typo":1`))
	// A consumer that is reset to a position after them regards them as acknowledged, as one
	// does whose state was lost.
	reset := fmt.Sprintf("$JS.API.CONSUMER.RESET.%s.%s", publisher.RequestsStream, publisher.RequestsConsumer)
	answer, err := b.js.Conn().Request(reset, fmt.Appendf(nil, `{"seq":%d}`, last+1), patience)
	if err != nil || strings.Contains(string(answer.Data), `"error"`) {
		t.Fatalf("reset the consumer: %v %s", err, answer.Data)
	}
	sweeping := func(s *setup) { s.cfg.SweepInterval = 200 * time.Millisecond }
	b.start(sweeping)
	b.start(sweeping, owner("two"))
	b.publish("billing", body("fresh"))
	b.settled()
	b.started(billing("forgotten"))
	b.started(billing("fresh"))
	if e := b.failed(billing("invalid")); e.ErrorCode != schemas.CodeInvalidRequest || len(b.deadLetters()) != 1 {
		t.Errorf("job-failed is %+v, with %d dead letters", e, len(b.deadLetters()))
	}
	b.checkPromise(2)
}
