package consumer

import (
	"errors"
	"time"

	"backhaul/vendorapi"
)

const (
	// claimLead is how long before the end of a pause requests are pulled and
	// claimed again, so that they are ready to be sent when it is over.
	claimLead = 40 * time.Millisecond
	// CapacityWait is how long the vendor's client may make a claimed request wait for
	// capacity. A longer wait releases the claim and redelivers the request, because
	// the claim of an owner that dies delays the next one.
	CapacityWait = 3 * claimLead
)

// capacity returns how many of n requests may be claimed now, and if none, for how long.
func (h *handler) capacity(n int) (capacity int, cooldown vendorapi.Cooldown) {
	if err := h.ledger.guard.err(); err != nil {
		return 0, vendorapi.Cooldown{For: guardRetry}
	}
	capacity, cooldown = h.vendor.Capacity(n)
	if capacity == 0 && cooldown.Reason == vendorapi.CooldownThrottled {
		if cooldown.For -= claimLead; cooldown.For <= 0 {
			return n, vendorapi.Cooldown{}
		}
	}
	return capacity, cooldown
}

// nextTry returns when a request that is redelivered after a delay is tried again, as people read it:
// not before there is capacity again, and not before refused credentials are sent again.
func (h *handler) nextTry(err error, delay time.Duration) time.Time {
	if capacity, cooldown := h.capacity(1); capacity == 0 {
		delay = max(delay, cooldown.For)
	}
	next := time.Now().Add(delay)
	if refused, is := errors.AsType[*vendorapi.LoginError](err); is && refused.Until.After(next) {
		next = refused.Until
	}
	return next
}

// scarce reports whether this replica may start fewer jobs now than it could: the budget or the
// limit of starts holds, or a pause that the vendor asked for. Then the order in which requests
// are taken matters. It asks nothing of the vendor and is cheap.
func (h *handler) scarce() bool {
	_, cooldown := h.vendor.Capacity(h.cfg.MaxInFlight)
	return cooldown.Reason.Limit()
}

// picks reports whether requests are taken in another order than the queue's: starts are scarce, a
// scope is paused, or so many requests wait for their content group that the queue would bring no
// others.
func (h *handler) picks() bool {
	_, paused := h.scopes.Version()
	return paused || h.scarce() || h.turns.crowded()
}

// errNoCapacity is returned while nothing may be sent to the vendor.
var errNoCapacity = errors.New("no vendor capacity")
