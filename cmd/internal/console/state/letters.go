package state

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
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

func (s *State) lettersBetween(ctx context.Context, source string, from, before uint64) (letters []Letter, err error) {
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, HeadersOnly: true}
	if source != "" {
		cfg.FilterSubjects = []string{publisher.DeadLetterSubject(source)}
	}
	err = eventlog.Messages(ctx, s.js, publisher.DeadLetterStream, cfg, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if meta.Sequence.Stream >= before {
			return eventlog.ErrStop
		}
		letters = append(letters, letterOf(msg.Subject(), msg.Headers(), meta.Sequence.Stream, meta.Timestamp))
		return nil
	})
	slices.Reverse(letters)
	return letters, err
}

func letterOf(subject string, h nats.Header, sequence uint64, kept time.Time) Letter {
	return Letter{
		Sequence: sequence, Kept: kept,
		Key:     publisher.Key{Source: subject[len(publisher.DeadLetterSubject("")):], Name: h.Get(publisher.HeaderDeadLetterKey)},
		Request: h.Get(publisher.HeaderDeadLetterRequestID), Code: h.Get(publisher.HeaderDeadLetterCode), Reason: h.Get(publisher.HeaderDeadLetterReason),
	}
}
