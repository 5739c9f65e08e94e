package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	found := 0
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
		if f.Limit > 0 && len(messages) >= 2*f.Limit {
			messages = append(messages[:0], messages[len(messages)-f.Limit:]...)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if f.Limit > 0 && len(messages) > f.Limit {
		messages = messages[len(messages)-f.Limit:]
	}
	return messages, found - len(messages), s.addReplays(ctx, messages)
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
	places := make(map[messageID]int)
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
		if i, ok := places[messageID{e.DeadLetter.Sequence, e.DeadLetter.KeptAt.UnixNano()}]; ok {
			messages[i].noteReplay(e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.addOutcomes(ctx, messages)
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

// addOutcomes reads what became of the replays.
func (s *Store) addOutcomes(ctx context.Context, messages []Message) error {
	var events jetstream.Stream
	for i := range messages {
		for j := range messages[i].Replays {
			if events == nil {
				var err error
				if events, err = s.js.Stream(ctx, publisher.EventsStream); err != nil {
					return fmt.Errorf("read %s: %w", publisher.EventsStream, err)
				}
			}
			replay := &messages[i].Replays[j]
			msg, _, err := publisher.LastEvent(ctx, events, publisher.Key{Source: messages[i].Key.Source, Name: replay.Key}.Filter())
			if err != nil {
				return err
			}
			if msg != nil {
				_, replay.Last, _ = publisher.ReadEvent(msg.Subject, msg.Header, msg.Data) // one of a later version is as good as none
			}
		}
	}
	return nil
}
