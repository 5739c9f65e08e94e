// Package queue tells how the requests stream and its consumer fare, and those of
// storage notifications.
//
// It asks the server for what it knows anyway, by STREAM.INFO and CONSUMER.INFO,
// and changes nothing. What it returns is true of one moment.
package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// State is the queue at one moment.
type State struct {
	// Waiting is how many requests no replica has in hand.
	Waiting uint64 `json:"waiting"`
	// InHand is how many requests are delivered and not settled, those that are
	// to be delivered again after a delay included.
	InHand uint64 `json:"inHand"`
	// Redelivered is how many of those were delivered more than once.
	Redelivered uint64 `json:"redelivered"`
	// Oldest is when the oldest request was stored, zero if there is none.
	Oldest time.Time `json:"oldest,omitzero"`
	// PausedFor is how long the server will deliver nothing, 0 if it does.
	PausedFor time.Duration `json:"-"`
	// Pulls is how many pulls are waiting at the server: 0 means that no replica
	// asks for work at the moment.
	Pulls int `json:"pulls"`
}

// Look asks the server.
func Look(ctx context.Context, js jetstream.JetStream) (State, error) {
	stream, err := js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return State{}, fmt.Errorf("look at stream %s: %w", publisher.RequestsStream, err)
	}
	consumer, err := js.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		return State{}, fmt.Errorf("look at consumer %s of %s: %w", publisher.RequestsConsumer, publisher.RequestsStream, err)
	}
	info, requests := consumer.CachedInfo(), stream.CachedInfo().State
	s := State{
		Waiting: info.NumPending, InHand: uint64(max(info.NumAckPending, 0)), Redelivered: uint64(max(info.NumRedelivered, 0)),
		Pulls: info.NumWaiting,
	}
	if requests.Msgs > 0 {
		s.Oldest = requests.FirstTime
	}
	if info.Paused {
		s.PausedFor = info.PauseRemaining
	}
	return s, nil
}

// Age is how old the oldest request is, 0 if there is none.
func (s State) Age(now time.Time) time.Duration {
	if s.Oldest.IsZero() {
		return 0
	}
	return max(now.Sub(s.Oldest), 0)
}
