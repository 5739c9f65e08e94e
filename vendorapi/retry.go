package vendorapi

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Policy is how CreateTask is repeated when it certainly started nothing.
type Policy struct {
	// InitialInterval is the wait after the first attempt; each further wait is
	// half as long again, up to MaxInterval, all with a jitter of 50 %.
	// Defaults to 500 ms.
	InitialInterval time.Duration
	// MaxInterval defaults to 10 s.
	MaxInterval time.Duration
	// Budget is when to stop, counted from the start. Defaults to DefaultRetryBudget.
	Budget time.Duration
	// AttemptTimeout bounds one HTTP attempt. Defaults to DefaultTimeout.
	AttemptTimeout time.Duration
	// CapacityWait is how long Submit waits for room before it gives the task back, so
	// that the caller need not cooldown on to it. Defaults to the budget.
	CapacityWait time.Duration
	// LookupAfter is how long an answer may take before its job is looked for while
	// it is awaited. 0, or as long as an attempt, is never.
	LookupAfter time.Duration
}

// WithDefaults is the policy with its defaults filled in.
func (p Policy) WithDefaults() Policy {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&p.InitialInterval, 500 * time.Millisecond},
		{&p.MaxInterval, 10 * time.Second},
		{&p.Budget, DefaultRetryBudget},
		{&p.AttemptTimeout, DefaultTimeout},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if p.CapacityWait == 0 {
		p.CapacityWait = p.Budget
	}
	return p
}

// Permit is asked before every attempt. It says until when the attempt may use
// the wire; an error ends the submission instead and is returned as it is.
type Permit func(ctx context.Context) (until time.Time, err error)

// Retrier is what a request needs of a client: a CreateTask that is repeated while it certainly
// started nothing, and the lookup of its job. A CreateTask past the policy is not to be had from it.
type Retrier struct {
	Client *Client
	Policy Policy
}

// Find is [Client.Find].
func (r *Retrier) Find(ctx context.Context, t Task, since time.Time) (Found, error) {
	return r.Client.Find(ctx, t, since)
}

// Room is [Client.Capacity].
func (r *Retrier) Capacity(n int) (capacity int, cooldown Cooldown) { return r.Client.Capacity(n) }

// Submit starts the task's job and counts the attempts that were made. An
// attempt that the vendor throttled does not count. Before each attempt it waits
// until there is room, see [Client.Capacity], and only then asks for the permit.
// All waits are within the budget and end with waits, attempts under way with
// ctx: that is how a stop lets work finish.
//
// A job whose answer is late and that shows up at the vendor is returned as
// found, and the attempt is cancelled.
//
// The error is the Permit's, the last attempt's [*Error], or one that says for
// how long there is no room; only one whose verdict is Unknown may have started
// a job, and it is never repeated. Neither is an attempt answered by 503, which
// the caller has to look at once: unlike 429 it may come from something behind
// which the task was taken.
func (r *Retrier) Submit(ctx, waits context.Context, t Task, permit Permit) (job Job, attempts int, err error) {
	policy := r.Policy.WithDefaults()
	end := time.Now().Add(policy.Budget)
	var last error
	attempt := func() error {
		slot, slotErr := r.Client.takeSlot(ctx, waits, earlier(end, time.Now().Add(policy.CapacityWait)))
		if slotErr != nil {
			last = slotErr
			return backoff.Permanent(slotErr)
		}
		until, permitErr := permit(ctx)
		if permitErr != nil {
			slot.unused()
			last = permitErr
			return backoff.Permanent(permitErr)
		}
		attempts++
		job, last = r.observed(ctx, earlier(until, time.Now().Add(policy.AttemptTimeout)), t, attempts)
		slot.used(last)
		e, failed := errors.AsType[*Error](last)
		if failed && e.Verdict == Throttled {
			attempts--
		}
		switch {
		case last == nil:
			return nil
		case failed && e.repeatable() && ctx.Err() == nil:
			return last
		}
		return backoff.Permanent(last)
	}
	exponential := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(policy.InitialInterval),
		backoff.WithMaxInterval(policy.MaxInterval),
		backoff.WithMaxElapsedTime(policy.Budget))
	// WithContext has to be outermost, or the wait cannot be interrupted. The
	// library returns only the context's error then, hence last.
	waiting := func(err error, wait time.Duration) {
		if r.Client.observer != nil {
			r.Client.observer.Wait(ctx, Wait{For: wait, Err: err, Task: t})
		}
	}
	if err := backoff.RetryNotify(attempt, backoff.WithContext(&atLeast{exponential, policy, &last}, waits), waiting); err != nil {
		return Job{}, attempts, last
	}
	return job, attempts, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// observed is attempt, with whoever is told of it.
func (r *Retrier) observed(ctx context.Context, until time.Time, t Task, number int) (Job, error) {
	if r.Client.observer == nil {
		return r.attempt(ctx, until, t)
	}
	ctx, end := r.Client.observer.Attempt(ctx, t, number)
	job, err := r.attempt(ctx, until, t)
	end(job, err)
	return job, err
}

// attempt is one attempt that ends at a time, and earlier if its job is found.
func (r *Retrier) attempt(ctx context.Context, until time.Time, t Task) (Job, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var late *lookup
	if after := r.Policy.LookupAfter; after > 0 && after < time.Until(until) {
		late = r.lookupAfter(ctx, cancel, after, t)
	}
	job, err := r.Client.createTask(ctx, t)
	// Whatever went wrong with the answer, a job that was found is there.
	if found := late.stop(); err != nil && found.ID != "" {
		return found, nil
	}
	return job, err
}

// atLeast makes the wait after a throttled attempt as long as the vendor asked
// for, and gives up at once when that is longer than the budget, or longer than
// the caller is to wait for room.
type atLeast struct {
	*backoff.ExponentialBackOff
	policy Policy
	last   *error
}

func (b *atLeast) NextBackOff() time.Duration {
	next := b.ExponentialBackOff.NextBackOff()
	e, ok := errors.AsType[*Error](*b.last)
	if !ok || next == backoff.Stop || e.RetryAfter <= next {
		return next
	}
	if b.GetElapsedTime()+e.RetryAfter > b.policy.Budget || e.RetryAfter > b.policy.CapacityWait {
		return backoff.Stop
	}
	return e.RetryAfter
}
