package protection

import (
	"slices"
	"time"
)

// Breach is a time in which a promise was broken.
type Breach struct {
	Promise Promise   `json:"promise"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	// Begun is true if the promise was broken before what was asked for, Lasts if it was broken
	// at its end.
	Begun bool `json:"begun,omitempty"`
	Lasts bool `json:"lasts,omitempty"`
	// Base is what the promise counts from: the oldest exposed change, or the start of the last
	// good backup, or, without one, the first change or event of the group.
	Base time.Time `json:"base"`
	// Why is why the change is exposed, at the end of the breach; "" for [PromiseMaxAge].
	Why Why `json:"why,omitempty"`
	// Events are the sequences of the events that prove it, in the order of the stream.
	Events []uint64 `json:"events"`
}

// Compliance says how the promises for a content group were kept.
type Compliance struct {
	Group
	// Known is how long the group was known, and Kept how long of that all promises were kept.
	Known    time.Duration
	Kept     time.Duration
	Breaches []Breach
}

// Share returns the share of the known time in which all promises were kept, 1 if nothing is
// known.
func (c *Compliance) Share() float64 {
	if c.Known == 0 {
		return 1
	}
	return float64(c.Kept) / float64(c.Known)
}

// Comply returns how the promises for a group were kept from one time to another.
func (f *Fold) Comply(name Group, o Objective, from, to time.Time) Compliance {
	c := Compliance{Group: name}
	g := f.group(name)
	if g == nil {
		return c
	}
	spans := f.spans(name, o, from, to)
	if len(spans) == 0 {
		return c
	}
	c.Known = spans[len(spans)-1].Until.Sub(spans[0].From)
	c.Kept = c.Known
	for _, s := range spans {
		first := s.Until
		for _, promise := range Promises {
			if at, broken := s.broken(g, o, promise); broken && at.Before(first) {
				first = at
			}
		}
		c.Kept -= s.Until.Sub(first)
	}
	for _, promise := range Promises {
		c.Breaches = append(c.Breaches, breaches(g, spans, o, promise)...)
	}
	slices.SortStableFunc(c.Breaches, func(a, b Breach) int { return a.From.Compare(b.From) })
	return c
}

// due returns when a promise is broken in the state of the span.
func (s *span) due(g *group, o Objective, promise Promise) (time.Time, bool) {
	state := State{Times: Times{FirstSeen: g.first.time(), LastGoodStart: s.LastGoodStart, ExposedSince: s.ExposedSince}}
	for _, due := range state.Due(o) {
		if due.Promise == promise {
			return due.Since, true
		}
	}
	return time.Time{}, false
}

// broken returns from when on a promise is broken within the span.
func (s *span) broken(g *group, o Objective, promise Promise) (time.Time, bool) {
	due, ok := s.due(g, o, promise)
	if !ok || !due.Before(s.Until) {
		return time.Time{}, false
	}
	if due.Before(s.From) {
		due = s.From
	}
	return due, true
}

// breaches returns when a promise was broken, in their order.
func breaches(g *group, spans []span, o Objective, promise Promise) (all []Breach) {
	open := false
	for i := range spans {
		s := &spans[i]
		at, broken := s.broken(g, o, promise)
		if open && (!broken || at.After(s.From)) {
			all[len(all)-1].prove(s.Event) // the event that ends it
			open = false
		}
		if !broken {
			continue
		}
		if !open {
			due, _ := s.due(g, o, promise)
			all = append(all, Breach{Promise: promise, From: at, Begun: i == 0 && due.Before(at), Base: s.base(g, promise)})
			open = true
		}
		b := &all[len(all)-1]
		b.Until, b.Lasts = s.Until, i == len(spans)-1
		s.explain(b)
	}
	return all
}

// base returns what a promise counts from.
func (s *span) base(g *group, promise Promise) time.Time {
	switch {
	case promise == PromiseRPO:
		return s.ExposedSince
	case !s.LastGoodStart.IsZero():
		return s.LastGoodStart
	}
	return g.first.time()
}

// explain adds to a breach what the span says about it.
func (s *span) explain(b *Breach) {
	if b.Promise == PromiseMaxAge {
		b.prove(s.goodEnd)
		return
	}
	b.Why = s.Why
	r, until := s.record, instantOf(s.Until)-1 // what ends the span is no part of it
	b.prove(r.window)
	if r.decided != 0 && r.decided <= until {
		b.prove(r.outcome)
	}
	if r.hasEnded(until) {
		b.prove(r.end)
	}
}

// prove adds the sequence of an event.
func (b *Breach) prove(event uint64) {
	if i, found := slices.BinarySearch(b.Events, event); !found && event != 0 {
		b.Events = slices.Insert(b.Events, i, event)
	}
}
