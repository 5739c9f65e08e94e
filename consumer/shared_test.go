package consumer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backhaul/consumer"
	"backhaul/consumer/budget"
	"backhaul/publisher/natstest"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// lateStarts is a budget of a replica that comes too late for its first turns.
type lateStarts struct {
	*budget.Budget
	late atomic.Int32 // how many more turns
}

func (h *lateStarts) Reserve(ctx context.Context, subject string, number uint64) (vendorapi.Grant, error) {
	if h.late.Add(-1) >= 0 {
		return vendorapi.Grant{}, budget.ErrTurn
	}
	return h.Budget.Reserve(ctx, subject, number)
}

// A request is claimed after its start was taken from those that replicas share, and not without
// one. A request that has its outcome takes no start.
func TestPicking_sharedStarts(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	nc := b.nats.Connect(t)
	natstest.ProvisionBudget(t, nc)
	starts := &lateStarts{Budget: budget.New(budget.Config{Owner: "one", PerHour: 100, Timeout: 30 * time.Second, Log: zerolog.Nop()})}
	starts.late.Store(5)
	if err := starts.Use(nc); err != nil {
		t.Fatal(err)
	}
	starts.Settle(t.Context())
	const requests = 3
	for range 3 { // copies
		for i := range requests {
			b.publish("billing", body(fmt.Sprint("id-", i)))
		}
	}
	b.start(unhurried, func(s *setup) {
		s.cfg.Starts, s.cfg.MaxInFlight = starts, 1
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			return vendorFuncs{Vendor: v, capacity: func(n int) (int, vendorapi.Cooldown) {
				left, wait := starts.Left(n)
				if left > 0 {
					wait = 0
				}
				return min(left, 1), vendorapi.Cooldown{For: wait, Reason: vendorapi.CooldownBudget}
			}}
		}
	})
	b.settled()
	for i := range requests {
		if history := kinds(b.history(billing(fmt.Sprint("id-", i)))); history != "job-submitting job-started" {
			t.Errorf("id-%d has the events %s", i, history)
		}
	}
	if n := starts.Order().Number; n != requests {
		t.Errorf("%d starts were taken for %d jobs", n, requests)
	}
	if left := starts.late.Load(); left >= 0 {
		t.Errorf("%d turns more would have been late", left)
	}
	b.checkPromise(requests)
	b.checkCalls(requests)
}
