package publisher

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// LoginsSubject is where the state of the logins at the vendor is kept, on the
// events stream. It has a token less than the events of requests, so no filter of a
// key matches it.
const LoginsSubject = eventPrefix + "vendor.logins"

// RecordLogins writes the state of the logins if the last one has the sequence
// after, 0 for none, and returns its sequence. It repeats the same write until the
// server has decided about it, with the errors of [Publisher.Append].
func (p *Publisher) RecordLogins(ctx context.Context, after uint64, record []byte) (uint64, error) {
	return p.record(ctx, LoginsSubject, after, record)
}

// LastLogins returns the last state of the logins, from the stream's leader, with
// its sequence: nil and 0 if there is none.
func LastLogins(ctx context.Context, events jetstream.Stream) (record []byte, sequence uint64, err error) {
	return lastRecord(ctx, events, LoginsSubject)
}
