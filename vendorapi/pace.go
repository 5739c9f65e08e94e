package vendorapi

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Pace limits how often this process calls CreateTask. Zero is no limit.
type Pace struct {
	// PerHour is the most in any hour. A tenth of it may come at once, the others
	// are spread. The SaaS gateway allows a tenant 100 writing calls an hour, and
	// everything but a GET is one: logins and searches for jobs too. Basis:
	// documented (the vendor's page on the REST API), but for what counts.
	PerHour int
	// PerSecond is the most in any second, likewise.
	PerSecond int
}

// HoldReason says why no job may be started.
type HoldReason int

const (
	_ HoldReason = iota
	// HoldThrottled: the vendor asked for a pause.
	HoldThrottled
	// HoldOutage: the vendor was out of reach several times in a row.
	HoldOutage
	// HoldRate: the limit of our own [Pace] is used up.
	HoldRate
	// HoldLogin: the vendor refused the credentials of this process.
	HoldLogin
)

func (r HoldReason) String() string {
	switch r {
	case HoldThrottled:
		return "throttled"
	case HoldOutage:
		return "outage"
	case HoldRate:
		return "rate"
	case HoldLogin:
		return "login"
	default:
		return "none"
	}
}

// Hold is how long no job may be started, and why. The zero value is no hold.
type Hold struct {
	For    time.Duration
	Reason HoldReason
}

// Room says how many jobs may be started now, n at most; with none, Hold says
// for how long and why. It reserves nothing: who asks twice is told the same
// room twice. After an outage, and after refused credentials, there is room for one, to try.
func (c *Client) Room(n int) (room int, hold Hold) {
	if n <= 0 {
		return 0, Hold{}
	}
	if left := max(c.quiet.left(), c.noLogin.left()); left > 0 {
		return 0, Hold{left, HoldThrottled}
	}
	if c.session.wasRefused() {
		if refusal := c.session.kept(); refusal != nil {
			return 0, Hold{refusal.RetryAfter, HoldLogin}
		}
		n = 1
	}
	n, wait := c.breaker.room(n)
	if n == 0 {
		return 0, Hold{wait, HoldOutage}
	}
	n, wait = c.limits.room(n)
	if n == 0 {
		return 0, Hold{wait, HoldRate}
	}
	return n, Hold{}
}

// turn is the permission for one attempt.
type turn struct {
	place place
	done  func(error)
}

// used reports what came of the attempt.
func (t turn) used(err error) { t.done(err) }

// unused gives the turn back.
func (t turn) unused() {
	t.place.giveBack()
	t.done(errNotTried)
}

// takeTurn waits until an attempt may be made. The error is an [*Error] that
// says for how long none is: beyond end, or when waits or ctx ended.
func (c *Client) takeTurn(ctx, waits context.Context, end time.Time) (turn, error) {
	var t turn
	for first := true; ; {
		hold := Hold{c.quiet.left(), HoldThrottled}
		if refusal := c.session.refusal(); hold.For <= 0 && refusal != nil {
			hold = Hold{refusal.RetryAfter, HoldLogin}
		}
		if hold.For <= 0 {
			hold = Hold{c.breaker.rest.left(), HoldOutage}
		}
		if hold.For <= 0 && first {
			// Last, so that no place is taken that is not used for long. It is kept
			// through whatever has to be waited for after it.
			first = false
			t.place, hold.For = c.limits.take(time.Until(end))
			hold.Reason = HoldRate
		}
		if hold.For <= 0 {
			if t.done, hold.For = c.breaker.enter(); t.done != nil {
				return t, nil
			}
			hold.Reason = HoldOutage
		}
		late := time.Now().Add(hold.For).After(end)
		if !late && c.observer != nil {
			c.observer.Wait(ctx, Wait{For: hold.For, Reason: hold.Reason})
		}
		if late || !sleep(ctx, waits, hold.For) {
			t.place.giveBack()
			return turn{}, c.held(hold)
		}
	}
}

// held is the answer of an attempt that is not made.
func (c *Client) held(h Hold) error {
	e := &Error{Verdict: NotSent, Op: opCreateTask, RetryAfter: h.For, held: true}
	switch h.Reason {
	case HoldThrottled:
		e.Verdict, e.Message = Throttled, "the vendor asked for a pause"
	case HoldLogin:
		if refusal := c.session.refusal(); refusal != nil {
			return refusal
		}
		e.Message = "the credentials were refused"
	case HoldOutage:
		e.Message = "no attempt is made during an outage"
		if cause := c.breaker.cause.Load(); cause != nil {
			e.Message += ": " + (*cause).Error()
		}
	default:
		e.Message = "the limit on starts is used up"
	}
	return e
}

// sleep waits for d and tells whether neither context ended before.
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

// pause is until when nothing is to be sent: what one answer asks for holds for
// all callers.
type pause struct {
	mu    sync.Mutex
	until time.Time
}

// left is how long the pause still is.
func (p *pause) left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until.IsZero() {
		return 0
	}
	return time.Until(p.until)
}

// extend makes the pause last for d from now, unless it lasts longer already.
func (p *pause) extend(d time.Duration) {
	until := time.Now().Add(d)
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.until) {
		p.until = until
	}
}

// limits are the limiters of a [Pace].
type limits struct {
	mu  sync.Mutex // a place is asked for, and given back if it is too late, at once
	all []*rate.Limiter
}

func newLimits(p Pace) *limits {
	l := new(limits)
	add := func(n int, in time.Duration) {
		if n > 0 {
			// A full bucket and what flows in meanwhile are n together.
			burst := max(n/10, 1)
			l.all = append(l.all, rate.NewLimiter(rate.Limit(float64(n-burst+1)/in.Seconds()), burst))
		}
	}
	add(p.PerHour, time.Hour)
	add(p.PerSecond, time.Second)
	return l
}

// place is what was taken of each limit.
type place []reservation

type reservation struct {
	*rate.Reservation
	at time.Time // when it may be used
}

// take takes a place and says how long until it may be used. One that is further
// away than most is not taken.
func (l *limits) take(most time.Duration) (p place, wait time.Duration) {
	if len(l.all) == 0 {
		return nil, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, limit := range l.all {
		r := limit.ReserveN(now, 1)
		delay := r.DelayFrom(now)
		p = append(p, reservation{r, now.Add(delay)})
		wait = max(wait, delay)
	}
	if wait > max(most, 0) {
		p.giveBack()
		return nil, wait
	}
	return p, wait
}

// giveBack returns a place that was not used. The library takes back only what
// is not over yet, so that is done as of its time, which is never too much.
func (p place) giveBack() {
	now := time.Now()
	for _, r := range p {
		at := now
		if r.at.Before(now) {
			at = r.at
		}
		r.CancelAt(at)
	}
}

// room is how many of n places may be used now; with none, how long until one.
func (l *limits) room(n int) (int, time.Duration) {
	now := time.Now()
	var wait time.Duration
	for _, limit := range l.all {
		tokens := limit.TokensAt(now)
		n = min(n, int(max(tokens, 0)))
		if tokens < 1 {
			wait = max(wait, time.Duration((1-tokens)/float64(limit.Limit())*float64(time.Second))+time.Millisecond)
		}
	}
	return n, wait
}
