package story

import (
	"context"
	"errors"
	"strconv"
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
	RequestSequence uint64 `json:"requestSequence"`
}

// readLetters reads the headers of the source's dead letters and keeps the key's.
// A stream that is not there has none.
func readLetters(ctx context.Context, js jetstream.JetStream, key publisher.Key) (letters []DeadLetter, err error) {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{publisher.DeadLetterSubject(key.Source)}, HeadersOnly: true}
	err = eventlog.Messages(ctx, js, publisher.DeadLetterStream, cfg, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		header := msg.Headers()
		sequence, _ := strconv.ParseUint(header.Get(publisher.HeaderDeadLetterSequence), 10, 64)
		// A rejected message has the key of its place, and its letter that of its id.
		if header.Get(publisher.HeaderDeadLetterKey) == key.Name || publisher.SequenceKey(key.Source, sequence) == key {
			letters = append(letters, DeadLetter{
				Sequence: meta.Sequence.Stream, Stored: meta.Timestamp.UTC(), RequestSequence: sequence,
				Code: header.Get(publisher.HeaderDeadLetterCode), Reason: header.Get(publisher.HeaderDeadLetterReason),
			})
		}
		return nil
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	return letters, err
}
