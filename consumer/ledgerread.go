package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// last reads the last event of a key from the stream's leader. It is only a hint: the write
// that follows checks every decision that is based on it.
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

// unreadableError reports that the request's events cannot be read.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string {
	return "the request's events cannot be read: " + e.err.Error()
}
func (e *unreadableError) Unwrap() error { return e.err }

// lastOwn returns the last event on the filter, nil if there is none, and the sequence of the
// last message, 0 if there is none. Foreign messages are skipped: they never shadow a claim
// or an outcome.
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

// lastOn returns the last message on the filter as an event.
func (l *ledger) lastOn(ctx context.Context, filter string) (record, error) {
	msg, err := l.events.GetLastMsgForSubject(ctx, filter)
	if err != nil {
		return record{}, fmt.Errorf("read the ledger for %s: %w", filter, err)
	}
	return recordOf(msg)
}

// recordOf decodes a message of the events stream.
func recordOf(msg *jetstream.RawStreamMsg) (record, error) {
	kind, _, _, err := publisher.ParseEventSubject(msg.Subject)
	if err != nil {
		return record{}, err
	}
	event, err := schemas.DecodeEvent(kind, msg.Data)
	if err != nil {
		return record{}, fmt.Errorf("read the ledger for %s: %w", msg.Subject, err)
	}
	return record{event: event, sequence: msg.Sequence, stored: msg.Time}, nil
}

// shown returns when the job of a call must have shown, by the server's clock: after the lease of
// the claim under which the call was made, and the visibility window. Nothing is sent under a claim
// in doubt, so later claims of the request do not change that. The result is zero if the message is
// no such claim of the same request, as after [Recover].
func (l *ledger) shown(msg *jetstream.RawStreamMsg, former *schemas.JobSubmitting) time.Time {
	r, err := recordOf(msg)
	if err != nil {
		return time.Time{}
	}
	c, isClaim := r.event.(*schemas.JobSubmitting)
	if !isClaim || c.Source != former.Source || c.RequestID != former.RequestID || c.LeaseMillis <= 0 || c.DoubtSequence != 0 {
		return time.Time{}
	}
	return r.stored.Add(time.Duration(c.LeaseMillis)*time.Millisecond + l.visibility)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
