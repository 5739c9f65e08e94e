package publisher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/schemas"
)

// ackTimeout is how long one write waits for its acknowledgement before it is
// repeated.
const ackTimeout = 5 * time.Second

// Publisher writes requests, events and dead letters.
type Publisher struct {
	js   jetstream.JetStream
	acks acks
	told func(Try) // nil for none
}

// New is a publisher on a connection. The connection should not buffer while it
// is disconnected (nats.ReconnectBufSize(-1)): a write that has been given up
// must not be sent later.
func New(nc *nats.Conn) (*Publisher, error) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	return &Publisher{js: js, acks: acks{nc: nc}}, nil
}

// Append writes an event if the last event of its key has the sequence after, 0
// for none, and returns the event's own sequence. It repeats the same write
// until the server has decided about it. The error is [ErrConflict], [ErrTooLarge], or
// says that it is not known whether the event was stored when ctx ended.
func (p *Publisher) Append(ctx context.Context, key Key, after uint64, e schemas.Event, traceparent string) (uint64, error) {
	return p.appendEvent(ctx, key.Subject(e.Kind()), key.Filter(), after, key, e, traceparent)
}

// AppendJob writes an event about one job of a request as [Publisher.Append] does, but
// compares the last message about that job, of any kind ([Key.JobFilter]): after is its
// sequence, 0 for none. A writer that has not seen the job's end can therefore write neither
// a second end nor anything else behind it. All writes about a job use this one filter: a
// cluster does not serialise checks of different filters.
func (p *Publisher) AppendJob(ctx context.Context, key Key, after uint64, e schemas.JobEvent, traceparent string) (uint64, error) {
	if !IsJobID(e.Job()) {
		return 0, fmt.Errorf("append %s of %s: %q is not a job id", e.Kind(), key, e.Job())
	}
	return p.appendEvent(ctx, key.JobSubject(e.Kind(), e.Job()), key.JobFilter(e.Job()), after, key, e, traceparent)
}

// IsJobID reports whether an id is a decimal number, and so one token of a subject.
func IsJobID(id string) bool {
	return id != "" && len(id) <= maxToken && strings.Trim(id, "0123456789") == ""
}

func (p *Publisher) appendEvent(ctx context.Context, subject, filter string, after uint64, key Key, e schemas.Event, traceparent string) (uint64, error) {
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	clear(b.header)
	event := schemas.AppendCloudEvent(b.data[:0], EventID(key, e), e, traceparent)
	if cap(event.Data) <= maxKept {
		b.data = event.Data
	}
	event.SetBinary(schemas.Header(b.header))
	msg := &nats.Msg{Subject: subject, Header: b.header, Data: event.Data}
	return p.compareAndSet(ctx, subject, func() (uint64, error) {
		return p.writeAfter(ctx, msg, filter, after)
	})
}

// buffer has an event while it is written. Nothing refers to it after the write: the client
// copies what it publishes.
type buffer struct {
	header nats.Header
	data   []byte
}

var buffers = sync.Pool{New: func() any { return &buffer{header: make(nats.Header, 16)} }}

// maxKept is the largest data in bytes whose memory is kept for another event.
const maxKept = 64 << 10

// compareAndSet repeats a write until the server has decided about it.
func (p *Publisher) compareAndSet(ctx context.Context, subject string, write func() (uint64, error)) (uint64, error) {
	var last error
	for refused := 0; ; {
		// A message of a writer that was asked to end would come in the way
		// of what it writes to clean up.
		if ctx.Err() != nil {
			return 0, &UnconfirmedError{Subject: subject, Last: last, End: context.Cause(ctx)}
		}
		sequence, err := write()
		if ctx.Err() == nil || err == nil {
			p.tell(subject, err)
		}
		switch {
		case err == nil:
			return sequence, nil
		case hasCode(err, jetstream.JSErrCodeStreamWrongLastSequence):
			return 0, fmt.Errorf("append %s: %w", subject, ErrConflict)
		case tooLarge(err):
			return 0, fmt.Errorf("append %s: %w: %w", subject, ErrTooLarge, err)
		case permanent(err), p.js.Conn().IsClosed():
			return 0, fmt.Errorf("append %s: %w", subject, err)
		case ctx.Err() == nil:
			last = err
		}
		// What is left is either JSErrCodeStreamWrongLastSequenceConstant, with
		// which a cluster says that another write to the filter is in flight or was
		// just applied, or no clear answer at all. Neither says that the event is
		// not stored, and both are answered by the very same write.
		if refuses(err) {
			refused++
		}
		if err := pause(ctx, refused); err != nil {
			return 0, &UnconfirmedError{Subject: subject, Last: last, End: err}
		}
	}
}

// refuses reports whether the server answered that the stream does not take the message,
// for a reason that may last: a limit is reached.
func refuses(err error) bool {
	_, answered := errors.AsType[*jetstream.APIError](err)
	return answered && !hasCode(err, jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// writeAfter writes once, if the last message that the filter matches has the
// sequence after.
func (p *Publisher) writeAfter(ctx context.Context, msg *nats.Msg, filter string, after uint64) (uint64, error) {
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	msg.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(after, 10)}
	msg.Header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{filter}
	return p.acks.publish(ctx, msg)
}

// maxRefusals is how often the pause is doubled, to 1.6 s at most.
const maxRefusals = 4

// pause waits 20 to 100 ms, apart from other writers that met the same answer, and twice
// as long with each time that the stream has refused the message.
func pause(ctx context.Context, refused int) error {
	wait := 20*time.Millisecond + rand.N(80*time.Millisecond)
	timer := time.NewTimer(wait << min(refused, maxRefusals))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
