package vendorapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/internal/gate"
	"backhaul/vendorapi/simulator"
)

// outOfReach is a client whose vendor refuses every connection.
func outOfReach(t *testing.T, cfg simulator.Config) (*simulator.Simulator, *Client, *dials) {
	t.Helper()
	sim, c := onPipe(t, cfg, byToken)
	d := new(dials).on(c)
	d.refuse.Store(true)
	return sim, c, d
}

// TestBreaker_opensInAnOutage: the times between the attempts grow, an open breaker makes none
// and says for how long, one attempt that is answered ends it.
func TestBreaker_opensInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c, d := outOfReach(t, simulator.Config{Conflict: simulator.ConflictIgnore})
		fail := func(want time.Duration) {
			t.Helper()
			_, err := c.CreateTask(t.Context(), testTask())
			if e := wantVerdict(t, err, NotSent); e.RetryAfter != want || !strings.Contains(err.Error(), errRefused.Error()) {
				t.Errorf("%v, retry after %s, want the reason and %s", err, e.RetryAfter, want)
			}
		}
		outage := func() {
			t.Helper()
			for range gate.BreakAfter {
				wantCapacity(t, c, 64, Cooldown{})
				fail(0)
			}
			for _, want := range []time.Duration{2, 4, 8, 16, 30, 30} {
				want *= time.Second
				wantCapacity(t, c, 0, Cooldown{For: want, Reason: CooldownOutage})
				fail(want)
				<-time.After(time.Second)
				wantCapacity(t, c, 0, Cooldown{For: want - time.Second, Reason: CooldownOutage})
				fail(want - time.Second)
				<-time.After(want - time.Second)
				wantCapacity(t, c, 1, Cooldown{})
				fail(0) // tried
			}
			<-time.After(30 * time.Second)
		}
		outage()
		d.refuse.Store(false)
		wantCapacity(t, c, 1, Cooldown{})
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)

		transportOf(c).CloseIdleConnections()
		d.refuse.Store(true)
		outage() // from the shortest again
		if n := sim.Account().CreateTaskCalls; n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestBreaker_oneAttemptEndsAnOutage: many wait for the vendor, one tries, the others
// follow when it was answered. None asks for the permit before.
func TestBreaker_oneAttemptEndsAnOutage(t *testing.T) {
	const workers = 64
	synctest.Test(t, func(t *testing.T) {
		sim, c, d := outOfReach(t, simulator.Config{Conflict: simulator.ConflictIgnore})
		for range gate.BreakAfter {
			_, err := c.CreateTask(t.Context(), testTask())
			wantVerdict(t, err, NotSent)
		}
		d.refuse.Store(false)
		sim.Script(simulator.Fault{Kind: simulator.Slow, For: 5 * time.Second})
		r := &Retrier{Client: c}
		var mu sync.Mutex
		permits := 0
		var all sync.WaitGroup
		for i := range workers {
			all.Go(func() {
				job, attempts, err := r.Submit(t.Context(), t.Context(), loadTask(i), func(ctx context.Context) (time.Time, error) {
					mu.Lock()
					defer mu.Unlock()
					permits++
					return permitted(ctx)
				})
				wantJob(t, job, err)
				if attempts != 1 {
					t.Errorf("%d attempts", attempts)
				}
			})
		}
		<-time.After(6 * time.Second) // of the 2 that it is open and the 5 that the answer takes
		synctest.Wait()
		mu.Lock()
		if n := sim.Account().CreateTaskCalls; n != 1 || permits != 1 {
			t.Errorf("%d calls, %d permits while one tries", n, permits)
		}
		mu.Unlock()
		wantCapacity(t, c, 0, Cooldown{For: gate.ProbeWait, Reason: CooldownOutage})
		all.Wait()
		wantCapacity(t, c, 64, Cooldown{})
		if a := sim.Account(); a.CreateTaskCalls != workers || a.JobsStarted != workers {
			t.Errorf("%d calls, %d jobs", a.CreateTaskCalls, a.JobsStarted)
		}
	})
}

