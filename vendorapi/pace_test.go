package vendorapi

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/internal/gate"
	"backhaul/vendorapi/simulator"
)

func withPace(p Pace) func(*Config) { return func(cfg *Config) { cfg.Pace = p } }

// wantCapacity checks what Capacity(64) returns.
func wantCapacity(t *testing.T, c *Client, capacity int, cooldown Cooldown) {
	t.Helper()
	got, why := c.Capacity(64)
	if why.For -= cooldown.For; why.For < 0 || why.For > time.Millisecond {
		t.Errorf("the cooldown is longer by %s than %s", why.For, cooldown.For)
	}
	if got != capacity || why.Reason != cooldown.Reason {
		t.Errorf("capacity for %d, reason %s, want %d, %s", got, why.Reason, capacity, cooldown.Reason)
	}
}

// TestTakeSlot_neverMoreThanTheLimit: not in any hour or second, for any order of callers.
func TestTakeSlot_neverMoreThanTheLimit(t *testing.T) {
	for _, tt := range []struct {
		pace    Pace
		n       int
		in      time.Duration
		jobs    int
		atLeast int // in the first hour or second
	}{
		{Pace{PerHour: 100}, 100, time.Hour, 250, 99},
		{Pace{PerHour: 1}, 1, time.Hour, 3, 1},
		{Pace{PerHour: 15}, 15, time.Hour, 40, 15},
		{Pace{PerSecond: 20}, 20, time.Second, 100, 19},
		{Pace{PerHour: 30, PerSecond: 1}, 30, time.Hour, 70, 29},
	} {
		synctest.Test(t, func(t *testing.T) {
			sim, c := onPipe(t, simulator.Config{Conflict: simulator.ConflictIgnore}, withPace(tt.pace))
			r := &Retrier{Client: c, Policy: Policy{Budget: 24 * time.Hour}}
			var mu sync.Mutex
			var starts []time.Time
			var all sync.WaitGroup
			begin := time.Now()
			for i := range tt.jobs {
				all.Go(func() {
					job, attempts, err := r.Submit(t.Context(), t.Context(), loadTask(i), func(ctx context.Context) (time.Time, error) {
						mu.Lock()
						defer mu.Unlock()
						starts = append(starts, time.Now())
						return permitted(ctx)
					})
					wantJob(t, job, err)
					if attempts != 1 {
						t.Errorf("%d attempts: a wait is none", attempts)
					}
				})
			}
			all.Wait()
			slices.SortFunc(starts, time.Time.Compare)
			for i := range starts {
				if i >= tt.n && starts[i].Sub(starts[i-tt.n]) < tt.in {
					t.Errorf("%+v: start %d came %s after start %d", tt.pace, i, starts[i].Sub(starts[i-tt.n]), i-tt.n)
				}
			}
			first := 0
			for ; first < len(starts) && starts[first].Sub(begin) < tt.in; first++ {
			}
			if first < tt.atLeast || len(starts) != tt.jobs {
				t.Errorf("%+v: %d starts at first and %d in all, want %d and %d", tt.pace, first, len(starts), tt.atLeast, tt.jobs)
			}
			if n := sim.Account().JobsStarted; n != tt.jobs {
				t.Errorf("%d jobs", n)
			}
		})
	}
}

// TestTakeSlot_aLimitBeyondTheBudget gives the request back at once, with the time, before
// the permit is asked for.
func TestTakeSlot_aLimitBeyondTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{}, withPace(Pace{PerHour: 20}))
		r := &Retrier{Client: c}
		wantCapacity(t, c, 2, Cooldown{Reason: CooldownRate})
		for i := range 2 {
			job, err := c.CreateTask(t.Context(), loadTask(i))
			wantJob(t, job, err)
		}
		interval := time.Hour / 19
		for range 3 {
			wantCapacity(t, c, 0, Cooldown{For: interval, Reason: CooldownRate})
			_, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), func(context.Context) (time.Time, error) {
				t.Error("asked for the permit")
				return time.Time{}, nil
			})
			if e := wantVerdict(t, err, NotSent); attempts != 0 || e.RetryAfter.Round(time.Second) != interval.Round(time.Second) {
				t.Errorf("%d attempts, %+v, want a wait of %s", attempts, e, interval)
			}
			_, err = c.CreateTask(t.Context(), testTask())
			wantVerdict(t, err, NotSent)
		}
		_, cooldown := c.Capacity(1)
		<-time.After(cooldown.For) // there is capacity after this wait
		wantCapacity(t, c, 1, Cooldown{Reason: CooldownRate})
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
		if n := sim.Account().CreateTaskCalls; n != 3 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestSlot_unusedIsReturned: requests that may not be sent any more, by the hundred,
