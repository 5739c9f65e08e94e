package consumer_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"backhaul/consumer"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// claimsIn lets a worker keep in a directory what it has not sent.
func claimsIn(dir string) func(*setup) { return func(s *setup) { s.cfg.ClaimsDir = dir } }

// lasting has leases and a window that are longer than a test waits.
func lasting(s *setup) { s.cfg.AttemptTimeout, s.cfg.VisibilityWindow = time.Minute, time.Minute }

// A process is killed, and the next one on the same machine knows what was not sent. The leases are
// longer than the test waits.
func TestACrashThatTheJournalKnows(t *testing.T) {
	t.Parallel()
	type submit = func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error)
	for name, test := range map[string]struct {
		op     string // the claim's acknowledgement is lost
		submit func(v consumer.Vendor, here func()) submit
		next   func(*setup)
		// Of the next owner.
		adopted bool
		lookups bool
	}{
		"claim, unacknowledged": {op: "HPUB backup.event.job-submitting", next: lasting},
		"claim": {submit: func(_ consumer.Vendor, here func()) submit {
			return func(ctx, _ context.Context, _ vendorapi.Task, _ vendorapi.Permit) (vendorapi.Job, int, error) {
				here()
				<-ctx.Done()
				return vendorapi.Job{}, 0, errCrashed
			}
		}, next: lasting},
		"wire": {submit: func(v consumer.Vendor, here func()) submit {
			return func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				_, n, _ := v.Submit(ctx, waits, task, permit)
				here()
				<-ctx.Done()
				return vendorapi.Job{}, n, errCrashed
			}
		}, next: lasting, adopted: true, lookups: true},
		"wire, not arrived": {submit: func(_ consumer.Vendor, here func()) submit {
			return func(ctx, _ context.Context, _ vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				_, _ = permit(ctx)
				here()
				<-ctx.Done()
				return vendorapi.Job{}, 0, errCrashed
			}
		}, next: func(s *setup) { s.cfg.AttemptTimeout, s.cfg.VisibilityWindow = time.Minute, 2*time.Second }, lookups: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
			proxy := natstest.StartProxy(t, b.nats)
			dir, crash := t.TempDir(), make(chan struct{})
			var here <-chan struct{} = crash
			if test.op != "" {
				here = proxy.Once(test.op, natstest.Deafen)
			}
			b.publish("billing", body("id"))
			first := b.start(lasting, soonDead, through(proxy), claimsIn(dir), func(s *setup) {
				if test.submit != nil {
					s.wrap = func(v consumer.Vendor) consumer.Vendor {
						return vendorFuncs{Vendor: v, submit: test.submit(v, func() { close(crash) })}
					}
				}
			})
			b.wait("the first worker comes to the step", here)
			b.eventually("the claim has arrived", func() bool { return len(b.events("backup.event.job-submitting.>")) == 1 })
			first.kill()
			began := time.Now()
			b.start(test.next, owner("two"), claimsIn(dir))
			b.settled()
			if outcome, ok := b.outcome(billing("id")).(*schemas.JobStarted); !ok || outcome.Adopted != test.adopted {
				t.Errorf("the outcome is %+v, want adopted %t", b.outcome(billing("id")), test.adopted)
			}
			b.checkPromise(1)
			b.checkCalls(1)
			if n := b.sim.Account().Calls["JobList"]; (n > 0) != test.lookups {
				t.Errorf("the next owner has looked %d times for the job", n)
			}
			if name == "wire, not arrived" && time.Since(began) < 2*time.Second {
				t.Error("it was sent again before the job of a call could be seen")
			}
		})
	}
}

// The claims of a process that is alive are left alone by one that starts on the same machine.
func TestInherit_leavesTheLivingAlone(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
	dir, claimed, goOn := t.TempDir(), make(chan struct{}), make(chan struct{})
	claims := sync.OnceFunc(func() { close(claimed) })
	b.publish("billing", body("id"))
	b.start(lasting, claimsIn(dir), func(s *setup) {
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				if task.Marker == billing("id").Marker() {
					claims()
					<-goOn
				}
				return v.Submit(ctx, waits, task, permit)
			}}
		}
	})
	b.wait("the request is claimed", claimed)
	second := b.start(lasting, owner("two"), claimsIn(dir))
	b.publish("billing", body("other"))
	b.eventually("the second worker reads, and the other request is done", func() bool { return second.consumer.Ready() == nil && b.queued() == 1 })
	if claims := b.history(billing("id")); len(claims) != 1 {
		t.Errorf("the history is %s, want the claim of the first worker", kinds(claims))
	}
	close(goOn)
	b.settled()
	b.checkPromise(2)
	b.checkCalls(2)
	if n := b.sim.Account().Calls["JobList"]; n > 1 { // the second worker may have met the claim
		t.Errorf("%d lookups", n)
	}
}

// Two processes that start at once release a claim once. One that died after it had released some
// leaves the journal for the next one.
func TestInherit_twice(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
	dir, claimed := t.TempDir(), make(chan struct{})
	b.publish("billing", body("id"))
	first := b.start(lasting, soonDead, claimsIn(dir), func(s *setup) {
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, _ context.Context, _ vendorapi.Task, _ vendorapi.Permit) (vendorapi.Job, int, error) {
				close(claimed)
				<-ctx.Done()
				return vendorapi.Job{}, 0, errCrashed
			}}
		}
	})
	b.wait("the request is claimed", claimed)
	first.kill()
	proxy := natstest.StartProxy(t, b.nats)
	released := proxy.Once("HPUB backup.event.job-submitting", natstest.Deafen)
	second := b.start(lasting, soonDead, owner("two"), through(proxy), claimsIn(dir))
	b.wait("the second process releases the claim", released)
	b.eventually("the release has arrived", func() bool { return len(b.history(billing("id"))) == 2 })
	second.kill()
	b.start(lasting, owner("three"), claimsIn(dir))
	b.settled()
	if got, want := kinds(b.history(billing("id"))), "job-submitting job-submitting job-submitting job-started"; got != want {
		t.Errorf("the history is %s, want %s", got, want)
	}
	b.checkPromise(1)
	b.checkCalls(1)
	if n := b.sim.Account().Calls["JobList"]; n != 0 {
		t.Errorf("%d lookups of a request that was never sent", n)
	}
}
