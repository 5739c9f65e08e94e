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

const (
	// sweepTimeout bounds each question to the server.
	sweepTimeout = 5 * time.Second
	// maxSwept limits the requests of one sweep.
	maxSwept = 100
)

// sweep processes requests that the server no longer delivers, until ctx ends. After a crash
// of a server that does not sync every write, a consumer's state may be older or newer than
// its stream's. A message that was not acknowledged may then be below the acknowledgement
// floor, and is never redelivered (seen with nats-server 2.15.2, one replica, after a
// shutdown under load). The sweep processes such a message like any delivery, so the ledger
// keeps the guarantee, and deletes it when its outcome is on record.
//
// A message must be below the floor in two sweeps, because a cluster removes a message some
// time after its acknowledgement.
func (c *Consumer) sweep(ctx context.Context, work func(*delivery)) {
	var trouble logonce.Last
	seen := make(map[uint64]bool)
	for sleep.For(ctx, c.cfg.SweepInterval) {
		lost, err := c.forgotten(ctx)
		if trouble.Changed(err) && err != nil && ctx.Err() == nil {
			c.log.Warn().Err(err).Msg("cannot look for requests that the server has forgotten")
		}
		before := seen
		seen = make(map[uint64]bool)
		for _, d := range lost {
			if !before[d.sequence] {
				seen[d.sequence] = true
				continue
			}
			c.log.Warn().Uint64("sequence", d.sequence).Str("source", d.source).Msg("resuming a request that the server no longer delivers")
			work(d)
		}
	}
}

// forgotten returns the messages in the queue that their consumer regards as acknowledged.
func (c *Consumer) forgotten(ctx context.Context) ([]*delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	// The stream is read last, so that it lacks what is acknowledged in between.
	state, err := c.queue.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", publisher.RequestsConsumer, err)
	}
	stream, err := c.requests.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", publisher.RequestsStream, err)
	}
	var lost []*delivery
	for next := stream.State.FirstSeq; stream.State.Msgs > 0 && next <= state.AckFloor.Stream && len(lost) < maxSwept; {
		msg, err := c.requests.GetMsg(ctx, next, jetstream.WithGetMsgSubject(publisher.AnyRequest))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read request %d: %w", next, err)
		}
		if msg.Sequence > state.AckFloor.Stream {
			break
		}
		lost = append(lost, c.sweptDelivery(msg))
		next = msg.Sequence + 1
	}
	return lost, nil
}

// sweptDelivery returns a delivery whose acknowledgement deletes the message.
func (c *Consumer) sweptDelivery(msg *jetstream.RawStreamMsg) *delivery {
	d := newDelivery(&nats.Msg{Subject: msg.Subject, Header: msg.Header, Data: msg.Data}, msg.Sequence, msg.Time, 1)
	d.remove = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), sweepTimeout)
		defer cancel()
		err := c.requests.DeleteMsg(ctx, msg.Sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = nil // another replica swept it as well
		}
		if err != nil {
			c.log.Warn().Err(err).Uint64("sequence", msg.Sequence).Msg("cannot delete a finished request; the next sweep tries again")
		}
		return err
	}
	return d
}