// leave the limit to the others.
func TestSlot_unusedIsReturned(t *testing.T) {
	denied := errors.New("denied")
	for _, wait := range []time.Duration{0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			sim, r := onPipeRetrying(t, simulator.Config{}, Policy{Budget: time.Hour})
			r.Client.limits = gate.NewLimits(1, 0)
			deny := func() {
				_, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), func(context.Context) (time.Time, error) {
					<-time.After(wait)
					return time.Time{}, denied
				})
				if err != denied || attempts != 0 { //nolint:errorlint // not wrapped
					t.Errorf("%v after %d attempts", err, attempts)
				}
			}
			for range 100 {
				deny()
				wantCapacity(t, r.Client, 1, Cooldown{Reason: CooldownRate})
			}
			job, err := r.Client.CreateTask(t.Context(), testTask())
			wantJob(t, job, err)
			// And after a wait for the place.
			deny()
			wantCapacity(t, r.Client, 1, Cooldown{Reason: CooldownRate})
			if n := sim.Account().CreateTaskCalls; n != 1 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

// TestTakeSlot_endsWithWaits: for each kind of wait, and without a loss for other callers.
func TestTakeSlot_endsWithWaits(t *testing.T) {
	for _, tt := range []struct {
		reason CooldownReason
		want   Verdict
		set    func(*Client)
	}{
		{CooldownThrottled, Throttled, func(c *Client) { c.throttled.Extend(time.Minute) }},
		{CooldownOutage, NotSent, func(c *Client) { c.breaker.Rest.Extend(time.Minute) }},
		{CooldownRate, NotSent, func(c *Client) {
			c.limits = gate.NewLimits(60, 0)
			for range 6 {
				c.limits.Reserve(0)
			}
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			sim, r := onPipeRetrying(t, simulator.Config{}, Policy{Budget: time.Hour})
			tt.set(r.Client)
			_, before := r.Capacity(1)
			if before.Reason != tt.reason {
				t.Fatalf("the cooldown is %v", before)
			}
			waits, stop := context.WithCancel(t.Context())
			begin := time.Now()
			time.AfterFunc(10*time.Second, stop)
			_, attempts, err := r.Submit(t.Context(), waits, testTask(), func(context.Context) (time.Time, error) {
				t.Error("asked for the permit")
				return time.Time{}, nil
			})
			if e := wantVerdict(t, err, tt.want); e.RetryAfter < 50*time.Second || attempts != 0 || time.Since(begin) != 10*time.Second {
				t.Errorf("%+v after %s", e, time.Since(begin))
			}
			_, after := r.Capacity(1)
			if left := before.For - 10*time.Second; after.For < left-time.Millisecond || after.For > left+time.Millisecond {
				t.Errorf("the cooldown is %s, want %s", after.For, left)
			}
			if n := sim.Account().CreateTaskCalls; n != 0 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

// TestClient_pausesWithoutAnotherAnswer: a vendor that answers each attempt by a pause gets one
// attempt after each, and those become rare. One other answer ends that.
func TestClient_pausesWithoutAnotherAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{}, byToken)
		sim.SetFaults(everyCall(simulator.Fault{Kind: simulator.TooManyRequests}))
		for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); {
			_, err := c.CreateTask(t.Context(), testTask())
			wantVerdict(t, err, Throttled)
			<-time.After(c.throttled.Left())
		}
		if n := sim.Account().CreateTaskCalls; n > 30 {
			t.Errorf("%d attempts in ten minutes", n)
		}
		wantCapacity(t, c, 1, Cooldown{})
		sim.SetFaults(nil)
		if _, err := c.CreateTask(t.Context(), testTask()); err != nil {
			t.Fatal(err)
		}
		wantCapacity(t, c, 64, Cooldown{})
	})
}

// TestTakeSlot_waitsOnce: a waiting call continues in time, and the wait is not an attempt.
func TestTakeSlot_waitsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := onPipeRetrying(t, simulator.Config{Conflict: simulator.ConflictIgnore}, Policy{Budget: time.Minute})
		r.Client.limits = gate.NewLimits(360, 0) // one in 11 s, 36 at once
		for range 36 {
			r.Client.limits.Reserve(0)
		}
		r.Client.throttled.Extend(15 * time.Second) // longer than the wait for the place
		begin, asked := time.Now(), 0
		job, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), func(ctx context.Context) (time.Time, error) {
			asked++
			return permitted(ctx)
		})
		wantJob(t, job, err)
		if took := time.Since(begin); asked != 1 || attempts != 1 || took < 15*time.Second {
			t.Errorf("%d permits, %d attempts in %s", asked, attempts, took)
		}
	})
}

