package deadletter

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// State is what became of a dead letter.
type State string

// The states. A replay that fails has a dead letter of its own, which is open then: so of the
// dead letters of a request and its replays, one at most is open.
const (
	Open      State = "open"      // no replay
	Replayed  State = "replayed"  // its replay has no outcome yet, or failed; or it was put back
	Succeeded State = "succeeded" // a replay has started a job, or a replay of that one
)

// States lists every state.
var States = []State{Open, Replayed, Succeeded}

// State returns what became of the dead letter.
func (l Message) State() State {
	switch {
	case l.succeeded:
		return Succeeded
	case len(l.Replays) > 0:
		return Replayed
	}
	return Open
}

// CodeText returns the code in both of its forms: the vendor's, and that of the vendor's logs.
func (l Message) CodeText() string {
	if form := schemas.LogCode(l.Code); form != "" {
		return l.Code + " (" + form + ")"
	}
	return l.Code
}

// chains has the newest replay of each request that was replayed.
type chains map[publisher.Key]publisher.Key

func (c chains) note(e schemas.OperatorEvent) {
	if e.Replay.Key != "" {
		c[publisher.Key{Source: e.DeadLetter.Source, Name: e.DeadLetter.Key}] = publisher.Key{Source: e.DeadLetter.Source, Name: e.Replay.Key}
	}
}

// maxChain bounds how many replays of replays are followed.
const maxChain = 100

// addOutcomes reads what became of the replays, and of their replays.
func (s *Store) addOutcomes(ctx context.Context, messages []Message, c chains) error {
	r := outcomeReader{js: s.js, read: make(map[publisher.Key]schemas.Event)}
	for i := range messages {
		l := &messages[i]
		for j := range l.Replays {
			replay := &l.Replays[j]
			key := publisher.Key{Source: l.Key.Source, Name: replay.Key}
			var err error
			if replay.Last, err = r.last(ctx, key); err != nil {
				return err
			}
			l.succeeded = l.succeeded || isStarted(replay.Last)
			for range maxChain {
				next, ok := c[key]
				if !ok || l.succeeded {
					break
				}
				last, err := r.last(ctx, next)
				if err != nil {
					return err
				}
				key, l.succeeded = next, isStarted(last)
			}
		}
	}
	return nil
}

func isStarted(e schemas.Event) bool {
	_, is := e.(*schemas.JobStarted)
	return is
}

// outcomeReader reads the last events of requests, each once.
type outcomeReader struct {
	js     jetstream.JetStream
	events jetstream.Stream // nil until the first is read
	read   map[publisher.Key]schemas.Event
}

// last returns the last event of a request, nil if it has none, or one of a later version.
func (r *outcomeReader) last(ctx context.Context, key publisher.Key) (schemas.Event, error) {
	if known, ok := r.read[key]; ok {
		return known, nil
	}
	var err error
	if r.events == nil {
		if r.events, err = r.js.Stream(ctx, publisher.EventsStream); err != nil {
			return nil, fmt.Errorf("read %s: %w", publisher.EventsStream, err)
		}
	}
	msg, _, err := publisher.LastEvent(ctx, r.events, key.Filter())
	if err != nil {
		return nil, err
	}
	var last schemas.Event
	if msg != nil {
		if _, event, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data); err == nil {
			last = event
		}
	}
	r.read[key] = last
	return last, nil
}
