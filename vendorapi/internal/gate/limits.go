package gate

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits are limiters of a rate.
type Limits struct {
	mu  sync.Mutex // held while a reservation is made and, if it is too late, cancelled
	all []*rate.Limiter
}

// NewLimits returns limits of calls in any hour and in any second; 0 means no limit.
func NewLimits(perHour, perSecond int) *Limits {
	l := new(Limits)
	add := func(n int, in time.Duration) {
		if n > 0 {
			// A full bucket and the tokens that are added in this time make n.
			burst := max(n/10, 1)
			l.all = append(l.all, rate.NewLimiter(rate.Limit(float64(n-burst+1)/in.Seconds()), burst))
		}
	}
	add(perHour, time.Hour)
	add(perSecond, time.Second)
	return l
}

// Reservations is a call that may be made: one reservation for each limit.
type Reservations []reservation

type reservation struct {
	*rate.Reservation
	at time.Time // from when it may be used
}

// Reserve reserves one call and returns the wait until it may be made. It reserves nothing if the
// wait is longer than most.
func (l *Limits) Reserve(most time.Duration) (p Reservations, wait time.Duration) {
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
		p.Cancel()
		return nil, wait
	}
	return p, wait
}

// Cancel returns the reservations to their limits. The library takes back only a reservation whose
// time has not come, so Cancel uses the reservation's own time, which never returns too much.
func (p Reservations) Cancel() {
	now := time.Now()
	for _, r := range p {
		at := now
		if r.at.Before(now) {
			at = r.at
		}
		r.CancelAt(at)
	}
}

// Capacity returns how many of n calls may be made now; if none, the wait until the next.
func (l *Limits) Capacity(n int) (int, time.Duration) {
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
