package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// notFound is a fault that is repeated: something in front of the API answers.
var notFound = simulator.Fault{Kind: simulator.Status, Status: http.StatusNotFound}

func everyCall(f simulator.Fault) []simulator.Chance {
	return []simulator.Chance{{Fault: f, Endpoint: "CreateTask", Probability: 1}}
}

// onPipeRetrying is a retrier of a simulator over pipes.
func onPipeRetrying(t *testing.T, cfg simulator.Config, policy Policy) (*simulator.Simulator, *Retrier) {
	t.Helper()
	sim, c := onPipe(t, cfg)
	if _, err := c.session.token(t.Context()); err != nil {
		t.Fatal(err)
	}
	return sim, &Retrier{Client: c, Policy: policy}
}

// TestRetrier_repeats: only what certainly started nothing and decided nothing.
func TestRetrier_repeats(t *testing.T) {
	ended := simulator.Fault{Kind: simulator.Unauthorised}
	forbidden := simulator.Fault{Kind: simulator.Status, Status: 401, Body: denied}
	for _, tt := range []struct {
		name     string
		faults   []simulator.Fault
		want     Verdict
		calls    int
		attempts int
		jobs     int
	}{
		{"nothing wrong", nil, started, 1, 1, 1},
		{"not sent", []simulator.Fault{notFound, notFound, notFound}, started, 4, 4, 1},
		{"throttled does not count", []simulator.Fault{{Kind: simulator.TooManyRequests}, {Kind: simulator.TooManyRequests}}, started, 3, 1, 1},
		{"both", []simulator.Fault{notFound, {Kind: simulator.TooManyRequests}, notFound}, started, 4, 3, 1},
		{"expired token", []simulator.Fault{ended}, started, 2, 1, 1},
		{"no permission", []simulator.Fault{forbidden, forbidden}, AuthRefused, 2, 1, 0},
		{"503 with a time", []simulator.Fault{{Kind: simulator.Unavailable}}, Throttled, 1, 0, 0},
		{"503 with a time after a start", []simulator.Fault{{Kind: simulator.Unavailable, AfterStart: true}}, Throttled, 1, 0, 1},
		{"503", []simulator.Fault{{Kind: simulator.HTML}}, Unknown, 1, 1, 0},
		{"refused", []simulator.Fault{{Kind: simulator.Refused500}}, Refused, 1, 1, 0},
		{"lost answer", []simulator.Fault{{Kind: simulator.CutAfterStart}}, Unknown, 1, 1, 1},
		{"lost request", []simulator.Fault{{Kind: simulator.CutBeforeStart}}, Unknown, 1, 1, 0},
		{"half an answer", []simulator.Fault{{Kind: simulator.HalfBody}}, Unknown, 1, 1, 1},
		{"no answer", []simulator.Fault{{Kind: simulator.HangAfterStart}}, Unknown, 1, 1, 1},
		{"crash", []simulator.Fault{{Kind: simulator.Crash, AfterStart: true}}, Unknown, 1, 1, 1},
		{"task without a job", []simulator.Fault{{Kind: simulator.TaskOnly}}, Unknown, 1, 1, 0},
		{"not sent, then lost", []simulator.Fault{notFound, {Kind: simulator.CutAfterStart}}, Unknown, 2, 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim, r := onPipeRetrying(t, simulator.Config{}, Policy{})
				sim.Script(tt.faults...)
				job, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
				if tt.want == started {
					wantJob(t, job, err)
				} else {
					wantVerdict(t, err, tt.want)
					if job.ID != "" || len(job.IDs) > 0 {
						t.Errorf("job %+v beside %v", job, err)
					}
				}
				a := sim.Account()
				if a.CreateTaskCalls != tt.calls || attempts != tt.attempts || a.JobsStarted != tt.jobs || a.RetryAfterViolations != 0 {
					t.Errorf("%d calls, %d attempts, %d jobs, %d too early, want %d, %d, %d and none",
						a.CreateTaskCalls, attempts, a.JobsStarted, a.RetryAfterViolations, tt.calls, tt.attempts, tt.jobs)
				}
			})
		})
	}
}

// schedule submits a task that is never taken and returns the waits between attempts.
func schedule(t *testing.T, r *Retrier, task Task) (waits []time.Duration) {
	t.Helper()
	var last time.Time
	_, attempts, err := r.Submit(t.Context(), t.Context(), task, func(context.Context) (time.Time, error) {
		if !last.IsZero() {
			waits = append(waits, time.Since(last))
		}
		last = time.Now()
		return time.Now().Add(time.Hour), nil
	})
	if e := wantVerdict(t, err, NotSent); e.Status != http.StatusNotFound {
		t.Errorf("the last attempt's error is lost: %v", err)
	}
	if attempts != len(waits)+1 {
		t.Errorf("%d attempts, %d waits", attempts, len(waits))
	}
	return waits
}

