package publisher

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// PausesSubject is the subject on the events stream of the scopes that operators have paused. Its
// last message lists all of them. Like [TurnSubject] it has a token less than the events of
// requests.
const PausesSubject = eventPrefix + "paused.scopes"

// RecordPauses writes the list of the paused scopes if the last one has the sequence after, 0 for
// none, and returns its sequence. It repeats the same write until the server has decided about it,
// with the errors of [Publisher.Append].
func (p *Publisher) RecordPauses(ctx context.Context, after uint64, list []byte) (uint64, error) {
	return p.record(ctx, PausesSubject, after, list)
}

// LastPauses returns the last list of the paused scopes, from the stream's leader, with its
// sequence: nil and 0 if there is none.
func LastPauses(ctx context.Context, events jetstream.Stream) (list []byte, sequence uint64, err error) {
	return lastRecord(ctx, events, PausesSubject)
}

// WaitSubject is the subject on the events stream of the wait that the vendor asked for. Its last
// message has the longest one.
const WaitSubject = eventPrefix + "paused.vendor"

// RecordWait writes the wait that the vendor asked for, as [Publisher.RecordPauses] writes the list.
func (p *Publisher) RecordWait(ctx context.Context, after uint64, wait []byte) (uint64, error) {
	return p.record(ctx, WaitSubject, after, wait)
}

// LastWait returns the last wait on record, as [LastPauses] returns the list.
func LastWait(ctx context.Context, events jetstream.Stream) (wait []byte, sequence uint64, err error) {
	return lastRecord(ctx, events, WaitSubject)
}
