package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/sleep"
	"backhaul/consumer/logonce"
	"backhaul/publisher"
)

// sweepTimeout bounds each question to the server.
const sweepTimeout = 5 * time.Second

// sweep processes requests that the server no longer delivers, until ctx ends. After a crash
// of a server that does not sync every write, a consumer's state may be older or newer than
// its stream's. A message that was not acknowledged may then be below the acknowledgement
// floor, and is never redelivered; a message that was acknowledged may be in the stream again
// (seen with nats-server 2.15.2, one replica, after a shutdown under load). The sweep processes
// such a message like any delivery, so the ledger keeps the guarantee, and deletes it when its
// outcome is on record.
//
// A message must be below the floor of the sweep before, because a cluster removes a message
// some time after its acknowledgement.
func (c *Consumer) sweep(ctx context.Context, work func(*delivery)) {
	var trouble logonce.Last
	var before uint64 // the floor of the sweep before
	for sleep.For(ctx, c.cfg.SweepInterval) {
		c.inherit(ctx)
		floor, err := c.floor(ctx)
		if err == nil {
			err = c.sweepBelow(ctx, min(before, floor), work)
		}
		if trouble.Changed(err) && err != nil && ctx.Err() == nil {
			c.log.Warn().Err(err).Msg("cannot look for requests that the server has forgotten")
		}
		before = floor
	}
}

// floor returns the sequence up to which the consumer regards every message as acknowledged.
func (c *Consumer) floor(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	state, err := c.queue.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("consumer %s: %w", publisher.RequestsConsumer, err)
	}
	return state.AckFloor.Stream, nil
}

// sweepBelow processes the messages in the queue up to a sequence.
func (c *Consumer) sweepBelow(ctx context.Context, last uint64, work func(*delivery)) error {
	for next, taken := uint64(1), 0; next <= last; taken++ {
		msg, err := c.next(ctx, next)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound), err == nil && msg.Sequence > last:
			return nil
		case err != nil:
			return fmt.Errorf("read request %d: %w", next, err)
		}
		if taken == 0 { // there may be thousands
			c.log.Warn().Uint64("sequence", msg.Sequence).Msg("resuming requests that the server no longer delivers")
		}
		c.log.Debug().Uint64("sequence", msg.Sequence).Msg("resuming a request that the server no longer delivers")
		work(c.sweptDelivery(msg))
		next = msg.Sequence + 1
	}
	return nil
}

// next returns the first message in the queue with this sequence or a higher one.
func (c *Consumer) next(ctx context.Context, sequence uint64) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	return c.requests.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(publisher.AnyRequest))
}

// sweptDelivery returns a delivery whose acknowledgement deletes the message.
func (c *Consumer) sweptDelivery(msg *jetstream.RawStreamMsg) *delivery {
	return c.readDelivery(msg, 1, swept{c, msg})
}

// readDelivery returns the delivery of a message that was read from the stream.
func (c *Consumer) readDelivery(msg *jetstream.RawStreamMsg, delivered uint64, r reading) *delivery {
	d := newDelivery(&nats.Msg{Subject: msg.Subject, Header: msg.Header, Data: msg.Data}, msg.Sequence, msg.Time, delivered)
	d.reading = r
	return d
}

// swept is a message that the server no longer delivers. Each sweep finds it again.
type swept struct {
	*Consumer
	msg *jetstream.RawStreamMsg
}

func (s swept) postpone(time.Duration) {}

func (s swept) remove() {
	if err := s.deleteRequest(s.msg); err != nil {
		s.log.Warn().Err(err).Uint64("sequence", s.msg.Sequence).Msg("cannot delete a finished request; the next sweep tries again")
	}
}

// deleteRequest deletes a message that was read from the stream and whose outcome is on
// record. A stream that was made again since may have another message with its sequence, which
// stays: the time tells them apart.
func (c *Consumer) deleteRequest(msg *jetstream.RawStreamMsg) error {
	ctx, cancel := context.WithTimeout(context.Background(), sweepTimeout)
	defer cancel()
	var failed error
	for range 2 {
		stored, err := c.requests.GetMsg(ctx, msg.Sequence)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound), err == nil && !stored.Time.Equal(msg.Time):
			return nil // another replica may have deleted it as well, which the server calls a failure
		case err != nil:
			return errors.Join(failed, err)
		}
		if failed = c.requests.DeleteMsg(ctx, msg.Sequence); failed == nil {
			return nil
		}
	}
	return failed
}