// wantSchedule checks that the waits grow from the initial interval by halves,
// up to the longest, with a jitter of 50 %.
func wantSchedule(t *testing.T, waits []time.Duration, p Policy) {
	t.Helper()
	p = p.WithDefaults()
	interval := p.InitialInterval
	for i, wait := range waits {
		// A nanosecond more, because the library counts the upper bound in.
		if wait < interval/2 || wait > interval+interval/2+1 {
			t.Errorf("wait %d is %s, want %s ± 50 %%", i+1, wait, interval)
		}
		interval = min(interval+interval/2, p.MaxInterval)
	}
}

func TestRetrier_schedule(t *testing.T) {
	for _, policy := range []Policy{
		{},
		{InitialInterval: 100 * time.Millisecond, MaxInterval: time.Second, Budget: 20 * time.Second},
		{Budget: 15 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			sim, r := onPipeRetrying(t, simulator.Config{}, policy)
			sim.SetFaults(everyCall(notFound))
			full := policy.WithDefaults()
			firsts := make(map[time.Duration]bool)
			for range 15 {
				begin := time.Now()
				waits := schedule(t, r, testTask())
				wantSchedule(t, waits, policy)
				firsts[waits[0]] = true
				// It ends when the next wait would go beyond the budget, so never later.
				took, longest := time.Since(begin), full.MaxInterval+full.MaxInterval/2
				if took > full.Budget || took < full.Budget-longest-1 {
					t.Errorf("took %s of %s", took, full.Budget)
				}
				<-time.After(time.Minute) // the session is kept
			}
			if len(firsts) < 8 {
				t.Errorf("only %d different first waits: the jitter is missing", len(firsts))
			}
		})
	}
}

// TestRetrier_schedulesAreApart: the library's policy is not safe for concurrent use, so
// every call has its own.
func TestRetrier_schedulesAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, r := onPipeRetrying(t, simulator.Config{}, Policy{})
		sim.SetFaults(everyCall(notFound))
		var callers sync.WaitGroup
		for i := range 32 {
			callers.Go(func() {
				<-time.After(time.Duration(i) * 700 * time.Millisecond)
				wantSchedule(t, schedule(t, r, loadTask(i)), Policy{})
			})
		}
		callers.Wait()
	})
}

// TestRetrier_sharesRetryAfter: one answer makes all workers wait, and each job is
// started once.
func TestRetrier_sharesRetryAfter(t *testing.T) {
	const workers, each = 16, 5
	synctest.Test(t, func(t *testing.T) {
		sim, r := onPipeRetrying(t, simulator.Config{
			Conflict:  simulator.ConflictIgnore,
			RateLimit: simulator.RateLimit{Writes: 7, Period: 10 * time.Second},
		}, Policy{Budget: time.Hour})
		var all sync.WaitGroup
		for worker := range workers {
			all.Go(func() {
				for i := range each {
					job, attempts, err := r.Submit(t.Context(), t.Context(), loadTask(worker*100+i), permitted)
					wantJob(t, job, err)
					if attempts != 1 {
						t.Errorf("%d attempts counted", attempts)
					}
				}
			})
		}
		all.Wait()
		a := sim.Account()
		if a.RetryAfterViolations != 0 || a.RateLimited == 0 {
			t.Errorf("%d calls came too early, %d were throttled", a.RetryAfterViolations, a.RateLimited)
		}
		if a.JobsStarted != workers*each || len(a.JobsByMarker) != workers*each {
			t.Errorf("%d jobs for %d markers, want %d", a.JobsStarted, len(a.JobsByMarker), workers*each)
		}
		t.Logf("%d calls for %d jobs, %d throttled", a.CreateTaskCalls, a.JobsStarted, a.RateLimited)
	})
}

// TestRetrier_keepsRetryAfterOnSockets is the same with real clocks, for calls that
// come after the announcement: one that is under way cannot be called back.
func TestRetrier_keepsRetryAfterOnSockets(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: time.Second})
	_, err := c.CreateTask(t.Context(), testTask())
	wantVerdict(t, err, Throttled)
	r := &Retrier{Client: c}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			job, attempts, err := r.Submit(t.Context(), t.Context(), loadTask(i), permitted)
			wantJob(t, job, err)
			if attempts != 1 {
				t.Errorf("%d attempts", attempts)
			}
		})
	}
	all.Wait()
	if a := sim.Account(); a.RetryAfterViolations != 0 || a.CreateTaskCalls != 17 || a.JobsStarted != 16 {
		t.Errorf("%+v", a)
	}
}

