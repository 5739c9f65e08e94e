package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/news"
	"backhaul/publisher"
)

const (
	// sweepTimeout bounds each question to the server.
	sweepTimeout = 5 * time.Second
	// maxSwept bounds what one sweep takes up.
	maxSwept = 100
)

// sweep takes up requests that the server has forgotten to deliver, until ctx
// ends. A consumer's state may be older or newer than its stream's after a crash
// of a server that does not sync every write: a message that nobody acknowledged
// then lies below the acknowledgement floor and is never delivered again (seen
// with nats-server 2.15.2, one replica, after a shutdown under load). The sweep
// works on it like on any delivery, so the ledger keeps the promise, and deletes
// it when its outcome is on record.
//
// A message must be below the floor in two sweeps: between an acknowledgement
// and the removal of its message there is a moment on a cluster.
func (c *Consumer) sweep(ctx context.Context, work func(*delivery)) {
	var trouble news.Teller
	seen := make(map[uint64]bool)
	for sleep(ctx, c.cfg.SweepInterval) {
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
			c.log.Warn().Uint64("sequence", d.sequence).Str("source", d.source).Msg("request was forgotten by the server, taken up again")
			work(d)
		}
	}
}

// forgotten are messages in the queue that their consumer takes for done.
func (c *Consumer) forgotten(ctx context.Context) ([]*delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	// In this order: what is acknowledged in between is missing in the second.
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
			c.log.Warn().Err(err).Uint64("sequence", msg.Sequence).Msg("cannot delete a finished request; it is looked at again")
		}
		return err
	}
	return d
}
