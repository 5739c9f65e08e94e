package trigger

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// snapshot returns what the session is doing.
func (s *session) snapshot() *State {
	state := &State{Reading: true, Owner: s.trigger.cfg.Owner, Unrouted: s.trigger.unrouted.state(), Conditions: s.trigger.conditions(), Notifications: len(s.collected.messages), Changes: s.collected.changes, Asked: s.trigger.done}
	var waiting []*group
	now := s.collected.now()
	for _, g := range s.collected.groups {
		windows := g.queue
		if g.open != nil {
			windows = append(windows[:len(windows):len(windows)], g.open)
		}
		state.Windows += len(windows)
		dark := len(windows) > 0 && g.isDark(now)
		holds := len(windows) > 0 && !dark && g.held() && !g.hold.next.IsZero()
		switch {
		case dark:
			state.Blackout += len(windows)
		case holds:
			state.Held += len(windows)
		}
		if dark || holds || len(g.queue) > 0 {
			waiting = append(waiting, g)
		}
		if len(windows) > 0 && (state.Oldest.IsZero() || windows[0].since.Before(state.Oldest)) {
			state.Oldest = windows[0].since
		}
		if len(windows) > 0 && !dark && !holds && (state.OldestFree.IsZero() || windows[0].since.Before(state.OldestFree)) {
			state.OldestFree = windows[0].since
		}
	}
	slices.SortFunc(waiting, func(a, b *group) int {
		return cmp.Or(a.first().since.Compare(b.first().since), strings.Compare(a.name, b.name))
	})
	for _, g := range waiting[:min(len(waiting), maxWaits)] {
		state.Waits = append(state.Waits, Wait{ContentGroup: g.route.Group().String(), Since: g.first().since, Why: s.why(g)})
	}
	return state
}

// maxWaits is how many groups that wait are in a [State].
const maxWaits = 10

// why returns why the request of an ended window is not in its stream yet.
func (s *session) why(g *group) string {
	if g.isDark(s.collected.now()) {
		return "in a blackout of its route until " + g.hold.dark.UTC().Format(time.RFC3339)
	}
	if g.held() && !g.hold.next.IsZero() {
		return "held for a request or a job of the content group: " + g.hold.told.String()
	}
	switch trouble, writable := s.trigger.StoreTrouble(), s.trigger.Writable(); {
	case writable != nil:
		return writable.Error()
	case trouble != nil && g.route.Directive != nil:
		return trouble.Error()
	default:
		return "its request is being made"
	}
}
