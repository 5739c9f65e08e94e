package consumer

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// last reads our last event of a key from the stream's leader. It is no more than a
// hint: every decision taken from it is checked again by the write that follows.
func (l *ledger) last(ctx context.Context, key publisher.Key) (record, error) {
	own, _, err := l.lastOwn(ctx, key.Filter())
	if err != nil {
		return record{}, err
	}
	if own == nil {
		return record{}, fmt.Errorf("read the ledger for %s: %w", key, jetstream.ErrMsgNotFound)
	}
	r, err := recordOf(own)
	if err != nil {
		err = &unreadableError{err}
	}
	return r, err
}

// unreadableError: what the request's events say cannot be found out.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string {
	return "the request's events cannot be read: " + e.err.Error()
}
func (e *unreadableError) Unwrap() error { return e.err }

// lastOwn is the last of a key's messages on the filter that is an event, nil if there
// is none, and the sequence of the last message of all, 0 for none. What is no event is
// neither a claim nor an outcome, and hides none.
func (l *ledger) lastOwn(ctx context.Context, filter string) (own *jetstream.RawStreamMsg, end uint64, err error) {
	own, last, err := l.reader.Last(ctx, filter)
	if err != nil || last == nil {
		return nil, 0, err
	}
	if own != last && l.foreign != nil {
		l.foreign(last)
	}
	return own, last.Sequence, nil
}

// lastOn is the last message on the filter, as an event.
func (l *ledger) lastOn(ctx context.Context, filter string) (record, error) {
	msg, err := l.events.GetLastMsgForSubject(ctx, filter)
	if err != nil {
		return record{}, fmt.Errorf("read the ledger for %s: %w", filter, err)
	}
	return recordOf(msg)
}

func recordOf(msg *jetstream.RawStreamMsg) (record, error) {
	kind, _, err := publisher.ParseEventSubject(msg.Subject)
	if err != nil {
		return record{}, err
	}
	event, err := schemas.DecodeEvent(kind, msg.Data)
	if err != nil {
		return record{}, fmt.Errorf("read the ledger for %s: %w", msg.Subject, err)
	}
	return record{event: event, sequence: msg.Sequence, stored: msg.Time}, nil
}
