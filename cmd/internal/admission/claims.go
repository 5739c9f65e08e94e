package admission

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

const (
	// inactive is the time after which the server deletes an unused consumer.
	inactive = 30 * time.Second
	// batch is the largest number of claims in one read.
	batch = 256
)

// claims reads the claims of a source. Each read continues where the last stopped.
type claims struct {
	js     jetstream.JetStream
	source string
	// from is the time since when every stored claim was noted, up to the last that
	// the consumer delivered.
	from time.Time
	// consumer continues where the last read stopped. If nil, bind creates it.
	consumer  jetstream.Consumer
	delivered uint64 // by consumer
	last      uint64 // sequence in the stream
}

// noteFunc is called with the name of each claim's key and when its request was made.
type noteFunc func(name string, requested time.Time)

// catchUp reads the claims that were stored from a time until now. It reads again if
// a delivered claim did not arrive or the consumer no longer exists.
func (c *claims) catchUp(ctx context.Context, from time.Time, note noteFunc) error {
	if c.from.IsZero() || from.Before(c.from) {
		c.unbind(ctx)
		c.last, c.from = 0, from
	}
	for {
		if c.consumer == nil {
			if err := c.bind(ctx); err != nil {
				return err
			}
		}
		info, err := c.consumer.Info(ctx)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			c.consumer = nil
			continue
		case err != nil:
			return err
		case info.Delivered.Consumer != c.delivered:
			c.unbind(ctx)
			continue
		case info.NumPending == 0:
			return nil
		}
		if err := c.read(ctx, int(min(info.NumPending, batch)), note); err != nil {
			c.unbind(ctx)
			return err
		}
	}
}

// unbind deletes the consumer.
func (c *claims) unbind(ctx context.Context) {
	if c.consumer != nil {
		eventlog.DeleteConsumer(ctx, c.js, publisher.EventsStream, c.consumer.CachedInfo().Name)
		c.consumer = nil
	}
}

// bind creates a consumer that starts after the last claim that was read.
func (c *claims) bind(ctx context.Context) error {
	cfg := jetstream.ConsumerConfig{
		Name:          "counter-" + rand.Text(), // known here, so it can be deleted even if the answer is lost
		Description:   "counts the requests of a source",
		FilterSubject: publisher.EventFilter(schemas.KindJobSubmitting, c.source),
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &c.from,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: inactive,
	}
	if c.last > 0 {
		cfg.DeliverPolicy, cfg.OptStartTime, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, nil, c.last+1
	}
	consumer, err := c.js.CreateConsumer(ctx, publisher.EventsStream, cfg)
	if err != nil {
		eventlog.DeleteConsumer(ctx, c.js, publisher.EventsStream, cfg.Name)
		return err
	}
	c.consumer, c.delivered = consumer, 0
	return nil
}

// read fetches up to n claims and passes each to note.
func (c *claims) read(ctx context.Context, n int, note noteFunc) error {
	messages, err := c.consumer.Fetch(n, jetstream.FetchContext(ctx))
	if err != nil {
		return err
	}
	for msg := range messages.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != c.delivered+1 {
			return errors.New("claims were lost in delivery")
		}
		c.delivered, c.last = meta.Sequence.Consumer, meta.Sequence.Stream
		if key, e, err := publisher.ReadEvent(msg.Subject(), msg.Headers(), msg.Data()); err == nil {
			note(key.Name, e.Requested().RequestedAt)
		}
	}
	return messages.Error()
}
