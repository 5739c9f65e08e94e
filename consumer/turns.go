package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"backhaul/consumer/turn"
	"backhaul/publisher"
	"backhaul/schemas"
)

// turns makes the requests of a content group with a rule follow each other.
type turns struct {
	ruleOf func(*schemas.BackupRequest) turn.Rule // nil for no rules
	turns  *turn.Turns
	log    zerolog.Logger
	// most is how many requests may wait before the queue counts as crowded; 0 for any number.
	most int

	mu      sync.Mutex
	groups  map[turn.Group]groupWait // those with requests that wait
	waiting int                      // requests that wait, when they were counted last
	counted time.Time
}

// newTurns returns the turns for a queue that delivers up to maxPending requests without an
// acknowledgement. Those that wait are among them.
func newTurns(ruleOf func(*schemas.BackupRequest) turn.Rule, t *turn.Turns, maxPending int, log zerolog.Logger) turns {
	return turns{ruleOf: ruleOf, turns: t, most: max(maxPending/2, 0), log: log, groups: make(map[turn.Group]groupWait)}
}

// crowded reports whether so many requests wait that the queue may bring no others.
func (t *turns) crowded() bool {
	if t.ruleOf == nil || t.most == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.counted) >= lookAgain {
		t.counted, t.waiting = time.Now(), 0
		for _, w := range t.groups {
			t.waiting += w.count()
		}
	}
	return t.waiting >= t.most
}

// groupWait is what the requests of a content group wait for.
type groupWait struct {
	wait   turn.Wait
	holder publisher.Key
	looked time.Time
	// requests are those that wait, and when each was seen last.
	requests map[publisher.Key]time.Time
}

// count returns how many requests wait. It forgets those that were not seen for long: they have
// their outcome, or another replica gets them.
func (w *groupWait) count() int {
	long := 2 * longestTurnDelay(len(w.requests))
	for key, seen := range w.requests {
		if time.Since(seen) > long {
			delete(w.requests, key)
		}
	}
	return len(w.requests)
}

const (
	// lookAgain is how long an answer about a content group serves its other requests.
	lookAgain = 500 * time.Millisecond
	// lastTurnDelay is the longest time until a waiting request looks again, and lookApart is the
	// least average time between the looks of all requests of a group: one of them starts next,
	// whichever looks first, and thousands that look all the time hold up what is behind them.
	lastTurnDelay = 15 * time.Second
	lookApart     = 50 * time.Millisecond
	// maxWaiting bounds the content groups that are remembered.
	maxWaiting = 10_000
)

// longestTurnDelay returns the longest time until a request looks again that is one of so many.
func longestTurnDelay(requests int) time.Duration {
	return max(lastTurnDelay, time.Duration(requests)*lookApart)
}

// waitError is returned for a request that waits for the turn of its content group.
type waitError struct {
	turn.Wait
	requests int // of the group that wait, as far as this process knows
}

func (e *waitError) Error() string { return "waits for " + e.String() }

// look returns the standing of a request, nil if there is no rule for its content group.
func (t *turns) look(ctx context.Context, req *request) (*turn.Standing, error) {
	if t.ruleOf == nil {
		return nil, nil
	}
	rule := t.ruleOf(&req.BackupRequest)
	if !rule.Applies() {
		return nil, nil
	}
	g := groupOf(req)
	if known, ok := t.known(g, req.key); ok {
		return &turn.Standing{Wait: &known}, nil
	}
	st, err := t.turns.Look(ctx, g, rule, req.key)
	if err != nil {
		return nil, err
	}
	t.note(g, req, st.Wait)
	return &st, nil
}

func groupOf(req *request) turn.Group {
	return turn.Group{Client: req.ClientName, Subclient: req.SubclientName}
}

// known returns what a request waits for, if that was found out about its group just now.
func (t *turns) known(g turn.Group, key publisher.Key) (turn.Wait, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w, ok := t.groups[g]
	if !ok || time.Since(w.looked) >= lookAgain || w.holder == key {
		return turn.Wait{}, false
	}
	w.requests[key] = time.Now()
	return w.wait, true
}

// requests returns how many requests of a group wait.
func (t *turns) requests(g turn.Group) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.groups[g].requests)
}

// Waits returns the content groups with requests that wait, as far as this process has seen them.
func (c *Consumer) Waits() (all []turn.Waiting) {
	t := &c.handler.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	for g, w := range t.groups {
		if n := w.count(); n > 0 {
			all = append(all, turn.Waiting{Group: g, Wait: w.wait, Requests: n})
		}
	}
	slices.SortFunc(all, func(a, b turn.Waiting) int { return strings.Compare(a.Group.String(), b.Group.String()) })
	return all
}

