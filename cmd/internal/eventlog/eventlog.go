// Package eventlog reads the events stream, as an audit subscriber does.
//
// What a subject contains (kind, source, key) is filtered by the server, the rest
// here: see [Query] and [Match]. Nothing is kept: a stream of any length is read
// in constant memory.
package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
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
	// From is the first sequence to read; Since is ignored then.
	From uint64
	// Match skips events by what they say.
	Match Match
	// Operators is called for each event about what an operator did, in the same
	// order as visit; nil skips them. Match does not select them.
	Operators func(OperatorEvent) error
	// Protection is like Operators, for each event about the protection of a content group
	// that Match's Client and Subclient select.
	Protection func(ProtectionEvent) error
	// UpToLeader asks the stream's leader for its last message that Filters select, and reads
	// up to it. It needs STREAM.{INFO,MSG.GET}, which a source's own user does not have.
	// Without it, a server that has just come back can hide the newest events.
	UpToLeader bool
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

// CloudEvent returns the event with its attributes.
func (e Event) CloudEvent() schemas.CloudEvent {
	return schemas.NewCloudEvent(publisher.EventID(e.Key, e.Data), e.Data, e.Traceparent)
}

// ErrStop ends a [Read] without being an error of it.
var ErrStop = errors.New("stop")

// Read calls visit for each event in the order of the stream until there are no
// more, or, with Follow, until ctx ends. Events of a kind that this version does
// not know are skipped, and foreign messages ([publisher.ReadEvent]).
func Read(ctx context.Context, js jetstream.JetStream, q Query, visit func(Event) error) error {
	cfg := jetstream.ConsumerConfig{FilterSubjects: q.Filters, DeliverPolicy: jetstream.DeliverAllPolicy}
	switch {
	case q.From > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, q.From
	case !q.Since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &q.Since
	}
	r := reading{js: js, stream: publisher.EventsStream, cfg: cfg, bytes: batchBytes, follow: q.Follow}
	r.visit = func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		return q.deliver(&jetstream.RawStreamMsg{
			Subject: msg.Subject(), Sequence: meta.Sequence.Stream, Header: msg.Headers(), Data: msg.Data(), Time: meta.Timestamp,
		}, visit)
	}
	if q.UpToLeader && !q.Follow {
		r.target = lastOf(ctx, js, r.stream, cfg)
	}
	return r.run(ctx)
}

// OfKey returns the events of a request and of its jobs in the order of the stream. The request's
// own events are read last, so that none about a job comes without its start.
func OfKey(ctx context.Context, js jetstream.JetStream, key publisher.Key) ([]Event, error) {
	return OfFilters(ctx, js, Query{Filters: []string{key.JobsFilter(), key.Filter()}, UpToLeader: true})
}

// OfFilters returns the events that a query without Follow selects, in the order of the stream. They
// should be few. Each of the filters has a consumer of its own: one with several would cost the
// server a look at every subject, seconds in a stream of millions of requests.
func OfFilters(ctx context.Context, js jetstream.JetStream, q Query) (events []Event, err error) {
	for _, filter := range q.Filters {
		one := q
		one.Filters = []string{filter}
		err := Read(ctx, js, one, func(e Event) error {
			events = append(events, e)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return events, nil
}

// ReadNewest calls visit with the events in parts of the stream, the last part first and each in its
// order, until enough reports after a part that no earlier one is needed. From, Since and Follow of q
// mean nothing to it.
func ReadNewest(ctx context.Context, js jetstream.JetStream, q Query, visit func(Event) error, enough func() bool) error {
	stream, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return readError(err)
	}
	state := stream.CachedInfo().State
	q.Since, q.Follow = time.Time{}, false
	end := uint64(math.MaxUint64) // the first sequence that was read already
	for span := uint64(minSpan); ; span *= partGrowth {
		all := state.LastSeq < state.FirstSeq+span
		if q.From = 1; !all {
			q.From = state.LastSeq - span + 1
		}
		err := Read(ctx, js, q, func(e Event) error {
			if e.Sequence >= end {
				return ErrStop
			}
			return visit(e)
		})
		if err != nil || all || enough() {
			return err
		}
		end, q.UpToLeader = q.From, false
	}
}

func readError(err error) error { return fmt.Errorf("read %s: %w", publisher.EventsStream, err) }

// Take calls visit, Operators or Protection with a message that was not read from the stream, such
// as one of an archive, if the query selects it. UpToLeader and Follow mean nothing to it. The
// error is [ErrStop] if no later message can be selected.
func (q Query) Take(msg *jetstream.RawStreamMsg, visit func(Event) error) error {
	if msg.Time.Before(q.Since) || msg.Sequence < q.From || !matchesAny(q.Filters, msg.Subject) {
		return nil
	}
	return q.deliver(msg, visit)
}

// matchesAny reports whether a subject matches one of the filters; none match all.
func matchesAny(filters []string, subject string) bool {
	if len(filters) == 0 {
		return true
	}
	tokens := strings.Split(subject, ".")
	return slices.ContainsFunc(filters, func(filter string) bool {
		wanted := strings.Split(filter, ".")
		for i, w := range wanted {
			switch {
			case w == ">":
				return i < len(tokens)
			case i >= len(tokens) || w != "*" && w != tokens[i]:
				return false
			}
		}
		return len(wanted) == len(tokens)
	})
}

func (q Query) deliver(msg *jetstream.RawStreamMsg, visit func(Event) error) error {
	if !q.Until.IsZero() && msg.Time.After(q.Until) {
		return ErrStop
	}
	if _, _, _, err := publisher.ParseEventSubject(msg.Subject); err != nil {
		if ok, err := q.deliverProtection(msg); ok {
			return err
		}
		return q.deliverOperator(msg)
	}
	key, data, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data)
	if err != nil {
		return nil // a kind of a later version, or no event
	}
	if !q.Match.matches(data) {
		return nil
	}
	return visit(Event{
		Kind: data.Kind(), Key: key, Data: data, Sequence: msg.Sequence, Stored: msg.Time,
		Traceparent: schemas.Header(msg.Header).Get(schemas.HeaderTraceparent),
	})
}
