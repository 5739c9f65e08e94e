package history

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
)

// DeadLetter is a message of the request that could not be done, as it is kept.
type DeadLetter struct {
	// Sequence is its place in the dead-letter stream.
	Sequence uint64    `json:"sequence"`
	Stored   time.Time `json:"stored"`
	Code     string    `json:"code"`
	Reason   string    `json:"reason"`
	// RequestSequence is the place that the message had in the queue.
	RequestSequence uint64    `json:"requestSequence"`
	requested       time.Time // when the message was stored
}

// readLetters reads the headers of the source's dead letters and keeps the key's.
// A stream that is not there has none.
func readLetters(ctx context.Context, js jetstream.JetStream, key publisher.Key) (letters []DeadLetter, err error) {
	cfg := jetstream.ConsumerConfig{FilterSubjects: []string{publisher.DeadLetterSubject(key.Source)}, HeadersOnly: true}
	err = eventlog.Messages(ctx, js, publisher.DeadLetterStream, cfg, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		d := publisher.ReadDeadLetter(msg.Subject(), msg.Headers(), nil)
		// A rejected message has the key of its place, and its dead letter that of its id.
		if d.Key == key || publisher.SequenceKey(key.Source, d.Sequence, d.Time) == key || publisher.EarlierSequenceKey(key.Source, d.Sequence) == key {
			letters = append(letters, DeadLetter{
				Sequence: meta.Sequence.Stream, Stored: meta.Timestamp.UTC(), RequestSequence: d.Sequence,
				Code: d.Code, Reason: d.Reason, requested: d.Time,
			})
		}
		return nil
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	return letters, err
}
