package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// noteTry records an attempt to write an event or a dead letter. An attempt that the stream
// rejects is reported at once, because the write is repeated until it succeeds.
func (c *Consumer) noteTry(try publisher.Try) {
	c.writes.Note(try)
	if try.Err == nil || try.Kind == "" || c.cfg.Observer == nil {
		return
	}
	step := StepRecord
	if try.Kind == schemas.KindJobSubmitting {
		step = StepClaim
	}
	c.cfg.Observer.Wrote(context.Background(), Write{Kind: try.Kind, Step: step, Began: time.Now(), Err: try.Err, Again: true})
}

// errFull is the trouble of an events stream that will reject the next message.
var errFull = errors.New("it is full")

// LedgerMade returns when the events stream was made that this consumer works on. It tells one
// ledger from another.
func (c *Consumer) LedgerMade() time.Time { return c.made.Load().UTC() }

// measure records whether the events stream is full, before a write is rejected, and when it was made.
func (c *Consumer) measure(info *jetstream.StreamInfo) {
	c.made.Store(&info.Created)
	used, limit := publisher.Fullness(info)
	trouble := c.Writable()
	switch {
	case used >= 1 && (trouble == nil || errors.Is(trouble, errFull)):
		c.writes.Note(publisher.Try{Stream: publisher.EventsStream, Err: fmt.Errorf("%w: %s", errFull, limit)})
	case used < 1 && errors.Is(trouble, errFull):
		c.writes.Note(publisher.Try{Stream: publisher.EventsStream})
	}
}

// noteStorage records whether the server has storage, by a write of the ledger's mark.
// Without storage no stream takes messages.
func (c *Consumer) noteStorage(err error) {
	for _, stream := range []string{publisher.EventsStream, publisher.DeadLetterStream} {
		switch {
		case publisher.StorageUsedUp(err):
			c.writes.Note(publisher.Try{Stream: stream, Err: err})
		case err == nil && publisher.StorageUsedUp(c.writes.Trouble(stream)):
			c.writes.Note(publisher.Try{Stream: stream})
		}
	}
}

// Writable returns why events cannot be written, nil if no problem is known. Without them
// requests are not claimed and outcomes not recorded.
func (c *Consumer) Writable() error { return c.writes.Trouble(publisher.EventsStream) }

// DeadLetters returns why dead letters cannot be written, nil if no problem is known. A
// request that needs one stays in the queue.
func (c *Consumer) DeadLetters() error { return c.writes.Trouble(publisher.DeadLetterStream) }
