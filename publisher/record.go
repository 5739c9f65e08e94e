package publisher

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// record writes a message that replaces the last one on a subject if that has the
// sequence after, 0 for none, and returns its sequence. It repeats the same write until the
// server has decided about it, with the errors of [Publisher.Append].
func (p *Publisher) record(ctx context.Context, subject string, after uint64, data []byte) (uint64, error) {
	return p.compareAndSet(ctx, subject, func() (uint64, error) {
		return p.writeAfter(ctx, &nats.Msg{Subject: subject, Data: data}, subject, after)
	})
}

// lastRecord returns the last message on a subject, from the stream's leader, with its sequence:
// nil and 0 if there is none.
func lastRecord(ctx context.Context, events jetstream.Stream, subject string) (data []byte, sequence uint64, err error) {
	msg, err := events.GetLastMsgForSubject(ctx, subject)
	if hasCode(err, jetstream.JSErrCodeMessageNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", subject, err)
	}
	return msg.Data, msg.Sequence, nil
}
