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
func (b *Store) List(ctx context.Context, f Filter) (letters []Letter, older int, err error) {
	cfg := jetstream.ConsumerConfig{FilterSubjects: []string{publisher.AnyDeadLetter}}
	if f.Source != "" {
		cfg.FilterSubjects = []string{publisher.DeadLetterSubject(f.Source)}
	}
	if !f.Since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &f.Since
	}
	found := 0
	err = eventlog.Messages(ctx, b.js, publisher.DeadLetterStream, cfg, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if !f.Until.IsZero() && meta.Timestamp.After(f.Until) {
			return eventlog.ErrStop
		}
		l := letterOf(msg.Subject(), msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp)
		if !f.matches(&l) {
			return nil
		}
		found++
		l.Header, l.Data = nil, nil
		letters = append(letters, l)
		if f.Limit > 0 && len(letters) >= 2*f.Limit {
			letters = append(letters[:0], letters[len(letters)-f.Limit:]...)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if f.Limit > 0 && len(letters) > f.Limit {
		letters = letters[len(letters)-f.Limit:]
	}
	return letters, found - len(letters), b.addReplays(ctx, letters)
}

// NotFoundError is a dead letter that does not exist, or no longer.
type NotFoundError struct{ Number uint64 }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no dead letter %d; `backhaul dlq ls` lists those there are", e.Number)
}

// Get returns one dead letter with its headers and data. The error is a
// [*NotFoundError] if it does not exist.
func (b *Store) Get(ctx context.Context, number uint64) (Letter, error) {
	l, err := b.read(ctx, number)
	if err != nil {
		return Letter{}, err
	}
	letters := []Letter{l}
	err = b.addReplays(ctx, letters)
	return letters[0], err
}

// Select returns the letters with these numbers, oldest first, as [Store.List] does:
// without headers and data. The error is a [*NotFoundError] if one is missing.
func (b *Store) Select(ctx context.Context, numbers []uint64) (letters []Letter, err error) {
	for _, number := range slices.Compact(slices.Sorted(slices.Values(numbers))) {
		l, err := b.read(ctx, number)
		if err != nil {
			return nil, err
		}
		l.Header, l.Data = nil, nil
		letters = append(letters, l)
	}
	return letters, b.addReplays(ctx, letters)
}

func (b *Store) read(ctx context.Context, number uint64) (Letter, error) {
	stream, err := b.js.Stream(ctx, publisher.DeadLetterStream)
	if err != nil {
		return Letter{}, fmt.Errorf("read %s: %w", publisher.DeadLetterStream, err)
	}
	msg, err := stream.GetMsg(ctx, number)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Letter{}, &NotFoundError{number}
	}
	if err != nil {
		return Letter{}, fmt.Errorf("read dead letter %d: %w", number, err)
	}
	return letterOf(msg.Subject, msg.Header, msg.Data, msg.Sequence, msg.Time), nil
}

// clockMargin covers that the two streams may be kept by servers whose clocks differ.
const clockMargin = time.Hour

// letterID identifies a dead letter, also after its stream was deleted and created again.
type letterID struct {
	number uint64
	kept   int64
}

// addReplays reads what operators did with the letters. All replays since the
// oldest letter are read: they are one subject of the events stream, and as few
// as operators made.
func (b *Store) addReplays(ctx context.Context, letters []Letter) error {
	if len(letters) == 0 {
		return nil
	}
	places := make(map[letterID]int)
	for i, l := range letters {
		places[letterID{l.Number, l.Kept.UnixNano()}] = i
	}
	since := letters[0].Kept.Add(-clockMargin)
	cfg := jetstream.ConsumerConfig{
		FilterSubjects: []string{publisher.OperatorSubject(schemas.ActionDeadLetterReplay)},
		DeliverPolicy:  jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}
	err := eventlog.Messages(ctx, b.js, publisher.EventsStream, cfg, func(msg jetstream.Msg, _ *jetstream.MsgMetadata) error {
		e, err := schemas.DecodeOperatorEvent(msg.Data())
		if err != nil {
			return nil // not ours
		}
		if i, ok := places[letterID{e.DeadLetter.Sequence, e.DeadLetter.KeptAt.UnixNano()}]; ok {
			letters[i].noteReplay(e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.addOutcomes(ctx, letters)
}

// noteReplay adds a replay once. A replay that was recorded again after a crash has
// the same id.
func (l *Letter) noteReplay(e schemas.OperatorEvent) {
	for _, known := range l.Replays {
		if known.Key == e.Replay.Key {
			return
		}
	}
	l.Replays = append(l.Replays, Replay{DeadLetterReplay: e.Replay, Actor: e.Actor, Reason: e.Reason, At: e.At})
}

// addOutcomes reads what became of the replays.
func (b *Store) addOutcomes(ctx context.Context, letters []Letter) error {
	var events jetstream.Stream
	for i := range letters {
		for j := range letters[i].Replays {
			if events == nil {
				var err error
				if events, err = b.js.Stream(ctx, publisher.EventsStream); err != nil {
					return fmt.Errorf("read %s: %w", publisher.EventsStream, err)
				}
			}
			replay := &letters[i].Replays[j]
			msg, _, err := publisher.LastEvent(ctx, events, publisher.Key{Source: letters[i].Key.Source, Name: replay.Key}.Filter())
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
