package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// Archive is a snapshot of how far `backhaul archive` has archived the events stream. What the stream
// has dropped before it could be archived does not show: the server moves the consumer past it.
type Archive struct {
	// Until is when the last archived event was stored, zero if nothing was archived or the
	// stream no longer has that event.
	Until time.Time `json:"until,omitzero"`
	// Lag is how many events of the stream are not archived yet.
	Lag uint64 `json:"lag"`
	// Read reports whether a replica archives.
	Read bool `json:"read"`
}

// LookAtArchive reads from the server how far the events are archived. It returns nil if the events
// stream has no consumer for it: nothing is archived then.
func LookAtArchive(ctx context.Context, js jetstream.JetStream) (*Archive, error) {
	info, err := archiverInfo(ctx, js)
	if err == nil && info.NumWaiting == 0 {
		select {
		case <-time.After(readerGap):
		case <-ctx.Done():
		}
		info, err = archiverInfo(ctx, js)
	}
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of consumer %s of %s: %w", publisher.ArchiverConsumer, publisher.EventsStream, err)
	}
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("read the state of stream %s: %w", publisher.EventsStream, err)
	}
	state, last := events.CachedInfo().State, info.AckFloor.Stream
	// While a batch is written and the next one is full, there is no pull.
	acked := info.AckFloor.Last
	a := &Archive{Read: info.NumWaiting > 0 || acked != nil && info.TimeStamp.Sub(*acked) < time.Minute}
	if last < state.LastSeq {
		a.Lag = state.LastSeq - max(last, state.FirstSeq-1)
	}
	if last == 0 {
		return a, nil
	}
	msg, err := events.GetMsg(ctx, last)
	switch {
	case err == nil:
		a.Until = msg.Time.UTC()
	case errors.Is(err, jetstream.ErrMsgNotFound), errors.Is(err, nats.ErrBadHeaderMsg): // dropped, or foreign
	default:
		return nil, fmt.Errorf("read event %d: %w", last, err)
	}
	return a, nil
}

func archiverInfo(ctx context.Context, js jetstream.JetStream) (*jetstream.ConsumerInfo, error) {
	c, err := js.Consumer(ctx, publisher.EventsStream, publisher.ArchiverConsumer)
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}
