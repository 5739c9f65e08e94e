package admission

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// countTimeout bounds one decision, including the wait for the lock.
	countTimeout = 5 * time.Second
	// skew bounds the clock difference between the servers that store requests and
	// events.
	skew = time.Minute
	// retention is how much longer than an hour the book keeps requests, for those
	// that arrive out of order. For an older request the claims are read again.
	retention = 2 * time.Hour
)

// counter counts the accepted requests of one source by their claims.
type counter struct {
	used    time.Time // guarded by Gate.mu
	mayRead bool      // may have a consumer; guarded by Gate.mu
	// tickets numbers the calls of admit. A call that began before the last read did
	// uses its result, so a burst of calls needs few reads.
	tickets atomic.Uint64
	// lock holds one token. Unlike a mutex, waiting for it can end with a context. It
	// guards the fields below.
	lock chan struct{}

	book   *book // contains every claim since claims.from
	claims claims
	served uint64 // the last ticket that began before the last read
}

func newCounter(js jetstream.JetStream, source string) *counter {
	return &counter{lock: make(chan struct{}, 1), book: newBook(), claims: claims{js: js, source: source}}
}

// release deletes the consumer. The next decision creates another one that continues
// where this one stopped.
func (c *counter) release(ctx context.Context) {
	select {
	case c.lock <- struct{}{}:
		defer func() { <-c.lock }()
		c.claims.unbind(ctx)
	case <-ctx.Done():
	}
}

// admit counts a request or returns when one can be admitted; see [book.admit].
func (c *counter) admit(ctx context.Context, name string, requested time.Time, limit int) (capacityAt time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	ticket := c.tickets.Add(1)
	select {
	case c.lock <- struct{}{}:
		defer func() { <-c.lock }()
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
	if from := requested.Add(-time.Hour - skew); ticket > c.served || from.Before(c.claims.from) {
		last := c.tickets.Load()
		c.served = 0
		if err := c.claims.catchUp(ctx, from, c.book.note); err != nil {
			return time.Time{}, err
		}
		c.served = last
	}
	if old := requested.Add(-retention - time.Hour); c.claims.from.Before(old) {
		c.claims.from = old
		c.book.forget(old)
	}
	return c.book.admit(name, requested, limit, time.Now()), nil
}
