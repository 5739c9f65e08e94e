package admission

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
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
	// inactive is when the server removes a consumer that nobody asks.
	inactive = 5 * time.Minute
	// batch is how many claims are read at once.
	batch = 256
)

// counter knows the accepted requests of one source from their claims.
type counter struct {
	js     jetstream.JetStream
	source string
	used   time.Time // by the gate
	// tickets counts those who came. Who came before the last reading began need not
	// read again: what a burst asks is answered by few readings.
	tickets atomic.Uint64
	// turn holds one token, so that a wait for it can end with a context. What
	// follows belongs to whoever has it.
	turn chan struct{}

	book   *book
	served uint64 // the last ticket that the last reading is new enough for
	// from: every claim that was stored since is in the book, up to the last that
	// the consumer delivered.
	from time.Time
	// claims reads on where the last decision stopped; nil if it has to be made.
	claims    jetstream.Consumer
	delivered uint64 // by claims
	last      uint64 // sequence in the stream
}

func newCounter(js jetstream.JetStream, source string) *counter {
	return &counter{js: js, source: source, turn: make(chan struct{}, 1), book: newBook()}
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
	if from := requested.Add(-time.Hour - skew); ticket > c.served || from.Before(c.from) {
		last := c.tickets.Load()
		c.served = 0
		if err := c.catchUp(ctx, from); err != nil {
			return time.Time{}, err
		}
		c.served = last
	}
	if old := requested.Add(-memory - time.Hour); c.from.Before(old) {
		c.from = old
		c.book.forget(old)
	}
	return c.book.admit(name, requested, limit, time.Now()), nil
}

// catchUp reads the claims that were stored since a time and up to now. What was
// delivered and did not arrive, and a consumer that is gone, is read again.
func (c *counter) catchUp(ctx context.Context, from time.Time) error {
	if c.from.IsZero() || from.Before(c.from) {
		c.claims, c.last, c.from = nil, 0, from
	}
	for {
		if c.claims == nil {
			if err := c.bind(ctx); err != nil {
				return err
			}
		}
		info, err := c.claims.Info(ctx)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			c.claims = nil
			continue
		case err != nil:
			return err
		case info.Delivered.Consumer != c.delivered:
			c.claims = nil
			continue
		case info.NumPending == 0:
			return nil
		}
		if err := c.read(ctx, int(min(info.NumPending, batch))); err != nil {
			c.claims = nil
			return err
		}
	}
}

// bind makes a consumer that goes on behind the last claim that was read.
func (c *counter) bind(ctx context.Context) error {
	cfg := jetstream.ConsumerConfig{
		Description:   "counts the requests of a source",
		FilterSubject: publisher.EventFilter(schemas.KindJobSubmitting, c.source),
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &c.from,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: inactive,
	}
	if c.last > 0 {
		cfg.DeliverPolicy, cfg.OptStartTime, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, nil, c.last+1
	}
	claims, err := c.js.CreateConsumer(ctx, publisher.EventsStream, cfg)
	if err != nil {
		return err
	}
	c.claims, c.delivered = claims, 0
	return nil
}

func (c *counter) read(ctx context.Context, n int) error {
	messages, err := c.claims.Fetch(n, jetstream.FetchContext(ctx))
	if err != nil {
		return err
	}
	for msg := range messages.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != c.delivered+1 {
			return errors.New("claims were lost on their way")
		}
		c.delivered, c.last = meta.Sequence.Consumer, meta.Sequence.Stream
		kind, key, err := publisher.ParseEventSubject(msg.Subject())
		if err != nil {
			continue
		}
		if e, err := schemas.DecodeEvent(kind, msg.Data()); err == nil {
			c.book.note(key.Name, e.Requested().RequestedAt)
		}
	}
	return messages.Error()
}
