package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// policyFunc is a policy without a file.
type policyFunc func(key publisher.Key, r *schemas.BackupRequest, requested time.Time) error

func (f policyFunc) Allows(_ context.Context, key publisher.Key, r *schemas.BackupRequest, requested time.Time) error {
	return f(key, r, requested)
}

func policy(f policyFunc) func(*setup) { return func(s *setup) { s.cfg.Policy = f } }

var errDenied = &consumer.DeniedError{Reason: `source "billing" may not ask for this`}

func denyAll(publisher.Key, *schemas.BackupRequest, time.Time) error { return errDenied }

func allowAll(publisher.Key, *schemas.BackupRequest, time.Time) error { return nil }

// A denied request never reaches the vendor: each delivery leads to one job-failed event and
// one dead letter.
func TestADeniedRequest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		id        string
		retryable bool
	}{
		"with an id":          {"id", false},
		"without one":         {"", false},
		"that may be allowed": {"id", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			var asked atomic.Pointer[schemas.BackupRequest]
			only := policy(func(key publisher.Key, r *schemas.BackupRequest, requested time.Time) error {
				if key.Source != "billing" || requested.IsZero() {
					return nil
				}
				asked.Store(r)
				return &consumer.DeniedError{Reason: "not for " + r.InstanceName, Retryable: test.retryable}
			})
			b.start(only)
			b.start(only, owner("two"))
			data := body(test.id, `"onDemandInputFile":"/other/x.txt"`)
			sequence := b.publish("billing", data)
			b.settled()
			key := billing(test.id)
			if test.id == "" {
				key = b.place("billing", sequence)
			} else {
				for range 20 {
					b.publish("billing", data)
				}
				b.settled()
			}
			if got := kinds(b.history(key)); got != "job-failed" {
				t.Fatalf("the history is %q", got)
			}
			e := b.failed(key)
			if e.ErrorCode != schemas.CodeNotAllowed || e.ErrorSource != schemas.ErrorSourceBackhaul || e.Attempts != 0 ||
				e.ErrorMessage != "not for s-adhoc-object-storage" || e.Retryable != test.retryable || e.OnDemandInputFile != "/other/x.txt" {
				t.Errorf("job-failed is %+v", e)
			}
			if r := asked.Load(); r.BackupLevel != schemas.LevelIncremental || !r.AdHocBackup {
				t.Errorf("the policy was asked about %+v, which lacks its defaults", r)
			}
			deadLetters := b.deadLetters()
			if len(deadLetters) != 1 || string(deadLetters[0].Data) != data || deadLetters[0].Header.Get(publisher.HeaderDeadLetterCode) != schemas.CodeNotAllowed ||
				deadLetters[0].Header.Get(publisher.HeaderDeadLetterSequence) != fmt.Sprint(sequence) {
				t.Errorf("the dead letters are %v", deadLetters)
			}
			if calls := b.sim.Account().Calls; len(calls) != 0 {
				t.Errorf("the vendor was called: %v", calls)
			}
			b.publish("crm", body("sound"))
			b.settled()
			b.started(publisher.NewKey("crm", "sound"))
			b.checkPromise(1)
		})
	}
}

// The same id with other content is rejected, whether the first was denied or the
// second would be.
func TestADeniedIDInUse(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.start(policy(func(_ publisher.Key, r *schemas.BackupRequest, _ time.Time) error {
		if r.BackupLevel == schemas.LevelFull {
			return errDenied
		}
		return nil
	}))
	const full = `"backupLevel":"FULL"`
	b.publish("billing", body("denied", full))
	b.publish("billing", body("started"))
	b.settled()
	fixed := b.publish("billing", body("denied"))
	worse := b.publish("billing", body("started", full))
	b.settled()
	if e := b.failed(billing("denied")); e.ErrorCode != schemas.CodeNotAllowed {
		t.Errorf("job-failed is %+v", e)
	}
	b.started(billing("started"))
	for _, sequence := range []uint64{fixed, worse} {
		if got := kinds(b.history(b.place("billing", sequence))); got != "request-rejected" {
			t.Errorf("message %d has the history %q, want request-rejected", sequence, got)
		}
	}
	if got := len(b.deadLetters()); got != 3 {
		t.Errorf("%d dead letters, want 3", got)
	}
	b.checkPromise(1)
}

