package consumer

import (
	"errors"
	"sync/atomic"

	"backhaul/consumer/internal/pull"
)

// readiness has the result of the last pull that was answered or timed out: nil if it
// succeeded.
type readiness struct {
	why atomic.Pointer[error]
}

var errNotPulled = errors.New("no pull has been answered yet")

func (r *readiness) note(err error) {
	if err == nil {
		r.why.Store(&noTrouble) // called for each message: it must not allocate
		return
	}
	r.why.Store(&err)
}

var noTrouble error

func (r *readiness) err() error {
	if why := r.why.Load(); why != nil {
		return *why
	}
	return errNotPulled
}

// Ready returns nil while requests are being read: the connection is up, and the server has
// answered a pull from the durable consumer within the last two heartbeats. A consumer
// without a free slot is ready. A consumer is not ready before its first pull is answered,
// nor after it was stopped.
func (c *Consumer) Ready() error {
	switch err := c.ready.err(); {
	case errors.Is(err, errStopping):
		return err
	case pull.Connected(c.nc) != nil:
		return pull.Connected(c.nc)
	case errors.Is(err, errNotPulled) && c.Ledger() != nil:
		return nil // no other replica would claim either
	default:
		return err
	}
}

// Ledger returns why the ledger cannot be relied on or why its mark is not kept, nil if there
// is not a problem.
func (c *Consumer) Ledger() error { return c.handler.ledger.guard.condition() }
