package eventlog

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// Match says which events are wanted by what they say. An empty field wants any.
type Match struct {
	RequestID string
	// Client is the object storage client, Subclient the content group.
	Client, Subclient string
	// Labels must all be there, each with this value.
	Labels map[string]string
	// JobID is the vendor's. Only events about a started job have one.
	JobID string
	// Outcome is how a job ended. Only a job-finished event has one.
	Outcome schemas.Outcome
	// ErrorCode is one of ours, or the vendor's in either of its forms. Only a
	// job-failed event has one.
	ErrorCode string
}

func (m Match) matches(e schemas.Event) bool {
	names := e.Names()
	for name, value := range m.Labels {
		if have, ok := names.Labels[name]; !ok || have != value {
			return false
		}
	}
	return is(m.RequestID, names.RequestID) && same(m.Client, names.ClientName) && same(m.Subclient, names.SubclientName) &&
		(m.JobID == "" || hasJob(e, m.JobID)) && (m.Outcome == "" || hasOutcome(e, m.Outcome)) &&
		(m.ErrorCode == "" || hasCode(e, m.ErrorCode))
}

func is(wanted, have string) bool { return wanted == "" || wanted == have }

// same is for names of the vendor: upper and lower case are the same.
func same(wanted, have string) bool { return wanted == "" || strings.EqualFold(wanted, have) }

func hasJob(e schemas.Event, id string) bool {
	switch e := e.(type) {
	case *schemas.JobStarted:
		return e.JobID == id || slices.Contains(e.JobIDs, id)
	case schemas.JobEvent:
		return e.Job() == id
	case *schemas.JobSubmitting, *schemas.JobFailed, *schemas.RequestRejected:
	}
	return false
}

func hasOutcome(e schemas.Event, outcome schemas.Outcome) bool {
	finished, ok := e.(*schemas.JobFinished)
	return ok && finished.Outcome == outcome
}

func hasCode(e schemas.Event, code string) bool {
	failed, ok := e.(*schemas.JobFailed)
	return ok && (failed.ErrorCode == code || failed.ErrorLogCode == code)
}

// KeyFilters returns the subjects of the events of some keys. Source "" matches any.
func KeyFilters(source string, names []string, kinds []schemas.Kind) []string {
	var filters []string
	for _, kind := range kinds {
		for _, name := range names {
			key := publisher.Key{Source: anySource(source), Name: name}
			if kind.PerJob() {
				filters = append(filters, key.JobSubject(kind, "*"))
				continue
			}
			filters = append(filters, key.Subject(kind))
		}
	}
	return filters
}

// RequestFilters returns the subjects of all events that may concern a request: the
// events of its keys, and the rejections of other requests with its id, which have
// keys of their own. Use them with a [Match] of the id.
func RequestFilters(source string, names []string, kinds []schemas.Kind) []string {
	own := slices.DeleteFunc(slices.Clone(kinds), func(k schemas.Kind) bool { return k == schemas.KindRequestRejected })
	filters := KeyFilters(source, names, own)
	if len(own) < len(kinds) {
		filters = append(filters, publisher.EventFilter(schemas.KindRequestRejected, source))
	}
	return filters
}

func anySource(source string) string {
	if source == "" {
		return "*"
	}
	return source
}

// Tail returns the sequence of the first of the last n events of a query, 0 without
// events. It reads backwards in growing steps, so that a long stream is not read in
// full. n must be at least 1.
func Tail(ctx context.Context, js jetstream.JetStream, q Query, n int) (uint64, error) {
	stream, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return 0, readError(err)
	}
	state := stream.CachedInfo().State
	q.Follow = false
	for span := uint64(max(n, minSpan)); ; span *= partGrowth {
		step := q
		all := span >= state.LastSeq || state.LastSeq-span < state.FirstSeq
		if !all {
			step.From = state.LastSeq - span + 1
		}
		last, found := make([]uint64, n), 0 // a ring
		count := func(sequence uint64, stored time.Time) {
			if !q.Since.IsZero() && stored.Before(q.Since) {
				all = true // what lies further back is too old
				return
			}
			last[found%n] = sequence
			found++
		}
		if q.Operators != nil {
			step.Operators = func(e OperatorEvent) error { count(e.Sequence, e.Stored); return nil }
		}
		if q.Protection != nil {
			step.Protection = func(e ProtectionEvent) error { count(e.Sequence, e.Stored); return nil }
		}
		err := Read(ctx, js, step, func(e Event) error { count(e.Sequence, e.Stored); return nil })
		switch {
		case err != nil:
			return 0, err
		case found >= n:
			return last[found%n], nil
		case all:
			return last[0], nil
		}
	}
}

const (
	// minSpan is how much of the stream's end is read at least.
	minSpan = 1000
	// partGrowth is how many times as much is read if that was not enough.
	partGrowth = 8
)
