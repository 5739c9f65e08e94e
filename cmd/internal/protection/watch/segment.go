package watch

import (
	"time"

	"backhaul/cmd/internal/protection"
)

// Segment is a time in which a content group had one status.
type Segment struct {
	From, Until time.Time
	Status      Status
}

// Segments returns the statuses of a group from one time to another, in order. It has nothing
// of the time before the first change or event of the group.
func (w *Watch) Segments(s *Standing, from, to time.Time) (all []Segment) {
	w.mu.Lock()
	spans := w.fold.History(s.Group, s.Objective, from, to)
	w.mu.Unlock()
	add := func(from, until time.Time, status Status) {
		if !from.Before(until) {
			return
		}
		if n := len(all); n > 0 && all[n-1].Status == status {
			all[n-1].Until = until
			return
		}
		all = append(all, Segment{from, until, status})
	}
	for _, span := range spans {
		limit := s.limitIn(span)
		add(span.From, limit, s.statusIn(span))
		add(limit, span.Until, Breached)
	}
	return all
}

// limitIn returns when the first promise is broken in a span, the end of the span if none is.
func (s *Standing) limitIn(span protection.Span) time.Time {
	limit := span.Until
	for _, due := range s.in(span).Due(s.Objective) {
		switch {
		case due.Since.Before(span.From):
			limit = span.From
		case due.Since.Before(limit):
			limit = due.Since
		}
	}
	return limit
}

// in returns the part of a state that promises are about, as it was in a span.
func (s *Standing) in(span protection.Span) *protection.State {
	return &protection.State{Times: protection.Times{FirstSeen: s.FirstSeen, LastGoodStart: span.LastGoodStart, ExposedSince: span.ExposedSince}}
}

// statusIn returns the status in a span as long as no promise is broken.
func (s *Standing) statusIn(span protection.Span) Status {
	switch {
	case !span.ExposedSince.IsZero():
		return Exposed
	case s.NeverBackedUp, span.LastGoodStart.IsZero() && !s.LastGoodStart.IsZero():
		return Unproven
	}
	return Covered
}
