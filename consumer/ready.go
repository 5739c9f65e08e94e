package consumer

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// readiness is what the pulls tell: nil when the last one that was answered, or
// not answered in time, had a good answer.
type readiness struct {
	why atomic.Pointer[error]
}

var errNotPulled = errors.New("no pull was answered yet")

func (r *readiness) note(err error) {
	if err == nil {
		r.why.Store(&noTrouble) // for each message: nothing to allocate
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

// Ready is nil while requests are being read: the connection is up, and the
// server answers pulls from the durable consumer, at the latest two heartbeats
// ago. A consumer that has no free place to pull for is ready. It is not before
// its first pull was answered, nor once it is asked to stop.
func (c *Consumer) Ready() error {
	switch err := c.ready.err(); {
	case errors.Is(err, errStopping):
		return err
	case c.nc.Status() != nats.CONNECTED:
		return fmt.Errorf("NATS is not connected: %s", c.nc.Status())
	case errors.Is(err, errNotPulled) && c.Ledger() != nil:
		return nil // another replica would not claim either
	default:
		return err
	}
}

// Ledger returns why the ledger cannot be relied on or what is known of it is not kept,
// nil if all is well.
func (c *Consumer) Ledger() error { return c.handler.ledger.guard.condition() }
