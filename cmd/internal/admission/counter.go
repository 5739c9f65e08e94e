package admission

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// countTimeout bounds one decision, the wait for its turn included.
	countTimeout = 5 * time.Second
	// skew is by how much the clocks of the servers may differ that store requests
	// and events.
	skew = time.Minute
	// memory is how far back of a request the book is kept, beyond the hour, for
	// requests that come out of turn. For an older one it is read anew.
	memory = 2 * time.Hour
)

// counter knows the accepted requests of one source from their claims.
type counter struct {
	used  time.Time // by the gate
	reads bool      // may have a consumer; of the gate
	// tickets counts those who came. Who came before the last reading began need not
	// read again: what a burst asks is answered by few readings.
	tickets atomic.Uint64
	// turn holds one token, so that a wait for it can end with a context. What
	// follows belongs to whoever has it.
	turn chan struct{}

	book   *book // every claim since claims.from is in it
	claims claims
	served uint64 // the last ticket that the last reading is new enough for
}

func newCounter(js jetstream.JetStream, source string) *counter {
	return &counter{turn: make(chan struct{}, 1), book: newBook(), claims: claims{js: js, source: source}}
}

// release deletes the consumer; the next decision makes another one, which goes on
// where this one stopped.
func (c *counter) release(ctx context.Context) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
		c.claims.unbind(ctx)
	case <-ctx.Done():
	}
}

// admit counts a request or says when there is room; see [book.admit].
func (c *counter) admit(ctx context.Context, name string, requested time.Time, limit int) (room time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	ticket := c.tickets.Add(1)
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
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
	if old := requested.Add(-memory - time.Hour); c.claims.from.Before(old) {
		c.claims.from = old
		c.book.forget(old)
	}
	return c.book.admit(name, requested, limit, time.Now()), nil
}
