package watch

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"backhaul/cmd/internal/protection"
)

// Status is how a content group stands.
type Status string

// The statuses of a content group, the worst first.
const (
	// Breached: a promise of its objective is broken.
	Breached Status = "breached"
	// Exposed: changes are in no finished backup, and no promise is broken.
	Exposed Status = "exposed"
	// Unproven: nothing is exposed, and no good backup is on record.
	Unproven Status = "unproven"
	// Covered: every change is in a finished backup.
	Covered Status = "covered"
)

// Statuses lists every status, the worst first.
var Statuses = []Status{Breached, Exposed, Unproven, Covered}

// Standing is how a content group stands at a time.
type Standing struct {
	protection.State
	// Objective is what is promised; Promised is false if nothing is.
	Objective protection.Objective
	Promised  bool
	Status    Status
	// Broken has the broken promises, the one that was broken first before the others.
	Broken []protection.Broken
	// Limit is when the next promise is broken if nothing happens any more; zero if none can
	// be.
	Limit time.Time
}

// stand returns how a group stands. ok is false if the group is not known at the time. The
// caller holds mu.
func (w *Watch) stand(g protection.Group, objectives Objectives, at time.Time) (s Standing, ok bool) {
	if objectives != nil {
		s.Objective, s.Promised = objectives.For(g)
	}
	if s.State, ok = w.fold.State(g, s.Objective, at); !ok {
		return s, false
	}
	for _, due := range s.Due(s.Objective) {
		switch {
		case at.After(due.Since):
			s.Broken = append(s.Broken, due)
		case s.Limit.IsZero() || due.Since.Before(s.Limit):
			s.Limit = due.Since
		}
	}
	slices.SortStableFunc(s.Broken, func(a, b protection.Broken) int { return a.Since.Compare(b.Since) })
	switch {
	case len(s.Broken) > 0:
		s.Status = Breached
	case !s.ExposedSince.IsZero():
		s.Status = Exposed
	case s.NeverBackedUp:
		s.Status = Unproven
	default:
		s.Status = Covered
	}
	return s, true
}

// compare orders standings, the worst first.
func compare(a, b *Standing) int {
	rank := func(s *Standing) int { return slices.Index(Statuses, s.Status) }
	when := func(s *Standing) time.Time {
		if len(s.Broken) > 0 {
			return s.Broken[0].Since
		}
		return s.Limit
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), noneLast(when(a), when(b)), noneLast(a.ExposedSince, b.ExposedSince),
		strings.Compare(a.Group.String(), b.Group.String()))
}

// noneLast compares two times; a zero time is later than any other.
func noneLast(a, b time.Time) int {
	switch {
	case a.IsZero() == b.IsZero():
		return a.Compare(b)
	case a.IsZero():
		return 1
	}
	return -1
}

// View is how the content groups stand.
type View struct {
	// At is when this is true, by the server's clock; zero if the events were not read yet.
	At time.Time
	// Groups are all groups, the worst first.
	Groups []Standing
	// Promises are the objectives; nil if there is no file of them.
	Promises []protection.Objective
	// Stale says why this may not be the truth, "" if it is.
	Stale string
}

// Look returns how all groups stand now.
func (w *Watch) Look() View {
	v := View{}
	if err := w.Trouble(); err != nil {
		v.Stale = err.Error()
	}
	objectives := w.objectives()
	if objectives != nil {
		v.Promises = objectives.All()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if v.At = w.now(); v.At.IsZero() {
		return v
	}
	for _, g := range w.fold.Groups() {
		if s, ok := w.stand(g, objectives, v.At); ok {
			v.Groups = append(v.Groups, s)
		}
	}
	slices.SortStableFunc(v.Groups, func(a, b Standing) int { return compare(&a, &b) })
	return v
}

func (w *Watch) objectives() Objectives {
	if w.cfg.Objectives == nil {
		return nil
	}
	return w.cfg.Objectives()
}

// now returns the time by the server's clock, as far as it is known. The caller holds mu.
func (w *Watch) now() time.Time {
	if w.server.IsZero() {
		return time.Time{}
	}
	return w.server.Add(time.Since(w.asked))
}

// Group returns how the group with a hash ([protection.Group.Hash]) stands now. ok is false if
// there is none.
func (w *Watch) Group(hash string) (s Standing, at time.Time, ok bool) {
	objectives := w.objectives()
	w.mu.Lock()
	defer w.mu.Unlock()
	at = w.now()
	for _, g := range w.fold.Groups() {
		if g.Hash() == hash {
			s, ok = w.stand(g, objectives, at)
			return s, at, ok
		}
	}
	return Standing{}, at, false
}

// History returns the states of a group from one time to another; see [protection.Fold.History].
func (w *Watch) History(s *Standing, from, to time.Time) []protection.Span {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fold.History(s.Group, s.Objective, from, to)
}

// Breaches returns when the promises for a group were broken.
func (w *Watch) Breaches(s *Standing, from, to time.Time) []protection.Breach {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fold.Comply(s.Group, s.Objective, from, to).Breaches
}
