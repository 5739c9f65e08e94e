package protection

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// Load returns a fold of all events that the stream has and of the requests that wait, and the
// server's time before it read them: what the fold says is true until then.
//
// It needs, below $JS.API, STREAM.{INFO,MSG.GET} of BACKUP_EVENTS and BACKUP_REQUESTS, and
// CONSUMER.{CREATE,INFO,MSG.NEXT,DELETE} of BACKUP_EVENTS. With DIRECT.GET of BACKUP_PROTECTION,
// and with digests there, it reads few of the events.
func Load(ctx context.Context, js jetstream.JetStream) (*Fold, time.Time, error) {
	stream, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read the state of stream %s: %w", publisher.EventsStream, err)
	}
	now := stream.CachedInfo().TimeStamp
	if now.IsZero() {
		return nil, time.Time{}, errors.New("the server does not say its time: it needs nats-server 2.10 or later")
	}
	f := New()
	// A request leaves the queue when its outcome is an event. So the queue is read first.
	if err := readQueue(ctx, js, f); err != nil {
		return nil, time.Time{}, err
	}
	past := NewPast(js, stream)
	past.Digest = func(d *ReadDigest) { f.AddDigest(d, stream.CachedInfo().State.FirstSeq) }
	past.Message = f.Add
	next, err := past.Read(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	return f, now, past.read(ctx, next, math.MaxUint64)
}

// readQueue reads the requests that wait.
func readQueue(ctx context.Context, js jetstream.JetStream, f *Fold) error {
	var q Queue
	for {
		more, err := q.Read(ctx, js, batch, f.AddRequest)
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
