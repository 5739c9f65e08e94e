package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/trigger"
	"backhaul/publisher"
)

// Trigger is a snapshot of the notifications for `backhaul trigger`.
type Trigger struct {
	// Waiting is the number of notifications that are not delivered yet.
	Waiting uint64 `json:"waiting"`
	// InFlight is the number of notifications in flight: collected for a window, and not
	// part of a request yet.
	InFlight uint64 `json:"inHand"`
	// Oldest is when the oldest notification was stored, zero if the stream is empty.
	Oldest time.Time `json:"oldest,omitzero"`
	// LastDecision is the decision on the last window that ended, of any content
	// group; nil before the first.
	LastDecision *trigger.Decision `json:"lastDecision,omitempty"`
	// Reader is the state that the reading replica broadcasts, nil if none does. Open
	// windows are only in that replica's memory.
	Reader *trigger.State `json:"reader,omitempty"`
}

// LookAtTrigger reads the state of the notifications from the server and listens for
// the reading replica, which takes half a second, or 1.5 s without such a replica. It
// returns nil if the notifications stream does not exist.
func LookAtTrigger(ctx context.Context, js jetstream.JetStream) (*Trigger, error) {
	stream, err := js.Stream(ctx, publisher.StorageStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of stream %s: %w", publisher.StorageStream, err)
	}
	// A stream that was created by hand or in part may lack the consumer or the windows
	// stream. Then nothing is in flight, or nothing was decided.
	notifications := stream.CachedInfo().State
	t := Trigger{Waiting: notifications.Msgs}
	if notifications.Msgs > 0 {
		t.Oldest = notifications.FirstTime.UTC()
	}
	consumer, err := js.Consumer(ctx, publisher.StorageStream, publisher.StorageConsumer)
	switch {
	case err == nil:
		info := consumer.CachedInfo()
		t.Waiting, t.InFlight = info.NumPending, uint64(max(info.NumAckPending, 0))
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, fmt.Errorf("read the state of consumer %s of %s: %w", publisher.StorageConsumer, publisher.StorageStream, err)
	}
	windows, err := js.Stream(ctx, publisher.WindowsStream)
	switch {
	case err == nil:
		if t.LastDecision, err = trigger.LastDecision(ctx, windows); err != nil {
			return nil, err
		}
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, fmt.Errorf("read the state of stream %s: %w", publisher.WindowsStream, err)
	}
	if t.Reader, err = trigger.Listen(ctx, js.Conn()); err != nil {
		return nil, err
	}
	return &t, nil
}

// Age returns the age of the oldest notification, 0 if the stream is empty.
func (t Trigger) Age(now time.Time) time.Duration {
	return State{Oldest: t.Oldest}.Age(now)
}
