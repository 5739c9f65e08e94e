package publisher

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/schemas"
)

// IsEvent tells whether a message was published as the event about a request that its
// subject names: its CloudEvents id says so. An answer of JetStream can be stored on
// such a subject as well, because a server does not check the reply subject that a
// client names (deploy/nats/README.md, Reply subjects). It has no such id.
func IsEvent(subject string, header nats.Header) bool {
	kind, key, err := ParseEventSubject(subject)
	id, idErr := schemas.Header(header).Attribute("id")
	return err == nil && idErr == nil && id == key.EventID(kind)
}

// ReadEvent is the event that a message of the events stream is. What is none, and an
// event of a kind that this version does not know, is an error.
func ReadEvent(subject string, header nats.Header, data []byte) (Key, schemas.Event, error) {
	kind, key, err := ParseEventSubject(subject)
	if err != nil {
		return key, nil, err
	}
	if !IsEvent(subject, header) {
		return key, nil, fmt.Errorf("the message on %s is no event: its ce-id is not that of one", subject)
	}
	e, err := schemas.DecodeEvent(kind, data)
	return key, e, err
}

// LastEvent is the last message on the filter that is an event ([IsEvent]), as the
// stream's leader has it, and the last message of all; each is nil if there is none.
func LastEvent(ctx context.Context, events jetstream.Stream, filter string) (event, last *jetstream.RawStreamMsg, err error) {
	last, err = events.GetLastMsgForSubject(ctx, filter)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("read the last event on %s: %w", filter, err)
	case IsEvent(last.Subject, last.Header):
		return last, last, nil
	}
	// A stream cannot be read backwards.
	for next := uint64(1); next < last.Sequence; {
		msg, err := events.GetMsg(ctx, next, jetstream.WithGetMsgSubject(filter))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return event, last, nil
		case err != nil:
			return nil, nil, fmt.Errorf("read the events on %s: %w", filter, err)
		case msg.Sequence < last.Sequence && IsEvent(msg.Subject, msg.Header):
			event = msg
		}
		next = msg.Sequence + 1
	}
	return event, last, nil
}
