package vendorapi

import (
	"context"
	"errors"
	"time"

	"backhaul/vendorapi/internal/gate"
)

// Pace limits how often this process calls the vendor. The zero value means no limit.
type Pace struct {
	// PerHour is the largest number of calls of CreateTask in any hour. A tenth of them may come at
	// once, the others are spread. The SaaS gateway allows a tenant 100 write calls an hour. Basis:
	// https://docs.metallic.io/metallic/rest_api.html. Assumed: every method but GET is a write, so
	// that logins and lists of jobs count too.
	PerHour int
	// PerSecond is the largest number of calls of CreateTask in any second.
	PerSecond int
	// Budget, if non-nil, is asked before every writing call. It counts for all processes that
	// share it.
	Budget Budget
}

// CooldownReason is why no job may be started.
type CooldownReason int

const (
	_ CooldownReason = iota
	// CooldownThrottled: the vendor asked for a pause.
	CooldownThrottled
	// CooldownOutage: the vendor was out of reach several times in a row.
	CooldownOutage
	// CooldownRate: the limit of our own [Pace] is used up.
	CooldownRate
	// CooldownLogin: the vendor refused the credentials of this process.
	CooldownLogin
	// CooldownBudget: the tenant's writing calls of the last hour are used up, or the record of them
	// cannot be used, see [Budget].
	CooldownBudget
)

func (r CooldownReason) String() string {
	switch r {
	case CooldownThrottled:
		return "throttled"
	case CooldownOutage:
		return "outage"
	case CooldownRate:
		return "rate"
	case CooldownLogin:
		return "login"
	case CooldownBudget:
		return "budget"
	default:
		return "none"
	}
}

// Text returns the reason in words.
func (r CooldownReason) Text() string {
	switch r {
	case CooldownThrottled:
		return "the vendor asked for a pause"
	case CooldownOutage:
		return "the vendor is out of reach"
	case CooldownRate:
		return "the limit on starts is used up"
	case CooldownLogin:
		return "the vendor refuses the credentials of this process"
	case CooldownBudget:
		return "the budget of writing calls allows none now"
	default:
		return ""
	}
}

// Limit reports whether the reason is a limit on how many jobs may be started, and not trouble. The
// order in which jobs are started matters then.
func (r CooldownReason) Limit() bool {
	return r == CooldownThrottled || r == CooldownRate || r == CooldownBudget
}

// Cooldown is how long no job may be started, and why. The zero value means no cooldown. For is 0
// and Reason is set if some jobs may be started, but fewer than were asked for.
type Cooldown struct {
	For    time.Duration
	Reason CooldownReason
	// By is the answer that asked for a pause, such as "HTTP 503 to CreateTask"; it may be empty.
	By string
}

// LoginTrouble returns why the vendor refused the credentials that were tried last, nil if it did
// not, or if there are new ones.
func (c *Client) LoginTrouble() error { return c.session.trouble() }

// Capacity returns how many jobs may be started now, at most n. If none may be, cooldown has the
// time and the reason; if a limit allows fewer than n, it has the reason.
// Capacity reserves nothing: two calls return the same capacity twice. After an outage, after
// refused credentials, and after several pauses without another answer, it is one, for a trial.
func (c *Client) Capacity(n int) (capacity int, cooldown Cooldown) {
	if n <= 0 {
		return 0, Cooldown{}
	}
	if left := max(c.throttled.Left(), c.loginThrottled.Left()); left > 0 {
		return 0, Cooldown{For: left, Reason: CooldownThrottled, By: c.askedBy()}
	}
	if c.throttled.Trial() {
		n = 1
	}
	if c.session.wasRefused() {
		if refusal := c.session.kept(); refusal != nil {
			return 0, Cooldown{For: refusal.RetryAfter, Reason: CooldownLogin}
		}
		n = 1
	}
	n, wait := c.breaker.Capacity(n)
	if n == 0 {
		return 0, Cooldown{For: wait, Reason: CooldownOutage}
	}
	var limit Cooldown
	allowed, wait := c.limits.Capacity(n)
	switch {
	case allowed == 0:
		return 0, Cooldown{For: wait, Reason: CooldownRate}
	case allowed < n:
		limit = Cooldown{Reason: CooldownRate}
	}
	if n = allowed; c.budget == nil {
		return n, limit
	}
	left, wait := c.budget.Left(n)
	switch {
	case left == 0:
		return 0, Cooldown{For: wait, Reason: CooldownBudget}
	case left < n:
		return left, Cooldown{Reason: CooldownBudget}
	}
	return n, limit
}

