package gate

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	// BreakAfter is the number of outages in a row that open the breaker.
	BreakAfter = 5
	// FirstBreak is how long it stays open. Each further time in a row is twice as long, up to
	// longestBreak. Then one attempt is made.
	FirstBreak   = 2 * time.Second
	longestBreak = 30 * time.Second
	// ProbeWait is how often callers check the result of that attempt.
	ProbeWait = time.Second
)

// Breaker stops attempts while the vendor is out of reach.
type Breaker struct {
	steps *gobreaker.TwoStepCircuitBreaker[struct{}]
	// Rest is how long the breaker stays open. The time of the library is constant.
	Rest Pause
	// opened counts how often the breaker opened in a row. The lock of the library guards it.
	opened   int
	isOutage func(error) bool
	cause    atomic.Pointer[error] // the last outage
}

// NewBreaker returns a closed breaker. isOutage reports whether an attempt failed because the vendor
// is out of reach, saysNothing whether its failure has no meaning for that.
func NewBreaker(isOutage, saysNothing func(error) bool) *Breaker {
	b := &Breaker{isOutage: isOutage}
	b.steps = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      1, // the shortest: Rest decides
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= BreakAfter },
		IsSuccessful: func(err error) bool { return !isOutage(err) },
		IsExcluded:   saysNothing,
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				b.Rest.Extend(min(FirstBreak<<min(b.opened, 10), longestBreak))
				b.opened++
			case gobreaker.StateClosed:
				b.opened = 0
			case gobreaker.StateHalfOpen:
			}
		},
	})
	return b
}

// Enter is called before an attempt. It returns the function that takes the result of the attempt,
// or how long to wait.
func (b *Breaker) Enter() (done func(error), wait time.Duration) {
	if left := b.Rest.Left(); left > 0 {
		return nil, left
	}
	report, err := b.steps.Allow()
	if err != nil {
		return nil, max(ProbeWait, b.Rest.Left())
	}
	if left := b.Rest.Left(); left > 0 { // it has opened since
		report(ErrNotTried)
		return nil, left
	}
	return func(err error) {
		if b.isOutage(err) {
			b.cause.Store(&err)
		}
		report(err)
	}, 0
}

// Capacity returns how many of n attempts may be made now; if none, when to ask again.
func (b *Breaker) Capacity(n int) (int, time.Duration) {
	if left := b.Rest.Left(); left > 0 {
		return 0, left
	}
	if b.steps.State() == gobreaker.StateClosed {
		return n, 0
	}
	if c := b.steps.Counts(); c.Requests > c.TotalExclusions {
		return 0, ProbeWait // the one attempt is in flight
	}
	return min(n, 1), 0
}

// State returns "closed" when attempts are made, "open" when they are not, "half-open" when one
// attempt is made as a trial.
func (b *Breaker) State() string {
	switch {
	case b.Rest.Left() > 0:
		return gobreaker.StateOpen.String()
	case b.steps.State() == gobreaker.StateClosed:
		return gobreaker.StateClosed.String()
	default:
		return gobreaker.StateHalfOpen.String()
	}
}

// Cause returns the last outage, or nil.
func (b *Breaker) Cause() error {
	if cause := b.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// ErrNotTried ends a slot without an attempt.
var ErrNotTried = errors.New("not tried")
