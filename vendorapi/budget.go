package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Budget is an allowance of writing calls (see [Call.Write]) that several processes share. Its
// methods are called by many goroutines.
type Budget interface {
	// Take takes one call. It does not wait for a call to become free; the error is a
	// [*BudgetError] then. Without an error, the caller must call Grant.End.
	Take(ctx context.Context) (Grant, error)
	// Left returns how many calls may be taken now, at most n. If none, wait is when to ask again.
	// It returns at once.
	Left(n int) (left int, wait time.Duration)
	// Correct notes what the vendor says about the allowance. It returns at once.
	Correct(a Allowance)
}

// Grant is the permission for one writing call.
type Grant struct {
	// Until is when the call must have ended.
	Until time.Time
	// End ends the call. sent is false if certainly nothing was written on the network: then the
	// call is not counted.
	End func(sent bool)
}

// grantKey is the key of a grant in a context.
type grantKey struct{}

// WithGrant returns a context whose first writing call uses a grant that was taken before, if
// enough of its time is left. That may be a login, so that a login is not refused while the caller
// holds the last call. All other calls take their own. The caller must call Grant.End, which has no
// effect after the call.
func WithGrant(ctx context.Context, g Grant) context.Context {
	held := new(atomic.Pointer[Grant])
	held.Store(&g)
	return context.WithValue(ctx, grantKey{}, held)
}

// takeHeld takes the grant of the context, if it lasts for the longest time of a call.
func takeHeld(ctx context.Context, longest time.Duration) (Grant, bool) {
	held, _ := ctx.Value(grantKey{}).(*atomic.Pointer[Grant])
	if held == nil {
		return Grant{}, false
	}
	g := held.Swap(nil)
	if g == nil {
		return Grant{}, false
	}
	if time.Until(g.Until) < longest {
		g.End(false)
		return Grant{}, false
	}
	return *g, true
}

// holdsGrant reports whether the context has a grant that was not used.
func holdsGrant(ctx context.Context) bool {
	held, _ := ctx.Value(grantKey{}).(*atomic.Pointer[Grant])
	return held != nil && held.Load() != nil
}

// Allowance is what an answer to a writing call says about the vendor's limit.
type Allowance struct {
	// Refused reports that the vendor refused the call because of its limit. Wait is how long it
	// asks to wait.
	Refused bool
	Wait    time.Duration
	// PerHour is how many calls the vendor allows in an hour, 0 if it did not say.
	PerHour int
	// Left is how many of them are left. It has a meaning only with PerHour; -1 if the vendor did
	// not say.
	Left int
}

// BudgetError is returned when no call can be taken from a [Budget].
type BudgetError struct {
	// RetryAfter is when a call may be free.
	RetryAfter time.Duration
	// Err is why the budget cannot be used, nil if it is used up.
	Err error
}

func (e *BudgetError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("the budget of writing calls cannot be used: %v", e.Err)
	}
	return "the budget of writing calls is used up"
}

func (e *BudgetError) Unwrap() error { return e.Err }

// notGranted returns the error of a call that was not made for lack of a grant.
func notGranted(op string, err error) *Error {
	e := &Error{Verdict: NotSent, Op: op, Err: err, notAsked: true}
	if spent, ok := errors.AsType[*BudgetError](err); ok {
		e.RetryAfter = spent.RetryAfter
	}
	return e
}

// shortestPeriod is the shortest X-RateLimit-Period that can belong to an allowance of an hour. A
// limit of calls in a second is met by waiting.
const shortestPeriod = time.Minute

// allowanceOf reads the headers of an answer to a writing call. Documented:
// https://docs.metallic.io/metallic/rest_api.html names X-RateLimit-Limit and X-RateLimit-Period.
// Assumed: they are in calls and in seconds, and X-RateLimit-Remaining has its usual meaning.
func allowanceOf(status int, h http.Header) Allowance {
	a := Allowance{Left: -1}
	if loadOf(status, h) == rateLimited {
		a.Refused, a.Wait = true, retryAfter(h)
	}
	limit, limitErr := strconv.ParseUint(strings.TrimSpace(h.Get("X-RateLimit-Limit")), 10, 31)
	period, periodErr := strconv.ParseUint(strings.TrimSpace(h.Get("X-RateLimit-Period")), 10, 31)
	if limitErr != nil || periodErr != nil || limit == 0 || time.Duration(period)*time.Second < shortestPeriod {
		return a
	}
	a.PerHour = int(max(1, limit*3600/period))
	if left, err := strconv.ParseUint(strings.TrimSpace(h.Get("X-RateLimit-Remaining")), 10, 31); err == nil {
		a.Left = int(left)
	}
	return a
}
