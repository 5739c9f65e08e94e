package protection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

// Load returns a fold of all events that the stream has and of the requests that wait, and the
// server's time before it read them: what the fold says is true until then.
//
// It needs, below $JS.API, STREAM.{INFO,MSG.GET} of BACKUP_EVENTS and BACKUP_REQUESTS, and
// CONSUMER.{CREATE,INFO,MSG.NEXT,DELETE} of BACKUP_EVENTS.
func Load(ctx context.Context, js jetstream.JetStream) (*Fold, time.Time, error) {
	stream, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read the state of stream %s: %w", publisher.EventsStream, err)
	}
	now := stream.CachedInfo().TimeStamp
	if now.IsZero() {
		return nil, time.Time{}, errors.New("the server does not say its time: it needs nats-server 2.10 or later")
	}
	l := loading{js: js, fold: New()}
	// A request leaves the queue when its outcome is an event. So the queue is read first.
	if err := l.queue(ctx); err != nil {
		return nil, time.Time{}, err
	}
	return l.fold, now, l.read(ctx, []jetstream.ConsumerConfig{
		// Of a claim only the time matters. Its data, the whole request, stays at the server.
		{FilterSubjects: filters(schemas.KindJobSubmitting), HeadersOnly: true},
		{FilterSubjects: filters(schemas.KindJobStarted, schemas.KindJobFailed)},
		{FilterSubjects: filters(schemas.KindJobFinished, schemas.KindJobUnfollowed)},
	})
}

func filters(kinds ...schemas.Kind) (all []string) {
	for _, kind := range kinds {
		all = append(all, publisher.EventFilter(kind, ""))
	}
	return all
}

// loading reads parts of the stream at the same time.
type loading struct {
	js   jetstream.JetStream
	mu   sync.Mutex // guards fold
	fold *Fold
}

// read reads the messages that the consumers select. The order in which the fold gets them is of
// no importance.
func (l *loading) read(ctx context.Context, parts []jetstream.ConsumerConfig) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var reading sync.WaitGroup
	for _, cfg := range parts {
		reading.Go(func() {
			if err := eventlog.MessagesOfLeader(ctx, l.js, publisher.EventsStream, cfg, l.add); err != nil {
				cancel(err)
			}
		})
	}
	reading.Wait()
	return context.Cause(ctx)
}

func (l *loading) add(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
	e, ok := parse(Message{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data(), Sequence: meta.Sequence.Stream, Stored: meta.Timestamp})
	if ok {
		l.mu.Lock()
		l.fold.add(&e)
		l.mu.Unlock()
	}
	return nil
}

// queue reads the requests that wait.
func (l *loading) queue(ctx context.Context) error {
	var q Queue
	for {
		more, err := q.Read(ctx, l.js, batch, l.fold.AddRequest)
		if err != nil || !more {
			return err
		}
	}
}

// batch is how many waiting requests are read at a time.
const batch = 1000

// Queue reads the requests that wait for their outcome, each once. The stream is a work queue and
// takes no second consumer, so they are read one by one.
type Queue struct {
	created time.Time // of the stream
	next    uint64
}

// Read calls add for at most so many requests that were not read before. more is true if there may
// be others.
func (q *Queue) Read(ctx context.Context, js jetstream.JetStream, most int, add func(Message)) (more bool, err error) {
	requests, err := js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return false, fmt.Errorf("read the state of stream %s: %w", publisher.RequestsStream, err)
	}
	if info := requests.CachedInfo(); !q.created.Equal(info.Created) || q.next > info.State.LastSeq+1 {
		q.created, q.next = info.Created, 0 // another stream, or a restored one
	}
	for range most {
		msg, err := requests.GetMsg(ctx, max(q.next, 1), jetstream.WithGetMsgSubject(publisher.AnyRequest))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
		}
		add(Message{Subject: msg.Subject, Header: msg.Header, Data: msg.Data, Sequence: msg.Sequence, Stored: msg.Time})
		q.next = msg.Sequence + 1
	}
	return true, nil
}
