package trigger

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/reader"
	"backhaul/consumer/turn"
	"backhaul/publisher"
)

const (
	// lookAgain is how often a content group that is held is looked at.
	lookAgain = 5 * time.Second
	// holdFor is the longest that the first change of a window is held. The request is then
	// published, and waits as every other one.
	holdFor = 24 * time.Hour
)

// asked is the last request of a content group.
type asked struct {
	Source    string `json:"source"`
	RequestID string `json:"requestId"`
}

// hold is what a content group with a rule or a blackout waits for. Its windows end only when no
// blackout is in force, and with a rule after a look that found nothing of the group waiting or
// running.
type hold struct {
	asked asked
	// since is not before that request was published.
	since time.Time
	// looking is set while a look is under way, and next is when the next one is due.
	looking bool
	next    time.Time
	// may is set after that, until the next request.
	may bool
	// dark is when the last blackout ends, or has ended.
	dark time.Time
	// forced is set if windows end without a look, because they are too old or memory is needed.
	forced bool
	// told is the request that is waited for, as the log said last.
	told publisher.Key
}

// newHold returns what the group's last decision, which may be one by other routes, says about its
// last request. It returns nil for a route without a rule and without a blackout.
func newHold(r *Route, source string, last *decision) *hold {
	if !r.Rule.Applies() && !r.Blackout.Any() {
		return nil
	}
	h := &hold{since: last.Stored}
	switch {
	case last.Asked != nil:
		h.asked = *last.Asked
	case last.Request != nil: // by a version without rules, or by a route without one
		h.asked = asked{source, last.Request.RequestID}
	}
	return h
}

// held reports whether it must be found out first whether a request of the group may be made.
func (g *group) held() bool { return g.hold != nil && !g.hold.may && !g.hold.forced }

// isDark reports whether a blackout of the group is known to be in force.
func (g *group) isDark(now time.Time) bool { return g.held() && g.hold.dark.After(now) }

// waits reports whether the group is held, and will be looked at again when that is due.
func (g *group) waits(now time.Time) bool {
	return g.held() && (g.hold.looking || g.hold.next.After(now) || g.hold.dark.After(now))
}

// first returns the oldest window of the group, nil without one.
func (g *group) first() *window {
	if len(g.queue) > 0 {
		return g.queue[0]
	}
	return g.open
}

// lookAt makes a look at a held group due, unless it is too early for one. It returns false if the
// group is held no more: it needs no look, or has been held for too long, which a blackout is no part
// of.
func (c *collection) lookAt(g *group, now time.Time) bool {
	h := g.hold
	if !h.dark.After(now) {
		if end := g.route.Blackout.Until(now); !end.IsZero() {
			h.dark = end
		}
	}
	if h.dark.After(now) {
		c.expect(h.dark)
		return true
	}
	if !g.route.Rule.Applies() {
		h.may = true
		return false
	}
	since := g.first().since
	if h.dark.After(since) {
		since = h.dark
	}
	if now.Sub(since) >= c.holdFor {
		h.forced = true
		return false
	}
	switch {
	case h.looking:
	case h.next.After(now):
		c.expect(h.next)
	default:
		h.looking = true
		c.looks = append(c.looks, g)
	}
	return true
}

// force lets every ended window of held groups be requested, to get memory back, but not in a
// blackout. It reports whether there are any.
func (c *collection) force() (any bool) {
	now := c.now()
	for _, g := range c.groups {
		if len(g.queue) > 0 && !g.flying && g.held() && !g.isDark(now) {
			g.hold.forced, any = true, true
			c.ended = append(c.ended, g)
		}
	}
	return any
}

// look is a look at what a held group waits for.
type look struct {
	asked asked
	since time.Time
	wait  *turn.Wait // nil if nothing of the group waits or runs
}

// running binds to the events when a look needs them: a user without a rule needs no permission for
// that.
type running struct {
	mu    sync.Mutex
	turns *turn.Turns
}

func (r *running) bind(ctx context.Context, js jetstream.JetStream) (*turn.Turns, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turns != nil {
		return r.turns, nil
	}
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("bind to stream %s: %w", publisher.EventsStream, err)
	}
	r.turns = turn.New(js, events, nil)
	return r.turns, nil
}

// look finds out whether a request of the group waits or has a job that runs: the last one that
// was asked for here, or the one that has the group's turn.
func (s *session) look(ctx context.Context, f *flight) {
	ask, cancel := context.WithTimeout(ctx, reader.AskTimeout)
	defer cancel()
	r, l := f.group.route, f.look
	turns, err := s.trigger.running.bind(ask, s.trigger.js)
	if err != nil {
		f.err = err
		return
	}
	if l.asked.RequestID != "" {
		key := publisher.NewKey(l.asked.Source, l.asked.RequestID)
		if l.wait, f.err = turns.Asked(ask, key, r.Rule, l.since); f.err != nil || l.wait != nil {
			return
		}
	}
	l.wait, f.err = turns.Holder(ask, turn.Group{Client: r.Request.ClientName, Subclient: r.Request.SubclientName}, r.Rule)
}

// looked takes over the result of a look. After an error the group stays held.
func (s *session) looked(f *flight) {
	t, g, wait := s.trigger, f.group, f.look.wait
	g.hold.looking = false
	t.turnTrouble.Note(f.err)
	if t.turnLog.Changed(f.err) && f.err != nil {
		t.log.Warn().Err(f.err).Msg("cannot find out whether jobs of content groups run; their windows wait")
	}
	if f.err == nil && wait == nil {
		g.hold.may = true
		if g.open != nil { // it was due
			g.close()
		}
		s.collected.ended = append(s.collected.ended, g)
		return
	}
	again := t.cfg.LookAgain
	if wait != nil && wait.Left() > 0 {
		again = max(wait.Left(), MinQuiet)
	}
	g.hold.next = s.collected.now().Add(again)
	s.collected.expect(g.hold.next)
	if wait != nil && g.hold.told != wait.Key() {
		g.hold.told = wait.Key()
		t.log.Info().Str("contentGroup", g.route.Group().String()).Msgf("a window waits for %s", wait)
	}
}

// asked returns the last request of the group after the flight's decision, nil without a rule.
func (f *flight) asked(source string) *asked {
	h := f.group.hold
	switch {
	case h == nil:
		return nil
	case f.decision.Request != nil:
		return &asked{source, f.decision.Request.RequestID}
	case h.asked == asked{}:
		return nil
	}
	last := h.asked
	return &last
}

// afterRequest notes that a window was decided: the next one needs a look of its own.
func (g *group) afterRequest() {
	h := g.hold
	if h == nil {
		return
	}
	h.may, h.next = false, time.Time{}
	h.forced = h.forced && len(g.queue) > 0
	if a := g.position.Asked; a != nil {
		h.asked, h.since = *a, g.position.Stored
	}
}
