package protection

import "time"

// Span is a time in which the state of a content group does not change.
type Span struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// ExposedSince and LastGoodStart are those of [Times].
	ExposedSince  time.Time `json:"exposedSince,omitzero"`
	LastGoodStart time.Time `json:"lastGoodStart,omitzero"`
	// Why is that of [State], as it was just before the end of the span.
	Why Why `json:"why,omitempty"`
	// Event is the sequence of the event with which the span begins: one that has a window, or
	// the end of a job. It is 0 for the first span.
	Event uint64 `json:"event,omitempty"`
}

// span is a Span and what it follows from.
type span struct {
	Span
	// record is the request of the oldest exposed change, nil if none is exposed.
	record *record
	// goodEnd is the sequence of the event that proves LastGoodStart.
	goodEnd uint64
}

// History returns the states of a group from one time to another, in order and without gaps. It
// has nothing of the time before the first change or event of the group.
func (f *Fold) History(name Group, o Objective, from, to time.Time) []Span {
	var all []Span
	for _, s := range f.spans(name, o, from, to) {
		all = append(all, s.Span)
	}
	return all
}

func (f *Fold) spans(name Group, o Objective, from, to time.Time) (spans []span) {
	g := f.group(name)
	if g == nil {
		return nil
	}
	low, high := max(instantOf(from), g.first), instantOf(to)
	s := sweep{accept: o.accept()}
	points, i := f.points(g), 0
	for i < len(points) && points[i].at <= low {
		s.step(points[i])
		i++
	}
	for event := uint64(0); low < high; {
		until := high
		if i < len(points) {
			until = min(until, points[i].at)
		}
		spans = join(spans, s.span(low, until, event))
		for i < len(points) && points[i].at == until {
			s.step(points[i])
			event = points[i].event()
			i++
		}
		low = until
	}
	return spans
}

// event returns the sequence of the event that says what happens at the point.
func (p point) event() uint64 {
	if p.ends {
		return p.record.end
	}
	return p.record.window
}

// span returns the state as a span.
func (s *sweep) span(from, until instant, event uint64) span {
	sp := span{Span: Span{From: from.time(), Until: until.time(), LastGoodStart: s.good.time(), Event: event}, goodEnd: s.goodEnd}
	if w := s.oldest(); w != nil {
		sp.ExposedSince, sp.Why, sp.record = w.since.time(), w.record.why(until-1, s.accept), w.record
	}
	return sp
}

// join appends a span, or makes the last one longer if nothing has changed.
func join(spans []span, next span) []span {
	if n := len(spans); n > 0 {
		last := &spans[n-1]
		if last.ExposedSince.Equal(next.ExposedSince) && last.LastGoodStart.Equal(next.LastGoodStart) && last.record == next.record {
			last.Until, last.Why = next.Until, next.Why
			return spans
		}
	}
	return append(spans, next)
}
