package publisher

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
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
	return p.compareAndSet(ctx, PausesSubject, func() (uint64, error) {
		return p.writeAfter(ctx, &nats.Msg{Subject: PausesSubject, Data: list}, PausesSubject, after)
	})
}

// LastPauses returns the last list of the paused scopes, from the stream's leader, with its
// sequence: nil and 0 if there is none.
func LastPauses(ctx context.Context, events jetstream.Stream) (list []byte, sequence uint64, err error) {
	msg, err := events.GetLastMsgForSubject(ctx, PausesSubject)
	if hasCode(err, jetstream.JSErrCodeMessageNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", PausesSubject, err)
	}
	return msg.Data, msg.Sequence, nil
}
