package story

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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

// letterWait is how long a server that owes letters is waited for.
const letterWait = 10 * time.Second

// readLetters reads the headers of the source's dead letters and keeps the key's.
// A stream that is not there has none.
func readLetters(ctx context.Context, js jetstream.JetStream, key publisher.Key) ([]DeadLetter, error) {
	consumer, err := js.OrderedConsumer(ctx, publisher.DeadLetterStream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{publisher.DeadLetterSubject(key.Source)}, HeadersOnly: true,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, letterError(err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return nil, letterError(err)
	}
	if info.NumPending == 0 {
		return nil, nil
	}
	messages, err := consumer.Messages(jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return nil, letterError(err)
	}
	defer messages.Stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	alarm := time.AfterFunc(letterWait, cancel)
	defer alarm.Stop()
	var letters []DeadLetter
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if ctx.Err() == nil && errors.Is(err, jetstream.ErrNoHeartbeat) {
			continue
		}
		if err != nil {
			return letters, letterError(err)
		}
		alarm.Reset(letterWait)
		meta, err := msg.Metadata()
		if err != nil {
			return letters, letterError(err)
		}
		header := msg.Headers()
		sequence, _ := strconv.ParseUint(header.Get(publisher.HeaderDeadLetterSequence), 10, 64)
		// A rejected message has the key of its place, and its letter that of its id.
		if header.Get(publisher.HeaderDeadLetterKey) == key.Name || publisher.SequenceKey(key.Source, sequence) == key {
			letters = append(letters, DeadLetter{
				Sequence: meta.Sequence.Stream, Stored: meta.Timestamp.UTC(), RequestSequence: sequence,
				Code: header.Get(publisher.HeaderDeadLetterCode), Reason: header.Get(publisher.HeaderDeadLetterReason),
			})
		}
		if meta.NumPending == 0 {
			return letters, nil
		}
	}
}

func letterError(err error) error {
	return fmt.Errorf("read %s: %w", publisher.DeadLetterStream, err)
}
