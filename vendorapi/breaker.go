package vendorapi

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	// breakAfter is the number of outages in a row that open the breaker.
	breakAfter = 5
	// firstBreak is how long it stays open. Each further time in a row is twice as long, up to
	// longestBreak. Then one attempt is made.
	firstBreak   = 2 * time.Second
	longestBreak = 30 * time.Second
	// probeWait is how often callers check the result of that attempt.
	probeWait = time.Second
)

// breaker stops attempts while the vendor is out of reach.
type breaker struct {
	steps *gobreaker.TwoStepCircuitBreaker[struct{}]
	// rest is how long the breaker stays open. The time of the library is constant.
	rest pause
	// opened counts how often the breaker opened in a row. The lock of the library guards it.
	opened int
	cause  atomic.Pointer[error] // the last outage
}

func newBreaker() *breaker {
	b := new(breaker)
	b.steps = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      1, // the shortest: rest decides
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
		IsSuccessful: func(err error) bool { return !isOutage(err) },
		IsExcluded:   saysNothing,
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				b.rest.extend(min(firstBreak<<min(b.opened, 10), longestBreak))
				b.opened++
			case gobreaker.StateClosed:
				b.opened = 0
			case gobreaker.StateHalfOpen:
			}
		},
	})
	return b
}

// enter is called before an attempt. It returns the function that takes the result of the attempt,
// or how long to wait.
func (b *breaker) enter() (done func(error), wait time.Duration) {
	if left := b.rest.left(); left > 0 {
		return nil, left
	}
	report, err := b.steps.Allow()
	if err != nil {
		return nil, max(probeWait, b.rest.left())
	}
	if left := b.rest.left(); left > 0 { // it has opened since
		report(errNotTried)
		return nil, left
	}
	return func(err error) {
		if isOutage(err) {
			b.cause.Store(&err)
		}
		report(err)
	}, 0
}

// capacity returns how many of n attempts may be made now; if none, when to ask again.
func (b *breaker) capacity(n int) (int, time.Duration) {
	if left := b.rest.left(); left > 0 {
		return 0, left
	}
	if b.steps.State() == gobreaker.StateClosed {
		return n, 0
	}
	if c := b.steps.Counts(); c.Requests > c.TotalExclusions {
		return 0, probeWait // the one attempt is in flight
	}
	return min(n, 1), 0
}

// errNotTried ends a slot without an attempt.
var errNotTried = errors.New("not tried")

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
