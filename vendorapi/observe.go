package vendorapi

import (
	"context"
	"time"

	"github.com/sony/gobreaker/v2"

	"backhaul/vendorapi/internal/http1"
)

// Observer is told what a [Client] does, for metrics and traces. Its methods are
// called on the way of every request, from many goroutines: they must be quick and
// never wait. What they are told shows no secret.
type Observer interface {
	// Call is told of an exchange of HTTP before it begins. It returns the context
	// of the exchange, and what is called with its end: the status is 0 when no
	// answer came.
	Call(ctx context.Context, c Call) (context.Context, func(status int, err error))
	// Attempt is told, likewise, of an attempt of CreateTask, which includes the
	// calls for a token and those that look for the job meanwhile. Attempts of one
	// Submit are counted from 1.
	Attempt(ctx context.Context, t Task, number int) (context.Context, func(Job, error))
	// Wait is told of a wait before an attempt, when it begins.
	Wait(ctx context.Context, w Wait)
}

// Call is one HTTP request to the vendor.
type Call struct {
	Op     string // the vendor's operation, such as "CreateTask"
	Method string
	URL    string
}

// Wait is why and for how long an attempt has to wait.
type Wait struct {
	For time.Duration
	// Reason is why there was no room. It is zero for the wait between two
	// attempts, the first of which ended with Err.
	Reason CooldownReason
	Err    error
	Task   Task
}

// do sends one request and reads its answer. The error is an [*Error] whose
// verdict is NotSent if nothing was written, else Unknown.
func (c *Client) do(ctx context.Context, cl call, header ...http1.Field) (response, error) {
	if c.observer == nil {
		return c.exchange(ctx, cl, header...)
	}
	ctx, end := c.observer.Call(ctx, Call{Op: cl.op, Method: cl.method, URL: c.endpoint + cl.path})
	resp, err := c.exchange(ctx, cl, header...)
	end(resp.Status, err)
	return resp, err
}

// Breaker is the state of what stops attempts during an outage: "closed" when
// they are made, "open" when none is, "half-open" when one is, to try.
func (c *Client) Breaker() string {
	switch {
	case c.breaker.rest.left() > 0:
		return gobreaker.StateOpen.String()
	case c.breaker.steps.State() == gobreaker.StateClosed:
		return gobreaker.StateClosed.String()
	default:
		return gobreaker.StateHalfOpen.String()
	}
}

// TokenExpires is when the token ends that was renewed last, by the vendor's word;
// zero when it has not said so.
func (c *Client) TokenExpires() time.Time {
	if seconds := c.tokenExpires.Load(); seconds > 0 {
		return time.Unix(seconds, 0)
	}
	return time.Time{}
}
