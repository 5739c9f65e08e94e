package protection

import (
	"cmp"
	"slices"
	"strings"
	"time"
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

// Word returns the status for people.
func (s Status) Word() string {
	if s == Unproven {
		return "no backup yet"
	}
	return string(s)
}

// Standing is how a content group stands at a time.
type Standing struct {
	State
	// Objective is what is promised; Promised is false if nothing is.
	Objective Objective
	Promised  bool
	Status    Status
	// Broken has the broken promises, the one that was broken first before the others.
	Broken []Broken
	// Limit is when the next promise is broken if nothing happens any more; zero if none can
	// be.
	Limit time.Time
}

// Stand returns how a group stands at a time by an objective; promised is false if nothing is
// promised for it. ok is false if nothing of the group was stored before that time.
func (f *Fold) Stand(name Group, o Objective, promised bool, at time.Time) (s Standing, ok bool) {
	s = Standing{Objective: o, Promised: promised}
	if s.State, ok = f.State(name, o, at); !ok {
		return s, false
	}
	for _, due := range s.Due(o) {
		switch {
		case at.After(due.Since):
			s.Broken = append(s.Broken, due)
		case s.Limit.IsZero() || due.Since.Before(s.Limit):
			s.Limit = due.Since
		}
	}
	slices.SortStableFunc(s.Broken, func(a, b Broken) int { return a.Since.Compare(b.Since) })
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

// CompareStandings orders standings, the worst first.
func CompareStandings(a, b *Standing) int {
	if order := cmp.Compare(slices.Index(Statuses, a.Status), slices.Index(Statuses, b.Status)); order != 0 {
		return order
	}
	when := func(s *Standing) time.Time {
		if len(s.Broken) > 0 {
			return s.Broken[0].Since
		}
		return s.Limit
	}
	if order := cmp.Or(noneLast(when(a), when(b)), noneLast(a.ExposedSince, b.ExposedSince)); order != 0 {
		return order
	}
	return cmp.Or(strings.Compare(a.Group.String(), b.Group.String()), compare(a.Group, b.Group))
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
