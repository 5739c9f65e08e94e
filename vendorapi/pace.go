package vendorapi

import (
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"
)

// Pace limits how CreateTask is called. Zero values stand for no limit.
type Pace struct {
	// PerHour is how many jobs may be started in an hour. The SaaS gateway allows
	// a tenant 100 writing calls. Basis: the vendor's page on the REST API.
	PerHour int
	// PerSecond is how many may be started in a second.
	PerSecond int
	// BreakAfter is how many calls in a row may fail to reach the vendor before
	// all are held back. Defaults to 5.
	BreakAfter int
	// BreakFor is how long they are held back before one is let through to try.
	// Defaults to 5 s.
	BreakFor time.Duration
}

// pace holds calls back.
type pace struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	limits  []*rate.Limiter
}

func newPace(p Pace) *pace {
	if p.BreakAfter == 0 {
		p.BreakAfter = 5
	}
	if p.BreakFor == 0 {
		p.BreakFor = 5 * time.Second
	}
	result := &pace{breaker: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     p.BreakFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= p.BreakAfter },
		// Any answer shows that the vendor is there, a refusal as well.
		IsSuccessful: func(err error) bool { return err == nil || !isOutage(err) },
		IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) },
	})}
	if p.PerHour > 0 {
		// One at a time: a burst at the start of an hour could meet the vendor's.
		result.limits = append(result.limits, rate.NewLimiter(rate.Limit(float64(p.PerHour)/3600), 1))
	}
	if p.PerSecond > 0 {
		result.limits = append(result.limits, rate.NewLimiter(rate.Limit(p.PerSecond), 1))
	}
	return result
}

// isOutage tells whether a call failed because the vendor could not be reached
// or did not answer.
func isOutage(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == 0 && (e.Verdict == NotSent || e.Verdict == Unknown)
}

// reserve takes a call's place in the limits and says how long it has to wait
// for it. cancel gives the place back.
func (p *pace) reserve(now time.Time) (wait time.Duration, cancel func()) {
	var reservations []*rate.Reservation
	for _, limit := range p.limits {
		r := limit.ReserveN(now, 1)
		reservations = append(reservations, r)
		wait = max(wait, r.DelayFrom(now))
	}
	return wait, func() {
		for _, r := range reservations {
			r.CancelAt(now)
		}
	}
}
