package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/order"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// Starts are starts that several replicas share, and their order.
type Starts interface {
	// Order returns the order of the starts that were granted, as far as this process knows it.
	Order() order.Order
	// Reserve takes a start for a request of a subject, if the turn in the order has this number.
	// The error is a [*vendorapi.BudgetError] if there is none.
	Reserve(ctx context.Context, subject string, number uint64) (vendorapi.Grant, error)
}

// reserve takes a start for a picked request that is about to be claimed, if replicas share their
// starts: all of them choose the same request, and the one that gets the start claims it. So the
// order of starts is that of the turns, and no claim is written for nothing. reserve returns the
// context for the rest of the work, and what ends the reservation. If reserved is false, s settles
// the delivery.
//
// No start is taken for a request that has a claim or an outcome, or is too old: it is settled
// without one, or takes its own.
func (h *handler) reserve(ctx context.Context, d *delivery, req *request) (_ context.Context, end func(), s settlement, reserved bool) {
	m, picked := d.reading.(*picked)
	if !picked || h.cfg.Starts == nil || h.tooOld(req) || req.expired() || !h.ledger.isFree(ctx, req) {
		return ctx, func() {}, s, true
	}
	grant, err := h.cfg.Starts.Reserve(ctx, d.msg.Subject, m.turn)
	if err != nil {
		return ctx, nil, redeliverAfter(shortestCooldown, fmt.Errorf("%w: %w", errNoCapacity, err)), false
	}
	return vendorapi.WithGrant(ctx, grant), func() { grant.End(false) }, s, true
}

// isFree reports whether the request has no claim in force, no outcome and no doubt. It is only a
// hint.
func (l *ledger) isFree(ctx context.Context, req *request) bool {
	last, err := l.last(ctx, req.key)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true
	}
	claim, is := last.event.(*schemas.JobSubmitting)
	return err == nil && is && claim.LeaseMillis == 0 && claim.DoubtSequence == 0 && claim.DoubtTaskID == ""
}