// TestRetrier_retryAfterIsOneWait: no attempt is made before the pause is over.
func TestRetrier_retryAfterIsOneWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, r := onPipeRetrying(t, simulator.Config{}, Policy{})
		sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: 20 * time.Second})
		begin, asked := time.Now(), 0
		job, _, err := r.Submit(t.Context(), t.Context(), testTask(), func(ctx context.Context) (time.Time, error) {
			asked++
			return permitted(ctx)
		})
		wantJob(t, job, err)
		if took := time.Since(begin); asked != 2 || took != 20*time.Second {
			t.Errorf("%d attempts in %s", asked, took)
		}
	})
	// Nor whether the pause of logins is over.
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{})
		sim.ScriptFor("Login", simulator.Fault{Kind: simulator.Unavailable, For: 20 * time.Second})
		job, attempts, err := (&Retrier{Client: c}).Submit(t.Context(), t.Context(), testTask(), permitted)
		wantJob(t, job, err)
		if attempts != 2 {
			t.Errorf("%d attempts", attempts)
		}
	})
}

// TestRetrier_retryAfterLongerThanTheBudget gives the request back at once, with the time.
func TestRetrier_retryAfterLongerThanTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, r := onPipeRetrying(t, simulator.Config{}, Policy{})
		sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: time.Minute})
		begin := time.Now()
		_, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
		if e := wantVerdict(t, err, Throttled); e.RetryAfter != time.Minute || attempts != 0 || time.Since(begin) != 0 {
			t.Errorf("%v after %s and %d attempts", err, time.Since(begin), attempts)
		}
		<-time.After(20 * time.Second)
		_, _, err = r.Submit(t.Context(), t.Context(), testTask(), permitted)
		if e := wantVerdict(t, err, Throttled); e.RetryAfter != 40*time.Second || e.Status != 0 {
			t.Errorf("%+v, want the rest of the pause", e)
		}
		if n := sim.Account().CreateTaskCalls; n != 1 {
			t.Errorf("%d calls", n)
		}
	})
	for _, tt := range []struct {
		policy Policy
		faults int
		took   time.Duration
	}{
		{Policy{}, 2, 20 * time.Second}, // the second time is longer than what is left
		{Policy{Budget: time.Hour, CapacityWait: 19 * time.Second}, 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			sim, r := onPipeRetrying(t, simulator.Config{}, tt.policy)
			for range tt.faults {
				sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: 20 * time.Second})
			}
			begin := time.Now()
			for range 2 { // the second one waits for its turn
				_, _, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
				wantVerdict(t, err, Throttled)
				if took := time.Since(begin); took != tt.took {
					t.Errorf("took %s, want %s", took, tt.took)
				}
				r.Policy.CapacityWait = 19 * time.Second
			}
		})
	}
}

func TestRetrier_asksForAPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, r := onPipeRetrying(t, simulator.Config{}, Policy{})
		sim.SetFaults(everyCall(notFound))
		stop := fmt.Errorf("the lease is lost: %w", &Error{Verdict: NotSent, Op: "not ours"})
		for allowed := range 4 {
			before, asked := sim.Account().CreateTaskCalls, 0
			job, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), func(context.Context) (time.Time, error) {
				if asked++; asked > allowed {
					return time.Time{}, stop
				}
				return time.Now().Add(time.Hour), nil
			})
			if !errors.Is(err, stop) || err != stop { //nolint:errorlint // not wrapped
				t.Errorf("%v is not the permit's error as it is", err)
			}
			if calls := sim.Account().CreateTaskCalls - before; calls != allowed || attempts != allowed || job.ID != "" {
				t.Errorf("%d calls, %d attempts, want %d", calls, attempts, allowed)
			}
		}
	})
}

// TestRetrier_boundsAnAttempt by the permit, and by the policy if that is earlier.
func TestRetrier_boundsAnAttempt(t *testing.T) {
	for _, tt := range []struct{ permit, timeout, want time.Duration }{
		{2 * time.Second, 5 * time.Second, 2 * time.Second},
		{5 * time.Second, 2 * time.Second, 2 * time.Second},
		{time.Hour, 0, 30 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			sim, r := onPipeRetrying(t, simulator.Config{}, Policy{AttemptTimeout: tt.timeout})
			sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
			begin := time.Now()
			_, _, err := r.Submit(t.Context(), t.Context(), testTask(), func(context.Context) (time.Time, error) {
				return time.Now().Add(tt.permit), nil
			})
			wantVerdict(t, err, Unknown)
			if took := time.Since(begin); took != tt.want {
				t.Errorf("took %s, want %s", took, tt.want)
			}
		})
	}
}

func TestPolicy_defaults(t *testing.T) {
	want := Policy{500 * time.Millisecond, 10 * time.Second, 30 * time.Second, 30 * time.Second, 30 * time.Second, 0}
	if got := (Policy{}).WithDefaults(); got != want {
		t.Errorf("%+v", got)
	}
	given := Policy{1, 2, 3, 4, 5, 6}
	if got := given.WithDefaults(); got != given {
		t.Errorf("%+v", got)
	}
	if waits := []Verdict{Unknown, Refused, AuthRefused}; slices.ContainsFunc(waits, func(v Verdict) bool { return (&Error{Verdict: v}).repeatable() }) {
		t.Error("what may have started a job is repeated")
	}
}
