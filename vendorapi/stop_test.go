package vendorapi

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// TestRetrier_stop: the end of waits ends a wait at once, and no attempt.
func TestRetrier_stop(t *testing.T) {
	submit := func(t *testing.T, after time.Duration, kill bool, faults ...simulator.Fault) (*simulator.Simulator, Job, time.Duration, error) {
		t.Helper()
		sim, r := onPipeRetrying(t, simulator.Config{}, Policy{InitialInterval: 10 * time.Second, MaxInterval: 10 * time.Second, Budget: time.Minute})
		sim.Script(faults...)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		waits := ctx
		if !kill {
			waits, cancel = context.WithCancel(t.Context())
			defer cancel()
		}
		stop := time.AfterFunc(after, cancel)
		defer stop.Stop()
		begin := time.Now()
		job, _, err := r.Submit(ctx, waits, testTask(), permitted)
		return sim, job, time.Since(begin), err
	}
	slow := simulator.Fault{Kind: simulator.Slow, For: 3 * time.Second}
	t.Run("in a wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim, _, took, err := submit(t, time.Second, false, notFound, notFound)
			if e := wantVerdict(t, err, NotSent); e.Status != http.StatusNotFound || errors.Is(err, context.Canceled) {
				t.Errorf("the vendor's error is lost: %v", err)
			}
			if n := sim.Account().CreateTaskCalls; took != time.Second || n != 1 {
				t.Errorf("took %s, %d calls", took, n)
			}
		})
	})
	t.Run("in a throttled wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, _, took, err := submit(t, time.Second, false, simulator.Fault{Kind: simulator.TooManyRequests, For: 40 * time.Second})
			if e := wantVerdict(t, err, Throttled); e.RetryAfter != 40*time.Second || took != time.Second {
				t.Errorf("%+v after %s", e, took)
			}
		})
	})
	t.Run("in an attempt that succeeds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim, job, took, err := submit(t, time.Second, false, slow)
			wantJob(t, job, err)
			if n := sim.Account().JobsStarted; took != 3*time.Second || n != 1 {
				t.Errorf("took %s, %d jobs", took, n)
			}
		})
	})
	t.Run("in an attempt that fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim, r := onPipeRetrying(t, simulator.Config{}, Policy{})
			sim.Script(notFound, notFound)
			waits, stop := context.WithCancel(t.Context())
			_, attempts, err := r.Submit(t.Context(), waits, testTask(), func(ctx context.Context) (time.Time, error) {
				stop()
				return permitted(ctx)
			})
			wantVerdict(t, err, NotSent)
			if n := sim.Account().CreateTaskCalls; n != 1 || attempts != 1 {
				t.Errorf("%d calls, %d attempts after the stop", n, attempts)
			}
		})
	})
	t.Run("killed in an attempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim, _, took, err := submit(t, time.Second, true, slow)
			wantVerdict(t, err, Unknown)
			if n := sim.Account().JobsStarted; took != time.Second || n != 1 {
				t.Errorf("took %s, %d jobs", took, n)
			}
		})
	})
	t.Run("killed before it began", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, r := onPipeRetrying(t, simulator.Config{}, Policy{})
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			begin := time.Now()
			// Without a check of ctx this would spin for the whole budget.
			_, attempts, err := r.Submit(ctx, t.Context(), testTask(), permitted)
			wantVerdict(t, err, NotSent)
			if attempts > 1 || time.Since(begin) != 0 {
				t.Errorf("%d attempts in %s", attempts, time.Since(begin))
			}
		})
	})
}
