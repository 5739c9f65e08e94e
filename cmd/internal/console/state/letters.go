package state

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// Letter is a dead letter as a list shows it.
type Letter struct {
	// Sequence is its place in the stream of dead letters.
	Sequence uint64
	Kept     time.Time
	Key      publisher.Key
	Request  string // the request id
	Code     string
	Reason   string
}

// Letters are dead letters before a sequence, 0 for the newest, the newest first,
// of one source or of any. older is the sequence to go on before, 0 at the end.
// Only headers are read, whatever the size of the messages.
func (s *State) Letters(ctx context.Context, source string, before uint64, limit uint64) (letters []Letter, older uint64, err error) {
	if source != "" && publisher.CheckSource(source) != nil {
		return nil, 0, nil
	}
	stream, err := s.js.Stream(ctx, publisher.DeadLetterStream)
	if err != nil {
		return nil, 0, fmt.Errorf("look at stream %s: %w", publisher.DeadLetterStream, err)
	}
	held := stream.CachedInfo().State
	if before == 0 || before > held.LastSeq {
		before = held.LastSeq + 1
	}
	if held.Msgs == 0 || before <= held.FirstSeq {
		return nil, 0, nil
	}
	from := held.FirstSeq
	if before-from > limit {
		from, older = before-limit, before-limit
	}
	letters, err = s.lettersBetween(ctx, source, from, before)
	return letters, older, err
}

func (s *State) lettersBetween(ctx context.Context, source string, from, before uint64) ([]Letter, error) {
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, HeadersOnly: true}
	if source != "" {
		cfg.FilterSubjects = []string{publisher.DeadLetterSubject(source)}
	}
	consumer, err := s.js.OrderedConsumer(ctx, publisher.DeadLetterStream, cfg)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", publisher.DeadLetterStream, err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", publisher.DeadLetterStream, err)
	}
	if info.NumPending == 0 {
		return nil, nil
	}
	messages, err := consumer.Messages(jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", publisher.DeadLetterStream, err)
	}
	defer messages.Stop()
	var letters []Letter
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", publisher.DeadLetterStream, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		if meta.Sequence.Stream < before {
			letters = append(letters, letterOf(msg.Subject(), msg.Headers(), meta.Sequence.Stream, meta.Timestamp))
		}
		if meta.NumPending == 0 || meta.Sequence.Stream+1 >= before {
			slices.Reverse(letters)
			return letters, nil
		}
	}
}

func letterOf(subject string, h nats.Header, sequence uint64, kept time.Time) Letter {
	return Letter{
		Sequence: sequence, Kept: kept,
		Key:     publisher.Key{Source: subject[len(publisher.DeadLetterSubject("")):], Name: h.Get(publisher.HeaderDeadLetterKey)},
		Request: h.Get(publisher.HeaderDeadLetterRequestID), Code: h.Get(publisher.HeaderDeadLetterCode), Reason: h.Get(publisher.HeaderDeadLetterReason),
	}
}