// TestTakeSlot_retryAfterStopsAllCalls: of 64 that are at work, none sends before the
// period is over.
func TestTakeSlot_retryAfterStopsAllCalls(t *testing.T) {
	const workers = 64
	run := func(t *testing.T, sim *simulator.Simulator, r *Retrier, fault simulator.Fault, period time.Duration) {
		t.Helper()
		sim.Script(fault)
		_, err := r.Client.CreateTask(t.Context(), testTask())
		wantVerdict(t, err, Throttled)
		told := time.Now()
		capacity, cooldown := r.Capacity(workers)
		if capacity != 0 || cooldown.Reason != CooldownThrottled || cooldown.For <= 0 || cooldown.For > period {
			t.Errorf("capacity %d, cooldown %v", capacity, cooldown)
		}
		var all sync.WaitGroup
		for i := range workers {
			all.Go(func() {
				job, attempts, err := r.Submit(t.Context(), t.Context(), loadTask(i), func(ctx context.Context) (time.Time, error) {
					if early := time.Until(told.Add(period)); early > 50*time.Millisecond {
						t.Errorf("the permit was asked for %s too early", early)
					}
					return permitted(ctx)
				})
				wantJob(t, job, err)
				if attempts != 1 {
					t.Errorf("%d attempts", attempts)
				}
			})
		}
		all.Wait()
		if a := sim.Account(); a.RetryAfterViolations != 0 || a.CreateTaskCalls != workers+1 || a.JobsStarted != workers {
			t.Errorf("%d calls came too early, %d in all, %d jobs", a.RetryAfterViolations, a.CreateTaskCalls, a.JobsStarted)
		}
	}
	calm := simulator.Config{Conflict: simulator.ConflictIgnore}
	for _, fault := range []simulator.Fault{
		{Kind: simulator.TooManyRequests, For: 20 * time.Second},
		{Kind: simulator.Unavailable, For: 20 * time.Second},
		{Kind: simulator.Status, Status: 429, Header: map[string]string{"Retry-After": "20"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			sim, r := onPipeRetrying(t, calm, Policy{})
			run(t, sim, r, fault, 20*time.Second)
		})
	}
	t.Run("as a date", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim, r := onPipeRetrying(t, calm, Policy{})
			at := time.Now().Add(20 * time.Second).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
			run(t, sim, r, simulator.Fault{Kind: simulator.Status, Status: 503, Header: map[string]string{"Retry-After": at}}, 20*time.Second)
		})
	})
	t.Run("sockets", func(t *testing.T) {
		sim, c := onLoopback(t, calm)
		run(t, sim, &Retrier{Client: c}, simulator.Fault{Kind: simulator.TooManyRequests, For: time.Second}, time.Second)
	})
}

// TestThrottledLogin_isACooldown: nothing can be started without a login.
func TestThrottledLogin_isACooldown(t *testing.T) {
	for _, kind := range []simulator.Kind{simulator.TooManyRequests, simulator.Unavailable} {
		synctest.Test(t, func(t *testing.T) {
			sim, c := onPipe(t, simulator.Config{})
			sim.ScriptFor("Login", simulator.Fault{Kind: kind, For: 20 * time.Second})
			if _, err := c.CreateTask(t.Context(), testTask()); err == nil {
				t.Error("the login was not throttled")
			}
			wantCapacity(t, c, 0, Cooldown{For: 20 * time.Second, Reason: CooldownThrottled})
			<-time.After(20 * time.Second)
			wantCapacity(t, c, 64, Cooldown{})
		})
	}
}

func TestCapacity_reservesNothing(t *testing.T) {
	c := newTestClient(t, "http://127.0.0.1:1/api", withPace(Pace{PerHour: 1000, PerSecond: 100}))
	for _, n := range []int{0, -1} {
		if capacity, cooldown := c.Capacity(n); capacity != 0 || cooldown != (Cooldown{}) {
			t.Errorf("Capacity(%d) is %d, %v", n, capacity, cooldown)
		}
	}
	if n := testing.AllocsPerRun(100, func() { c.Capacity(64) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if capacity, cooldown := c.Capacity(3); capacity != 3 || cooldown != (Cooldown{}) {
		t.Errorf("Capacity(3) is %d, %v", capacity, cooldown)
	}
}

// TestClient_keepsConnections: as many as are in flight.
func TestClient_keepsConnections(t *testing.T) {
	const workers = 32
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{Conflict: simulator.ConflictIgnore}, func(cfg *Config) { cfg.MaxConns = workers })
		d := new(dials).on(c)
		for wave := range 3 {
			sim.SetFaults(everyCall(simulator.Fault{Kind: simulator.Slow, For: time.Second}))
			var all sync.WaitGroup
			for i := range workers {
				all.Go(func() {
					job, err := c.CreateTask(t.Context(), loadTask(wave*workers+i))
					wantJob(t, job, err)
				})
			}
			all.Wait()
		}
		if n := d.made.Load(); n != workers {
			t.Errorf("%d connections for %d in flight", n, workers)
		}
		if n := sim.Account().MaxConcurrent; n != workers {
			t.Errorf("%d at once", n)
		}
	})
}