// TestIsOutage: that nobody answers. Answers are none, however bad, and
// neither is the caller who goes away.
func TestIsOutage(t *testing.T) {
	status := func(n int) simulator.Fault { return simulator.Fault{Kind: simulator.Status, Status: n} }
	for _, tt := range []struct {
		name   string
		fault  simulator.Fault
		outage bool
	}{
		{"no answer", simulator.Fault{Kind: simulator.HangAfterStart}, true},
		{"cut", simulator.Fault{Kind: simulator.CutBeforeStart}, true},
		{"cut after a start", simulator.Fault{Kind: simulator.CutAfterStart}, true},
		{"bad gateway", status(http.StatusBadGateway), true},
		{"gateway timeout", status(http.StatusGatewayTimeout), true},
		{"503 page", simulator.Fault{Kind: simulator.HTML}, true},
		{"502 with a code", simulator.Fault{Kind: simulator.Status, Status: http.StatusBadGateway, Body: crashed}, false},
		{"started", simulator.Fault{Kind: simulator.None}, false},
		{"refused", simulator.Fault{Kind: simulator.Refused500}, false},
		{"crash", simulator.Fault{Kind: simulator.Crash}, false},
		{"wrong path", status(http.StatusNotFound), false},
		{"throttled", simulator.Fault{Kind: simulator.TooManyRequests}, false},
		{"503 with a time", simulator.Fault{Kind: simulator.Unavailable}, false},
		{"half an answer", simulator.Fault{Kind: simulator.HalfBody}, false},
		{"no permission", simulator.Fault{Kind: simulator.Unauthorised}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim, c := onPipe(t, simulator.Config{Conflict: simulator.ConflictIgnore})
				sim.SetFaults(everyCall(tt.fault))
				for i := range gate.BreakAfter {
					if _, cooldown := c.Capacity(64); cooldown.Reason == CooldownOutage {
						t.Errorf("%d of them are an outage", i)
					}
					_, _ = c.CreateTask(t.Context(), loadTask(i))
					<-time.After(c.throttled.Left())
				}
				_, cooldown := c.Capacity(64)
				if outage := cooldown.Reason == CooldownOutage; outage != tt.outage {
					t.Errorf("after %d of them the cooldown is %v", gate.BreakAfter, cooldown)
				}
			})
		})
	}
	t.Run("the caller goes away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim, c := onPipe(t, simulator.Config{}, byToken)
			sim.SetFaults(everyCall(simulator.Fault{Kind: simulator.HangAfterStart}))
			reason := errors.New("a stop")
			for range 2 * gate.BreakAfter {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(10*time.Second, func() { cancel(reason) })
				_, err := c.CreateTask(ctx, testTask())
				wantVerdict(t, err, Unknown)
				_, err = c.CreateTask(within(t, time.Second/2), testTask())
				wantVerdict(t, err, Unknown)
			}
			wantCapacity(t, c, 64, Cooldown{})
		})
	})
	t.Run("no secret, no names, no login", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, auth := range []Auth{tokenAuth(""), tokenAuth("wrong"), {Mode: AuthLogin, Username: testUser, Password: fixed("wrong")}} {
				_, c := onPipe(t, simulator.Config{}, withAuth(auth))
				for range 2 * gate.BreakAfter {
					_, err := c.CreateTask(t.Context(), testTask())
					wantVerdict(t, err, NotSent)
					_, err = c.CreateTask(t.Context(), Task{})
					wantVerdict(t, err, NotSent)
				}
				if _, cooldown := c.Capacity(64); cooldown.Reason == CooldownOutage {
					t.Error("it is an outage")
				}
			}
		})
	})
}

// TestBreaker_whatEndsAnOutage: an answer, even one that refuses the login. A caller who goes
// away leaves it as it is.
func TestBreaker_whatEndsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c, d := outOfReach(t, simulator.Config{})
		r := &Retrier{Client: c, Policy: Policy{InitialInterval: time.Millisecond, MaxInterval: time.Millisecond, CapacityWait: time.Second}}
		_, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
		if wantVerdict(t, err, NotSent); attempts != gate.BreakAfter || c.Breaker() != "open" {
			t.Errorf("%d attempts, the breaker is %s", attempts, c.Breaker())
		}
		<-time.After(gate.FirstBreak)
		d.refuse.Store(false)
		sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
		_, err = c.CreateTask(within(t, patience/2), testTask())
		wantVerdict(t, err, Unknown)
		wantCapacity(t, c, 1, Cooldown{})
		c.session.source, c.session.current = given{fixed("wrong")}, nil
		_, err = c.CreateTask(t.Context(), testTask())
		wantLoginError(t, err, "replace it")
		if c.Breaker() != "closed" {
			t.Errorf("the breaker is %s", c.Breaker())
		}
	})
}

// TestTakeSlot_unusedLeavesTheBreaker: during an outage the one attempt is
// free for another caller when its owner may not send.
func TestTakeSlot_unusedLeavesTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, d := outOfReach(t, simulator.Config{})
		for range gate.BreakAfter {
			_, err := c.CreateTask(t.Context(), testTask())
			wantVerdict(t, err, NotSent)
		}
		d.refuse.Store(false)
		<-time.After(gate.FirstBreak)
		r := &Retrier{Client: c}
		denied := errors.New("denied")
		for range 10 {
			_, _, err := r.Submit(t.Context(), t.Context(), testTask(), func(context.Context) (time.Time, error) {
				wantCapacity(t, c, 0, Cooldown{For: gate.ProbeWait, Reason: CooldownOutage})
				return time.Time{}, denied
			})
			if !errors.Is(err, denied) {
				t.Error(err)
			}
			wantCapacity(t, c, 1, Cooldown{})
		}
		job, _, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
		wantJob(t, job, err)
		wantCapacity(t, c, 64, Cooldown{})
	})
}
