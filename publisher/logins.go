package publisher

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
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
	return p.compareAndSet(ctx, LoginsSubject, func() (uint64, error) {
		return p.writeAfter(ctx, &nats.Msg{Subject: LoginsSubject, Data: record}, LoginsSubject, after)
	})
}

// LastLogins returns the last state of the logins, from the stream's leader, with
// its sequence: nil and 0 if there is none.
func LastLogins(ctx context.Context, events jetstream.Stream) (record []byte, sequence uint64, err error) {
	msg, err := events.GetLastMsgForSubject(ctx, LoginsSubject)
	if hasCode(err, jetstream.JSErrCodeMessageNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", LoginsSubject, err)
	}
	return msg.Data, msg.Sequence, nil
}
