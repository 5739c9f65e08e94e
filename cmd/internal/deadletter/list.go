package deadletter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

// List returns the dead letters that the filter selects, oldest first, and how many
// older ones the limit left out. They have no headers and no data: there may be many.
func (s *Store) List(ctx context.Context, f Filter) (messages []Message, older int, err error) {
	cfg := jetstream.ConsumerConfig{FilterSubjects: []string{publisher.AnyDeadLetter}}
	if f.Source != "" {
		cfg.FilterSubjects = []string{publisher.DeadLetterSubject(f.Source)}
	}
	if !f.Since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &f.Since
	}
	found, limit := 0, f.Limit
	if f.State != "" {
		limit = 0 // the state is known at the end only
	}
	err = eventlog.Messages(ctx, s.js, publisher.DeadLetterStream, cfg, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if !f.Until.IsZero() && meta.Timestamp.After(f.Until) {
			return eventlog.ErrStop
		}
		l := messageOf(msg.Subject(), msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp)
		if !f.matches(&l) {
			return nil
		}
		found++
		l.Header, l.Data = nil, nil
		messages = append(messages, l)
		if limit > 0 && len(messages) >= 2*limit {
			messages = append(messages[:0], messages[len(messages)-limit:]...)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if f.State == "" {
		messages = newest(messages, f.Limit)
		return messages, found - len(messages), s.addReplays(ctx, messages)
	}
	if err := s.addReplays(ctx, messages); err != nil {
		return nil, 0, err
	}
	messages = slices.DeleteFunc(messages, func(l Message) bool { return l.State() != f.State })
	found = len(messages)
	messages = newest(messages, f.Limit)
	return messages, found - len(messages), nil
}

// Counts returns how many dead letters are of which source, so that a filter that is too wide is
// seen.
func Counts(messages []Message) string {
	counts := make(map[string]int)
	for _, l := range messages {
		counts[l.Key.Source]++
	}
	var parts []string
	for _, source := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d of %s", counts[source], source))
	}
	return strings.Join(parts, ", ")
}

// newest returns the last messages, limit at most, 0 for all.
func newest(messages []Message, limit int) []Message {
	if limit > 0 && len(messages) > limit {
		return messages[len(messages)-limit:]
	}
	return messages
}

// NotFoundError is a dead letter that does not exist, or no longer.
type NotFoundError struct{ Number uint64 }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no dead letter %d; `backhaul dlq ls` lists those there are", e.Number)
}

// Get returns one dead letter with its headers and data. The error is a
// [*NotFoundError] if it does not exist.
func (s *Store) Get(ctx context.Context, number uint64) (Message, error) {
	l, err := s.read(ctx, number)
	if err != nil {
		return Message{}, err
	}
	messages := []Message{l}
	err = s.addReplays(ctx, messages)
	return messages[0], err
}

// Select returns the dead letters with these numbers, oldest first, as [Store.List] does:
// without headers and data. The error is a [*NotFoundError] if one is missing.
func (s *Store) Select(ctx context.Context, numbers []uint64) (messages []Message, err error) {
	for _, number := range slices.Compact(slices.Sorted(slices.Values(numbers))) {
		l, err := s.read(ctx, number)
		if err != nil {
			return nil, err
		}
		l.Header, l.Data = nil, nil
		messages = append(messages, l)
	}
	return messages, s.addReplays(ctx, messages)
}

func (s *Store) read(ctx context.Context, number uint64) (Message, error) {
	stream, err := s.js.Stream(ctx, publisher.DeadLetterStream)
	if err != nil {
		return Message{}, fmt.Errorf("read %s: %w", publisher.DeadLetterStream, err)
	}
	msg, err := stream.GetMsg(ctx, number)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Message{}, &NotFoundError{number}
	}
	if err != nil {
		return Message{}, fmt.Errorf("read dead letter %d: %w", number, err)
	}
	return messageOf(msg.Subject, msg.Header, msg.Data, msg.Sequence, msg.Time), nil
}

// clockMargin covers that the two streams may be kept by servers whose clocks differ.
const clockMargin = time.Hour

// messageID identifies a dead letter, also after its stream was deleted and created again.
type messageID struct {
	number uint64
	kept   int64
}

// addReplays reads what operators did with the dead letters. All replays since the
// oldest one are read: they are one subject of the events stream, and as few
// as operators made.
func (s *Store) addReplays(ctx context.Context, messages []Message) error {
	if len(messages) == 0 {
		return nil
	}
	places, replayed := make(map[messageID]int), make(chains)
	for i, l := range messages {
		places[messageID{l.Number, l.Kept.UnixNano()}] = i
	}
	since := messages[0].Kept.Add(-clockMargin)
	cfg := jetstream.ConsumerConfig{
		FilterSubjects: []string{publisher.OperatorSubject(schemas.ActionDeadLetterReplay)},
		DeliverPolicy:  jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}
	err := eventlog.Messages(ctx, s.js, publisher.EventsStream, cfg, func(msg jetstream.Msg, _ *jetstream.MsgMetadata) error {
		e, err := schemas.DecodeOperatorEvent(msg.Data())
		if err != nil {
			return nil // not ours
		}
		replayed.note(e)
		if i, ok := places[messageID{e.DeadLetter.Sequence, e.DeadLetter.KeptAt.UnixNano()}]; ok {
			messages[i].noteReplay(e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.addOutcomes(ctx, messages, replayed)
}

// noteReplay adds a replay once. A replay that was recorded again after a crash has
// the same id.
func (l *Message) noteReplay(e schemas.OperatorEvent) {
	for _, known := range l.Replays {
		if known.Key == e.Replay.Key {
			return
		}
	}
	l.Replays = append(l.Replays, Replay{DeadLetterReplay: e.Replay, Actor: e.Actor, Reason: e.Reason, At: e.At})
}
