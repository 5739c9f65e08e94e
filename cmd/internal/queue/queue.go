// Package queue reads the state of the requests stream and of the storage
// notifications stream with their consumers, and pauses and resumes the requests.
//
// The state comes from STREAM.INFO and CONSUMER.INFO and is a snapshot. Only [Pause]
// and [Resume] change anything.
package queue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/order"
	"backhaul/publisher"
)

// State is a snapshot of the queue.
type State struct {
	// Waiting is the number of requests that are not delivered yet.
	Waiting uint64 `json:"waiting"`
	// InFlight is the number of requests in flight: delivered and not settled, including
	// those that wait for a delayed redelivery.
	InFlight uint64 `json:"inHand"`
	// Redelivered is how many of the requests in flight were delivered more than once.
	Redelivered uint64 `json:"redelivered"`
	// Oldest is when the oldest request was stored, zero if the stream is empty.
	Oldest time.Time `json:"oldest,omitzero"`
	// PausedFor is for how much longer the server pauses delivery, 0 if not paused.
	PausedFor time.Duration `json:"-"`
	// Pulls is the number of pulls waiting at the server. 0 means that no replica is
	// ready for work at the moment.
	Pulls int `json:"pulls"`
	// Lines are the requests in the stream by source and priority, at most maxLines.
	Lines []order.Line `json:"lines,omitempty"`
}

// maxLines bounds the sources that are listed.
const maxLines = 1000

// Look reads the state of the queue from the server.
func Look(ctx context.Context, js jetstream.JetStream) (State, error) {
	stream, err := js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return State{}, fmt.Errorf("read the state of stream %s: %w", publisher.RequestsStream, err)
	}
	found, err := stream.Info(ctx, jetstream.WithSubjectFilter(publisher.AnyRequest))
	if err != nil {
		return State{}, fmt.Errorf("read the state of stream %s: %w", publisher.RequestsStream, err)
	}
	consumer, err := js.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		return State{}, fmt.Errorf("read the state of consumer %s of %s: %w", publisher.RequestsConsumer, publisher.RequestsStream, err)
	}
	info, requests := consumer.CachedInfo(), found.State
	var lines []order.Line
	if len(requests.Subjects) > 0 {
		lines = order.Lines(requests.Subjects)
	}
	s := State{
		Waiting: info.NumPending, InFlight: uint64(max(info.NumAckPending, 0)), Redelivered: uint64(max(info.NumRedelivered, 0)),
		Pulls: info.NumWaiting, Lines: slices.Clip(lines[:min(len(lines), maxLines)]),
	}
	if requests.Msgs > 0 {
		s.Oldest = requests.FirstTime
	}
	if info.Paused {
		s.PausedFor = info.PauseRemaining
	}
	return s, nil
}

// Age returns the age of the oldest request, 0 if the stream is empty.
func (s State) Age(now time.Time) time.Duration {
	if s.Oldest.IsZero() {
		return 0
	}
	return max(now.Sub(s.Oldest), 0)
}