// note remembers what the requests of a group wait for, and logs it once for each holder.
func (t *turns) note(g turn.Group, req *request, wait *turn.Wait) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, waited := t.groups[g]
	if wait == nil {
		if waited { // the holder stays known, so that it is logged once
			before.looked = time.Time{}
			t.groups[g] = before
			delete(before.requests, req.key)
		}
		return
	}
	if len(t.groups) >= maxWaiting && !waited {
		clear(t.groups)
	}
	if before.requests == nil {
		before.requests = make(map[publisher.Key]time.Time)
	}
	before.requests[req.key] = time.Now()
	t.groups[g] = groupWait{wait: *wait, holder: wait.Key(), looked: time.Now(), requests: before.requests}
	if !waited || before.holder != wait.Key() {
		t.log.Info().Str("clientName", g.Client).Str("subclientName", g.Subclient).Str("source", req.key.Source).
			Str("requestId", req.RequestID).Msgf("requests of the content group wait for %s", wait)
	}
}

// await settles a request that has to wait for the turn of its content group. It waits unclaimed,
// until it is too old.
func (h *handler) await(ctx context.Context, d *delivery, req *request) (s settlement, waits bool) {
	st, err := h.turns.look(ctx, req)
	if err != nil {
		return redeliver(d, err), true
	}
	req.turn = st
	if st == nil || st.Wait == nil {
		return settlement{}, false
	}
	waiting := &waitError{*st.Wait, h.turns.requests(groupOf(req))}
	if !h.tooOld(req) && !req.expired() {
		if last, err := h.ledger.last(ctx, req.key); err == nil && isCancelled(last.event) && req.is(last.event.Requested()) {
			return h.duplicate(ctx, d, req, last), true
		}
		s := redeliver(d, waiting)
		if !req.NotAfter.IsZero() {
			s.delay = min(s.delay, max(time.Until(req.NotAfter), firstLookup))
		}
		return s, true
	}
	s, claimed := h.announceUnclaimed(ctx, d, req, h.tooLate(req, waiting.waited(), 0))
	return s, !claimed // a claimed one goes on, because it may have a job
}

// takeTurn takes the turn of the claimed request's content group. Without it nothing may be sent.
func (h *handler) takeTurn(ctx context.Context, c *claim) error {
	st := c.req.turn
	if st == nil || c.turn {
		return nil
	}
	if st.Wait != nil { // it was claimed before, and is too old to wait
		return &waitError{Wait: *st.Wait}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, h.cfg.lease(), errNotConfirmed)
	defer cancel()
	taken, err := h.turns.turns.Take(ctx, *st, c.req.key, c.req.RequestID)
	switch {
	case err != nil:
		return err
	case taken.Wait != nil: // another request was first
		h.turns.note(groupOf(c.req), c.req, taken.Wait)
		return &waitError{Wait: *taken.Wait}
	}
	c.turn = true
	return nil
}

// delay returns when a request that waits looks again, at an age.
func (e *waitError) delay(age time.Duration) time.Duration {
	if left := e.Left(); left > 0 {
		return min(max(left, firstLookup), max(lastDelay, longestTurnDelay(e.requests)))
	}
	return min(max(age/4, firstDelay), longestTurnDelay(e.requests))
}

// turnDelay returns a wait that grows with the age of a request.
func turnDelay(age time.Duration) time.Duration { return min(max(age/4, firstDelay), lastTurnDelay) }

// waited returns what a request waited for, see tooLate.
func (e *waitError) waited() string { return "waited for " + e.String() }

// tooLate returns the failure of a request that waited until it was too old. why says for what.
func (h *handler) tooLate(req *request, why string, attempts int) schemas.Event {
	limit := fmt.Sprintf("within %s", h.cfg.GiveUpAfter)
	if req.expired() {
		limit = "by " + req.NotAfter.Format(time.RFC3339)
	}
	return h.failed(req, schemas.JobFailed{
		ErrorCode: schemas.CodeExpired, ErrorMessage: fmt.Sprintf("not started %s: %s", limit, why),
		ErrorSource: schemas.ErrorSourceBackhaul, Retryable: true, Attempts: attempts,
	})
}

func isWait(err error) bool {
	_, is := errors.AsType[*waitError](err)
	return is
}
