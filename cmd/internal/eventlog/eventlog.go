// Package eventlog reads the events stream, as an audit subscriber does.
//
// What a subject tells (kind, source, key) is filtered by the server, the rest
// here: see [Query] and [Match]. Nothing is kept: a stream of any length is read
// in constant memory.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// Query says which events to read.
type Query struct {
	// Filters are the subjects to read; none means all.
	Filters []string
	// Since skips what was stored earlier.
	Since time.Time
	// Until skips what was stored later.
	Until time.Time
	// From is the first sequence to read; Since is not looked at then.
	From uint64
	// Match skips events by what they say.
	Match Match
	// Operators is called for each event about what an operator did, in the same
	// order as visit; nil skips them. Match does not select them.
	Operators func(OperatorEvent) error
	// Follow goes on with what is stored later, until the context ends.
	Follow bool
}

// Event is one event of a request.
type Event struct {
	Kind        schemas.Kind
	Key         publisher.Key
	Data        schemas.Event
	Sequence    uint64
	Stored      time.Time
	Traceparent string
}

// CloudEvent is the event with its attributes.
func (e Event) CloudEvent() schemas.CloudEvent {
	return schemas.NewCloudEvent(e.Key.EventID(e.Kind), e.Data, e.Traceparent)
}

// ErrStop ends a [Read] without being an error of it.
var ErrStop = errors.New("stop")

// idle is how long a read without Follow waits for a server that owes it events.
const idle = 10 * time.Second

// Read calls visit for each event in the order of the stream until there are no
// more, or, with Follow, until ctx ends. Events of a kind that this version does
// not know are skipped.
func Read(ctx context.Context, js jetstream.JetStream, q Query, visit func(Event) error) error {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: q.Filters, DeliverPolicy: jetstream.DeliverAllPolicy}
	switch {
	case q.From > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, q.From
	case !q.Since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &q.Since
	}
	consumer, err := js.OrderedConsumer(ctx, publisher.EventsStream, cfg)
	if err != nil {
		return readError(err)
	}
	if !q.Follow {
		info, err := consumer.Info(ctx)
		if err != nil {
			return readError(err)
		}
		if info.NumPending == 0 {
			return nil
		}
	}
	// The short heartbeat makes up for a wake-up that the client can lose.
	messages, err := consumer.Messages(jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return readError(err)
	}
	defer messages.Stop()
	for {
		msg, err := next(ctx, messages, q.Follow)
		if err != nil {
			return readError(err)
		}
		pending, err := deliver(msg, q, visit)
		if errors.Is(err, ErrStop) {
			return nil
		}
		if err != nil {
			return err
		}
		if !q.Follow && pending == 0 {
			return nil
		}
	}
}

func readError(err error) error { return fmt.Errorf("read %s: %w", publisher.EventsStream, err) }

func next(ctx context.Context, messages jetstream.MessagesContext, follow bool) (jetstream.Msg, error) {
	if !follow {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, idle)
		defer cancel()
	}
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if ctx.Err() == nil && errors.Is(err, jetstream.ErrNoHeartbeat) {
			continue // the ordered consumer is being made anew
		}
		return msg, err
	}
}

func deliver(msg jetstream.Msg, q Query, visit func(Event) error) (pending uint64, err error) {
	meta, err := msg.Metadata()
	if err != nil {
		return 0, err
	}
	if !q.Until.IsZero() && meta.Timestamp.After(q.Until) {
		return 0, ErrStop
	}
	kind, key, err := publisher.ParseEventSubject(msg.Subject())
	if err != nil {
		return meta.NumPending, q.deliverOperator(msg, meta)
	}
	data, err := schemas.DecodeEvent(kind, msg.Data())
	if err != nil {
		return meta.NumPending, nil // a kind of a later version
	}
	if !q.Match.matches(data) {
		return meta.NumPending, nil
	}
	return meta.NumPending, visit(Event{
		Kind: kind, Key: key, Data: data, Sequence: meta.Sequence.Stream, Stored: meta.Timestamp,
		Traceparent: schemas.Header(msg.Headers()).Get(schemas.HeaderTraceparent),
	})
}
