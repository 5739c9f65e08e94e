package publisher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/nats-io/nats.go/jetstream"
)

// TurnSubject returns the subject on the events stream of the turns of a content group. The
// group may have any name. The subject has a token less than the events of requests, so no
// filter of a key matches it.
func TurnSubject(group string) string {
	sum := sha256.Sum256([]byte(group))
	return eventPrefix + "turn." + hex.EncodeToString(sum[:16])
}

// RecordTurn writes a turn of a content group if the last one has the sequence after, 0 for
// none, and returns its sequence. It repeats the same write until the server has decided about
// it, with the errors of [Publisher.Append].
func (p *Publisher) RecordTurn(ctx context.Context, group string, after uint64, record []byte) (uint64, error) {
	return p.record(ctx, TurnSubject(group), after, record)
}

// LastTurn returns the last turn of a content group, from the stream's leader, with its
// sequence: nil and 0 if there is none.
func LastTurn(ctx context.Context, events jetstream.Stream, group string) (record []byte, sequence uint64, err error) {
	return lastRecord(ctx, events, TurnSubject(group))
}
