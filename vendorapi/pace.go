package vendorapi

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Pace limits how often this process calls CreateTask. The zero value is no limit.
type Pace struct {
	// PerHour is the largest number of calls in any hour. A tenth of them may come at once, the
	// others are spread. The SaaS gateway allows a tenant 100 write calls an hour. Basis:
	// https://docs.metallic.io/metallic/rest_api.html. Assumed: every method but GET is a write, so
	// that logins and lists of jobs count too.
	PerHour int
	// PerSecond is the largest number of calls in any second.
	PerSecond int
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
	default:
		return "none"
	}
}

// Cooldown is how long no job may be started, and why. The zero value is no cooldown.
type Cooldown struct {
	For    time.Duration
	Reason CooldownReason
}

// Capacity returns how many jobs may be started now, at most n. If none may be, cooldown has the
// time and the reason. Capacity reserves nothing: two calls return the same capacity twice. After
// an outage, and after refused credentials, it is one, for a trial.
func (c *Client) Capacity(n int) (capacity int, cooldown Cooldown) {
	if n <= 0 {
		return 0, Cooldown{}
	}
	if left := max(c.throttled.left(), c.loginThrottled.left()); left > 0 {
		return 0, Cooldown{left, CooldownThrottled}
	}
	if c.session.wasRefused() {
		if refusal := c.session.kept(); refusal != nil {
			return 0, Cooldown{refusal.RetryAfter, CooldownLogin}
		}
		n = 1
	}
	n, wait := c.breaker.capacity(n)
	if n == 0 {
		return 0, Cooldown{wait, CooldownOutage}
	}
	n, wait = c.limits.capacity(n)
	if n == 0 {
		return 0, Cooldown{wait, CooldownRate}
	}
	return n, Cooldown{}
}

// slot is the permission for one attempt.
type slot struct {
	reserved reservations
	done     func(error)
}

// used ends the slot with the attempt's result.
func (s slot) used(err error) { s.done(err) }

// unused returns the slot: there was no attempt.
func (s slot) unused() {
	s.reserved.cancel()
	s.done(errNotTried)
}

// takeSlot waits until an attempt may be made. The error is an [*Error] with the rest of the wait
// in RetryAfter, if the wait would last beyond end, or if waits or ctx ends first.
func (c *Client) takeSlot(ctx, waits context.Context, end time.Time) (slot, error) {
	var s slot
	for first := true; ; {
		cooldown := Cooldown{c.throttled.left(), CooldownThrottled}
		if refusal := c.session.refusal(); cooldown.For <= 0 && refusal != nil {
			cooldown = Cooldown{refusal.RetryAfter, CooldownLogin}
		}
		if cooldown.For <= 0 {
			cooldown = Cooldown{c.breaker.rest.left(), CooldownOutage}
		}
		if cooldown.For <= 0 && first {
			// The rate is asked last, so that nothing stays reserved for long. The reservation is kept
			// through the waits that follow.
			first = false
			s.reserved, cooldown.For = c.limits.reserve(time.Until(end))
			cooldown.Reason = CooldownRate
		}
		if cooldown.For <= 0 {
			if s.done, cooldown.For = c.breaker.enter(); s.done != nil {
				return s, nil
			}
			cooldown.Reason = CooldownOutage
		}
		late := time.Now().Add(cooldown.For).After(end)
		if !late && c.observer != nil {
			c.observer.Wait(ctx, Wait{For: cooldown.For, Reason: cooldown.Reason})
		}
		if late || !sleep(ctx, waits, cooldown.For) {
			s.reserved.cancel()
			return slot{}, c.notAsked(cooldown)
		}
	}
}

// notAsked returns the error of an attempt that is not made.
func (c *Client) notAsked(h Cooldown) error {
	e := &Error{Verdict: NotSent, Op: opCreateTask, RetryAfter: h.For, notAsked: true}
	switch h.Reason {
	case CooldownThrottled:
		e.Verdict, e.Message = Throttled, "the vendor asked for a pause"
	case CooldownLogin:
		if refusal := c.session.refusal(); refusal != nil {
			return refusal
		}
		e.Message = "the credentials were refused"
	case CooldownOutage:
		e.Message = "no attempt is made during an outage"
		if cause := c.breaker.cause.Load(); cause != nil {
			e.Message += ": " + (*cause).Error()
		}
	default:
		e.Message = "the limit on starts is used up"
	}
	return e
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

// pause is a time until which nothing is sent. One answer sets it for all callers.
type pause struct {
	mu    sync.Mutex
	until time.Time
}

// left returns the rest of the pause, 0 or less if it is over.
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
	mu  sync.Mutex // held while a reservation is made and, if it is too late, cancelled
	all []*rate.Limiter
}

func newLimits(p Pace) *limits {
	l := new(limits)
	add := func(n int, in time.Duration) {
		if n > 0 {
			// A full bucket and the tokens that are added in this time make n.
			burst := max(n/10, 1)
			l.all = append(l.all, rate.NewLimiter(rate.Limit(float64(n-burst+1)/in.Seconds()), burst))
		}
	}
	add(p.PerHour, time.Hour)
	add(p.PerSecond, time.Second)
	return l
}

// reservations has one reservation for each limit.
type reservations []reservation

type reservation struct {
	*rate.Reservation
	at time.Time // from when it may be used
}

// reserve reserves one call and returns the wait until it may be made. It reserves nothing if the
// wait is longer than most.
func (l *limits) reserve(most time.Duration) (p reservations, wait time.Duration) {
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
		p.cancel()
		return nil, wait
	}
	return p, wait
}

// cancel returns the reservations to their limits. The library takes back only a reservation whose
// time has not come, so cancel uses the reservation's own time, which never returns too much.
func (p reservations) cancel() {
	now := time.Now()
	for _, r := range p {
		at := now
		if r.at.Before(now) {
			at = r.at
		}
		r.CancelAt(at)
	}
}

// capacity returns how many of n calls may be made now; if none, the wait until the next.
func (l *limits) capacity(n int) (int, time.Duration) {
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
