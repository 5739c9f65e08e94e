package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
)

// Page returns dead letters with a sequence below before, 0 for the newest, the
// newest first, of one source or of any. older is the value of before for the next
// page, 0 at the end. It reads headers only, whatever the size of the messages.
func (s *Store) Page(ctx context.Context, source string, before, limit uint64) (messages []Message, older uint64, err error) {
	if source != "" && publisher.CheckSource(source) != nil {
		return nil, 0, nil
	}
	stream, err := s.js.Stream(ctx, publisher.DeadLetterStream)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", publisher.DeadLetterStream, err)
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
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from}
	err = readHeaders(ctx, s.js, source, cfg, func(l Message) error {
		if l.Number >= before {
			return eventlog.ErrStop
		}
		messages = append(messages, l)
		return nil
	})
	if err == nil {
		err = s.addReplays(ctx, messages)
	}
	if err != nil {
		return nil, 0, err
	}
	slices.Reverse(messages)
	return messages, older, nil
}

// OfKey returns the dead letters of a request, the oldest first, by their headers. A
// stream that does not exist has none.
func OfKey(ctx context.Context, js jetstream.JetStream, key publisher.Key) (messages []Message, err error) {
	err = readHeaders(ctx, js, key.Source, jetstream.ConsumerConfig{}, func(l Message) error {
		// A rejected message has the key of its sequence, and its dead letter that of its id.
		if l.Key == key || publisher.SequenceKey(key.Source, l.Sequence, l.Time) == key || publisher.EarlierSequenceKey(key.Source, l.Sequence) == key {
			messages = append(messages, l)
		}
		return nil
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	return messages, err
}

// Of returns the sequence of the dead letter of a request that has had its outcome since a time,
// 0 if there is none. It reads what was kept since then.
func (s *Store) Of(ctx context.Context, key publisher.Key, since time.Time) (number uint64, err error) {
	from := since.Add(-ofMargin)
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from}
	err = readHeaders(ctx, s.js, key.Source, cfg, func(l Message) error {
		if l.Key != key {
			return nil
		}
		number = l.Number
		return eventlog.ErrStop
	})
	return number, err
}

// ofMargin covers that the clocks of the two streams' leaders may differ.
const ofMargin = time.Minute

// readHeaders calls visit with the dead letters of one source or of any.
func readHeaders(ctx context.Context, js jetstream.JetStream, source string, cfg jetstream.ConsumerConfig, visit func(Message) error) error {
	cfg.HeadersOnly = true
	if source != "" {
		cfg.FilterSubjects = []string{publisher.DeadLetterSubject(source)}
	}
	return eventlog.Messages(ctx, js, publisher.DeadLetterStream, cfg, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		return visit(headersOf(msg.Subject(), msg.Headers(), meta.Sequence.Stream, meta.Timestamp))
	})
}

// requestReads is how many dead letters are read at once by [Store.AddRequests].
const requestReads = 8

// AddRequests adds the requests of dead letters of which only headers were read ([Store.Page]). A
// dead letter that does not exist any more keeps an empty one. After an error some are empty.
func (s *Store) AddRequests(ctx context.Context, messages []Message) error {
	if len(messages) == 0 {
		return nil
	}
	stream, err := s.js.Stream(ctx, publisher.DeadLetterStream)
	if err != nil {
		return fmt.Errorf("read %s: %w", publisher.DeadLetterStream, err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	slots := make(chan struct{}, requestReads)
	var reading sync.WaitGroup
	for i := range messages {
		l := &messages[i]
		slots <- struct{}{}
		reading.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			msg, err := stream.GetMsg(ctx, l.Number)
			switch {
			case errors.Is(err, jetstream.ErrMsgNotFound):
			case err != nil:
				stop(fmt.Errorf("read dead letter %d: %w", l.Number, err)) // the first one counts
			default:
				whole := messageOf(msg.Subject, msg.Header, msg.Data, msg.Sequence, msg.Time)
				l.Request, l.Invalid = whole.Request, whole.Invalid
			}
		})
	}
	reading.Wait()
	return context.Cause(ctx)
}
