package vendorapi

import (
	"context"
	"net/http"
	"time"

	"backhaul/vendorapi/internal/http1"
)

// Observer receives the activity of a [Client], for metrics and traces. Many goroutines call its
// methods while a request waits: they must be quick and never block. Their arguments contain no
// secret.
type Observer interface {
	// Call is called before an HTTP exchange. It returns the context of the exchange, and a
	// function that is called at its end; the status is 0 without an answer.
	Call(ctx context.Context, c Call) (context.Context, func(status int, err error))
	// Attempt is called before an attempt of CreateTask, likewise. The attempt includes the calls
	// for a token and the lookups during it. Attempts of one Submit are counted from 1.
	Attempt(ctx context.Context, t Task, number int) (context.Context, func(Job, error))
	// Wait is called when a wait before an attempt begins.
	Wait(ctx context.Context, w Wait)
}

// Call is one HTTP request to the vendor.
type Call struct {
	Op     string // the vendor's operation, such as "CreateTask"
	Method string
	URL    string
}

// Write reports whether the call counts against the vendor's limit on writing calls: every method
// but GET does, so a login, a renewal and a logout do too (assumed). Basis:
// https://docs.metallic.io/metallic/rest_api.html.
func (c Call) Write() bool { return c.Method != http.MethodGet }

// Wait is a wait before an attempt.
type Wait struct {
	For time.Duration
	// Reason is why there is no capacity. It is zero for the wait after an attempt that ended with
	// Err.
	Reason CooldownReason
	Err    error
	Task   Task
}

// do sends one request and reads its answer. A writing call is taken from the budget first, at the
// last moment, unless the caller holds a grant: a process that dies between the two loses it. The
// error is an [*Error] whose verdict is NotSent if nothing was written, else Unknown.
func (c *Client) do(ctx context.Context, cl call, header ...http1.Field) (response, error) {
	if c.budget == nil || !cl.writes() {
		return c.observed(ctx, cl, header...)
	}
	grant, held := takeHeld(ctx, c.timeout)
	if !held {
		var err error
		if grant, err = c.budget.Take(ctx); err != nil {
			return response{}, notGranted(cl.op, err)
		}
	}
	ctx, cancel := context.WithDeadline(ctx, grant.Until)
	defer cancel()
	resp, err := c.observed(ctx, cl, header...)
	grant.End(err == nil || VerdictOf(err) != NotSent)
	return resp, err
}

// observed is exchange for the observer.
func (c *Client) observed(ctx context.Context, cl call, header ...http1.Field) (response, error) {
	if c.observer == nil {
		return c.exchange(ctx, cl, header...)
	}
	ctx, end := c.observer.Call(ctx, Call{Op: cl.op, Method: cl.method, URL: c.endpoint + cl.path})
	resp, err := c.exchange(ctx, cl, header...)
	end(resp.Status, err)
	return resp, err
}

// Breaker returns the state of the circuit breaker for outages: "closed" when attempts are made,
// "open" when they are not, "half-open" when one attempt is made as a trial.
func (c *Client) Breaker() string {
	return c.breaker.State()
}

// TokenExpires returns when the token that was renewed last expires, as the vendor announced it;
// zero if it did not.
func (c *Client) TokenExpires() time.Time {
	if seconds := c.tokenExpires.Load(); seconds > 0 {
		return time.Unix(seconds, 0)
	}
	return time.Time{}
}
