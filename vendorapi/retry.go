package vendorapi

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Policy controls how CreateTask is repeated while it certainly started nothing.
type Policy struct {
	// InitialInterval is the wait after the first attempt. Each further wait is 1.5 times as long,
	// up to MaxInterval, with a jitter of 50 %. Defaults to 500 ms.
	InitialInterval time.Duration
	// MaxInterval defaults to 10 s.
	MaxInterval time.Duration
	// Budget bounds the time for all attempts, from the start. Defaults to DefaultRetryBudget.
	Budget time.Duration
	// AttemptTimeout bounds one HTTP attempt. Defaults to DefaultTimeout.
	AttemptTimeout time.Duration
	// CapacityWait is how long Submit waits for capacity before it returns, so that the caller can
	// release the task. Defaults to the budget.
	CapacityWait time.Duration
	// LookupAfter is how long an answer may take before a lookup of its job starts. 0, or a value
	// of at least the duration of an attempt, disables the lookup.
	LookupAfter time.Duration
}

// WithDefaults returns the policy with its defaults filled in.
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

// Permit is called before every attempt. It returns until when the attempt may use the network. Its
// error ends the submission and is returned unchanged.
type Permit func(ctx context.Context) (until time.Time, err error)

// Retrier submits tasks by a policy and looks up their jobs. It does not offer a CreateTask without
// the policy.
type Retrier struct {
	Client *Client
	Policy Policy
}

// Find calls [Client.Find].
func (r *Retrier) Find(ctx context.Context, t Task, since time.Time) (Found, error) {
	return r.Client.Find(ctx, t, since)
}

// Capacity calls [Client.Capacity].
func (r *Retrier) Capacity(n int) (capacity int, cooldown Cooldown) { return r.Client.Capacity(n) }

// Submit starts the task's job and returns the number of attempts. An attempt that the vendor
// throttled does not count. Before each attempt Submit waits for capacity, see [Client.Capacity],
// and only then calls permit. All waits are bounded by the budget and end with waits; attempts in
// flight end with ctx. So a stop can let work finish.
//
// If the answer is late and a lookup finds the job, Submit cancels the attempt and returns the job.
//
// The error is that of permit, the [*Error] of the last attempt, or one with the time until there
// is capacity. Only an error with verdict Unknown may have started a job; Submit never repeats it.
// Nor does it repeat an attempt answered by 503, which needs a lookup first: unlike 429, it may
// come from a server behind which the task was accepted.
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
		if failed && (e.Verdict == Throttled || e.notAsked) {
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
	// WithContext must be outermost, or the wait cannot be interrupted. The library then returns
	// only the context's error, so last has the cause.
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

// observed calls attempt and notifies the observer.
func (r *Retrier) observed(ctx context.Context, until time.Time, t Task, number int) (Job, error) {
	if r.Client.observer == nil {
		return r.attempt(ctx, until, t)
	}
	ctx, end := r.Client.observer.Attempt(ctx, t, number)
	job, err := r.attempt(ctx, until, t)
	end(job, err)
	return job, err
}

// attempt makes one attempt. It ends at until, or when a lookup finds the job.
func (r *Retrier) attempt(ctx context.Context, until time.Time, t Task) (Job, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var late *lookup
	if after := r.Policy.LookupAfter; after > 0 && after < time.Until(until) {
		late = r.lookupAfter(ctx, cancel, after, t)
	}
	job, err := r.Client.createTask(ctx, t)
	// A job that was found exists, whatever the answer was.
	if found := late.stop(); err != nil && found.ID != "" {
		return found, nil
	}
	return job, err
}

// atLeast makes the wait after a throttled attempt as long as the vendor asked for. It gives up at
// once if that is longer than the budget or than CapacityWait.
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
