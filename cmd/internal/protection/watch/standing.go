package watch

import (
	"slices"
	"time"

	"backhaul/cmd/internal/protection"
)

// Status is how a content group stands.
type Status = protection.Status

// Standing is how a content group stands at a time.
type Standing protection.Standing

// The statuses of a content group, the worst first.
const (
	Breached = protection.Breached
	Exposed  = protection.Exposed
	Unproven = protection.Unproven
	Covered  = protection.Covered
)

// Statuses lists every status, the worst first.
var Statuses = protection.Statuses

// stand returns how a group stands. ok is false if the group is not known at the time. The
// caller holds mu.
func (w *Watch) stand(g protection.Group, objectives Objectives, at time.Time) (Standing, bool) {
	var o protection.Objective
	promised := false
	if objectives != nil {
		o, promised = objectives.For(g)
	}
	s, ok := w.fold.Stand(g, o, promised, at)
	return Standing(s), ok
}

// compare orders standings, the worst first.
func compare(a, b *Standing) int {
	return protection.CompareStandings((*protection.Standing)(a), (*protection.Standing)(b))
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
	groups := w.fold.Groups()
	standings := make([]Standing, 0, len(groups))
	for _, g := range groups {
		if s, ok := w.stand(g, objectives, v.At); ok {
			standings = append(standings, s)
		}
	}
	v.Groups = worstFirst(standings)
	return v
}

// worstFirst returns standings in their order. A standing is large, so pointers are sorted.
func worstFirst(all []Standing) []Standing {
	order := make([]*Standing, len(all))
	for i := range all {
		order[i] = &all[i]
	}
	slices.SortFunc(order, compare)
	sorted := make([]Standing, len(all))
	for i, s := range order {
		sorted[i] = *s
	}
	return sorted
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
	return w.server.Add(w.clock().Sub(w.asked))
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