// slot is the permission for one attempt.
type slot struct {
	reserved gate.Reservations
	done     func(error)
}

// used ends the slot with the attempt's result.
func (s slot) used(err error) { s.done(err) }

// unused returns the slot: there was no attempt.
func (s slot) unused() {
	s.reserved.Cancel()
	s.done(gate.ErrNotTried)
}

// takeSlot waits until an attempt may be made. The error is an [*Error] with the rest of the wait
// in RetryAfter, if the wait would last beyond end, or if waits or ctx ends first.
func (c *Client) takeSlot(ctx, waits context.Context, end time.Time) (slot, error) {
	var s slot
	for first := true; ; {
		cooldown := Cooldown{For: c.throttled.Left(), Reason: CooldownThrottled}
		if refusal := c.session.refusal(); cooldown.For <= 0 && refusal != nil {
			cooldown = Cooldown{For: refusal.RetryAfter, Reason: CooldownLogin}
		}
		if cooldown.For <= 0 {
			cooldown = Cooldown{For: c.breaker.Rest.Left(), Reason: CooldownOutage}
		}
		if cooldown.For <= 0 && c.budget != nil && !holdsGrant(ctx) {
			if left, wait := c.budget.Left(1); left == 0 {
				cooldown = Cooldown{For: wait, Reason: CooldownBudget}
			}
		}
		if cooldown.For <= 0 && first {
			// The rate is asked last, so that nothing stays reserved for long. The reservation is kept
			// through the waits that follow.
			first = false
			s.reserved, cooldown.For = c.limits.Reserve(time.Until(end))
			cooldown.Reason = CooldownRate
		}
		if cooldown.For <= 0 {
			if s.done, cooldown.For = c.breaker.Enter(); s.done != nil {
				return s, nil
			}
			cooldown.Reason = CooldownOutage
		}
		late := time.Now().Add(cooldown.For).After(end)
		if !late && c.observer != nil {
			c.observer.Wait(ctx, Wait{For: cooldown.For, Reason: cooldown.Reason})
		}
		if late || !sleep(ctx, waits, cooldown.For) {
			s.reserved.Cancel()
			return slot{}, c.notAsked(cooldown)
		}
	}
}

// notAsked returns the error of an attempt that is not made.
func (c *Client) notAsked(h Cooldown) error {
	e := &Error{Verdict: NotSent, Op: opCreateTask, RetryAfter: h.For, notAsked: true}
	switch h.Reason {
	case CooldownThrottled:
		e.Verdict, e.Message = Throttled, h.Reason.Text()
		if by := c.askedBy(); by != "" {
			e.Message += ": " + by
		}
	case CooldownLogin:
		if refusal := c.session.refusal(); refusal != nil {
			return refusal
		}
		e.Message = "the credentials were refused"
	case CooldownOutage:
		e.Message = "no attempt is made during an outage"
		if cause := c.breaker.Cause(); cause != nil {
			e.Message += ": " + cause.Error()
		}
	case CooldownBudget:
		e.Message = h.Reason.Text()
	default:
		e.Message = CooldownRate.Text()
	}
	return e
}

// askedBy returns the answer that asked for the pause in force, "" if it is not known.
func (c *Client) askedBy() string {
	if by := c.throttledBy.Load(); by != nil && c.throttled.Left() > 0 {
		return *by
	}
	return ""
}

// sleep waits for d. It reports false if one of the contexts ends first.
func sleep(a, b context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.Done():
	case <-b.Done():
	}
	return false
}

// isOutage reports whether an attempt failed because the vendor is out of reach: there was no
// connection, no answer, or the answer of a server in front of the vendor.
func isOutage(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.RetryAfter == 0 && e.Code == "" && (e.load.outage() || e.noAnswer)
}

// saysNothing reports whether a failure has no meaning for the state of the vendor: the caller
// left, or nothing was sent for a reason of our own. A refused login is an answer.
func saysNothing(err error) bool {
	if err == nil || isOutage(err) {
		return false
	}
	if _, refused := errors.AsType[*LoginError](err); refused {
		return false
	}
	e, ok := errors.AsType[*Error](err)
	return !ok || e.Status == 0
}