// A claimed request goes on, whatever a newer policy decides: it may have a job.
func TestADenialComesTooLate(t *testing.T) {
	t.Parallel()
	dead := func(v consumer.Vendor, before bool, here func()) consumer.Vendor {
		return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
			if !before {
				_, _, _ = v.Submit(ctx, waits, task, permit)
			}
			here()
			<-ctx.Done()
			return vendorapi.Job{}, 0, errCrashed
		}}
	}
	for name, test := range map[string]struct {
		before  bool // the owner dies before it calls the vendor
		killed  bool // or it is stopped, and gives the request back
		adopted bool
	}{
		"claimed, its owner is dead":   {true, true, false},
		"sent, its owner is dead":      {false, true, true},
		"claimed and given back":       {true, false, false},
		"sent and given back in doubt": {false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
			here := make(chan struct{})
			first := b.start(quick, soonDead, func(s *setup) {
				s.wrap = func(v consumer.Vendor) consumer.Vendor { return dead(v, test.before, func() { close(here) }) }
			})
			b.publish("billing", body("id"))
			b.wait("the first owner has it in flight", here)
			if test.killed {
				first.kill()
			} else {
				first.drain()
			}
			var asked atomic.Int64
			b.start(quick, owner("two"), policy(func(publisher.Key, *schemas.BackupRequest, time.Time) error {
				asked.Add(1)
				return errDenied
			}))
			b.publish("billing", body("id")) // and a copy of it
			b.settled()
			if e := b.started(billing("id")); e.Adopted != test.adopted {
				t.Errorf("job-started is %+v, want adopted %t", e, test.adopted)
			}
			if asked.Load() == 0 {
				t.Error("the newer policy was not asked")
			}
			if got := len(b.deadLetters()); got != 0 {
				t.Errorf("%d dead letters", got)
			}
			b.checkPromise(1)
			// A later copy does not add an event.
			before := kinds(b.history(billing("id")))
			b.publish("billing", body("id"))
			b.settled()
			if after := kinds(b.history(billing("id"))); after != before {
				t.Errorf("the history became %s, was %s", after, before)
			}
		})
	}
}

// Two replicas with different policies get copies of the same requests: each request has one
// true outcome.
func TestReplicasWithDifferentPolicies(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore}, natstest.AckWait(time.Second))
	const requests = 150
	b.start(quick, policy(allowAll))
	b.start(quick, policy(denyAll), owner("two"))
	var publishers sync.WaitGroup
	for range 2 {
		publishers.Go(func() {
			for i := range requests {
				b.publish("billing", body(fmt.Sprint("id-", i)))
			}
		})
	}
	publishers.Wait()
	b.settled()
	started, failed := len(b.events("backup.event.job-started.>")), len(b.events("backup.event.job-failed.>"))
	if started == 0 || failed == 0 || started+failed != requests {
		t.Errorf("%d started and %d failed, want some of both and %d in all", started, failed, requests)
	}
	if got := len(b.deadLetters()); got != failed {
		t.Errorf("%d dead letters, want %d", got, failed)
	}
	b.checkPromise(started)
}

// A policy that cannot decide is asked again. Nothing is claimed meanwhile.
func TestAPolicyThatCannotTell(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	var asked atomic.Int64
	w := b.start(unhurried, policy(func(publisher.Key, *schemas.BackupRequest, time.Time) error {
		if asked.Add(1) == 1 {
			return errors.New("cannot count")
		}
		return nil
	}))
	b.publish("billing", body("id"))
	b.settled()
	b.started(billing("id"))
	b.checkPromise(1)
	if got := kinds(b.history(billing("id"))); got != "job-submitting job-started" {
		t.Errorf("the history is %s", got)
	}
	if !strings.Contains(w.log.String(), "policy: cannot count") {
		t.Errorf("the log does not say why: %s", w.log)
	}
}

// A message without an id is denied even if a former message with its sequence left an
// outcome.
func TestADenialWhereSequencesStartAgain(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	w := b.start(unhurried)
	b.publish("billing", body(""))
	b.settled()
	w.drain()
	b.remakeRequests()
	b.start(owner("two"), policy(denyAll))
	b.publish("billing", body(""))
	b.settled()
	if got := kinds(b.history(b.place("billing", 1))); got != "job-failed" {
		t.Errorf("the history of the second message is %s", got)
	}
	b.checkCalls(1)
	if got := len(b.deadLetters()); got != 1 {
		t.Errorf("%d dead letters, want 1", got)
	}
}
