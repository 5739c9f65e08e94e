package consumer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// hanging is a vendor whose answers do not come until the context ends.
type hanging struct{ consumer.Vendor }

func (hanging) Submit(ctx, waits context.Context, _ vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
	if _, err := permit(ctx); err != nil {
		return vendorapi.Job{}, 0, err
	}
	select {
	case <-ctx.Done():
	case <-waits.Done():
	}
	return vendorapi.Job{}, 1, &vendorapi.Error{Verdict: vendorapi.NotSent, Err: context.Cause(ctx)}
}

// While the vendor does not answer, requests wait unclaimed: if the process dies, they wait for
// their redelivery and not for the end of a lease.
func TestFewRequestsAreClaimedAhead(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.start(func(s *setup) {
		s.cfg.MaxInFlight, s.cfg.AttemptTimeout = 16, time.Hour
		s.wrap = func(v consumer.Vendor) consumer.Vendor { return hanging{v} }
	})
	for i := range 30 {
		b.publish("billing", body(fmt.Sprint("ahead-", i)))
	}
	b.eventually("as many are in delivery as may be in flight", func() bool {
		queue, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
		return err == nil && queue.CachedInfo().NumAckPending >= 16+8
	})
	b.eventually("those at the vendor and two more are claimed", func() bool { return len(b.events("backup.event.job-submitting.>")) >= 16+2 })
	if n := len(b.events("backup.event.job-submitting.>")); n != 16+2 {
		t.Errorf("%d claims, want 18", n)
	}
}
