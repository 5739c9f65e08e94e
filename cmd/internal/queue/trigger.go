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

// Trigger is what waits for `backhaul trigger` at one moment.
type Trigger struct {
	// Waiting is how many notifications were delivered to nobody yet.
	Waiting uint64 `json:"waiting"`
	// InHand is how many are being collected, and in no request yet.
	InHand uint64 `json:"inHand"`
	// Oldest is when the oldest of both was stored, zero if there is none.
	Oldest time.Time `json:"oldest,omitzero"`
	// LastDecision is about the last window of any content group that ended, nil if
	// none ever did.
	LastDecision *trigger.Decision `json:"lastDecision,omitempty"`
	// Reader is what the replica that reads says of itself, nil if none says
	// anything: open windows are in its memory and nowhere else.
	Reader *trigger.State `json:"reader,omitempty"`
}

// LookAtTrigger asks the server, and listens to the replica that reads, which takes
// half a second, or 1.5 s if there is none. It is nil where there is no stream of
// notifications.
func LookAtTrigger(ctx context.Context, js jetstream.JetStream) (*Trigger, error) {
	stream, err := js.Stream(ctx, publisher.StorageStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", publisher.StorageStream, err)
	}
	// Without a consumer nobody has anything in hand, without windows nothing was
	// decided: the stream may have been made by hand, or half.
	notifications := stream.CachedInfo().State
	t := Trigger{Waiting: notifications.Msgs}
	if notifications.Msgs > 0 {
		t.Oldest = notifications.FirstTime.UTC()
	}
	consumer, err := js.Consumer(ctx, publisher.StorageStream, publisher.StorageConsumer)
	switch {
	case err == nil:
		info := consumer.CachedInfo()
		t.Waiting, t.InHand = info.NumPending, uint64(max(info.NumAckPending, 0))
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, fmt.Errorf("look at consumer %s of %s: %w", publisher.StorageConsumer, publisher.StorageStream, err)
	}
	windows, err := js.Stream(ctx, publisher.WindowsStream)
	switch {
	case err == nil:
		if t.LastDecision, err = trigger.LastDecision(ctx, windows); err != nil {
			return nil, err
		}
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, fmt.Errorf("look at stream %s: %w", publisher.WindowsStream, err)
	}
	if t.Reader, err = trigger.Listen(ctx, js.Conn()); err != nil {
		return nil, err
	}
	return &t, nil
}

// Age is how old the oldest notification is, 0 if there is none.
func (t Trigger) Age(now time.Time) time.Duration {
	return State{Oldest: t.Oldest}.Age(now)
}
