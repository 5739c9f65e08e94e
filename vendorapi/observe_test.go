package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"backhaul/vendorapi/internal/gate"
	"backhaul/vendorapi/simulator"
)

// notes is an observer that records its calls.
type notes struct {
	mu    sync.Mutex
	lines []string
}

type noteKey struct{}

func (n *notes) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) Call(ctx context.Context, c Call) (context.Context, func(int, error)) {
	within := ctx.Value(noteKey{})
	return ctx, func(status int, err error) {
		n.note("call %s %s in %v: %d %t", c.Method, c.Op, within, status, err == nil)
		if err != nil {
			n.note("error %v", err)
		}
	}
}

func (n *notes) Attempt(ctx context.Context, t Task, number int) (context.Context, func(Job, error)) {
	return context.WithValue(ctx, noteKey{}, number), func(job Job, err error) {
		verdict := "started"
		if err != nil {
			verdict = VerdictOf(err).String()
		}
		n.note("attempt %d of %s: %s %s", number, t.Marker, verdict, job.ID)
	}
}

func (n *notes) Wait(_ context.Context, w Wait) {
	n.note("wait for %s after %s", w.Reason, VerdictOf(w.Err))
}

func TestObserver_isCalledForEverything(t *testing.T) {
	t.Parallel()
	told := new(notes)
	sim, c := onLoopback(t, simulator.Config{}, func(cfg *Config) {
		cfg.Observer = told
		cfg.Pace = Pace{PerSecond: 1}
	})
	sim.Script(
		simulator.Fault{Kind: simulator.Status, Status: http.StatusNotFound, Body: "no such page"},
		simulator.Fault{Kind: simulator.None},
		simulator.Fault{Kind: simulator.CutAfterStart})
	r := &Retrier{Client: c, Policy: Policy{InitialInterval: time.Millisecond, Budget: time.Minute}}
	ctx := within(t, time.Minute)
	job, _, err := r.Submit(ctx, ctx, testTask(), permitted)
	wantJob(t, job, err)
	_, _, err = r.Submit(ctx, ctx, loadTask(1), permitted)
	wantVerdict(t, err, Unknown)
	if _, err := r.Find(context.WithValue(ctx, noteKey{}, "find"), loadTask(1), time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"call POST Login in 1: 200 true", "call POST CreateTask in 1: 404 true", "attempt 1 of " + testMarker + ": not sent ",
		"wait for none after not sent", "wait for rate after unknown",
		"call POST CreateTask in 2: 200 true", "attempt 2 of " + testMarker + ": started " + job.ID,
		"call POST CreateTask in 1: 0 false", "attempt 1 of backhaul:load/1: unknown ",
		// The shared list is counted to the one who caused it.
		"call GET JobList in find: 200 true", "call GET TaskDetails in find: 200 true",
	} {
		if !slices.Contains(told.lines, want) {
			t.Errorf("not told of %q, only of %q", want, told.lines)
		}
	}
	noSecrets(t, told.lines)
}

func TestBreaker_state(t *testing.T) {
	t.Parallel()
	_, c := onLoopback(t, simulator.Config{})
	if got := c.Breaker(); got != "closed" {
		t.Errorf("it is %s, want closed", got)
	}
	for range gate.BreakAfter {
		done, _ := c.breaker.Enter()
		done(&Error{Op: opCreateTask, noAnswer: true, Err: errors.New("no answer")})
	}
	if got := c.Breaker(); got != "open" {
		t.Errorf("after %d outages it is %s, want open", gate.BreakAfter, got)
	}
	c.breaker.Rest = gate.Pause{}
	if got := c.Breaker(); got != "half-open" {
		t.Errorf("after its rest it is %s, want half-open", got)
	}
}

func TestClient_theEndOfARenewedToken(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int64{
		`{"accessToken":"a","tokenExpiryTimestamp":1790000000,"refreshTokenExpiryTimestamp":1}`: 1790000000,
		`<R refreshTokenExpiryTimestamp="1" tokenExpiryTimestamp="1790000000"/>`:                1790000000,
		`{"refreshTokenExpiryTimestamp":1}`:                                                     0,
		`{"tokenExpiryTimestamp":"soon"}`:                                                       0,
	} {
		if got := expiry([]byte(body)); got != want {
			t.Errorf("%s ends at %d, want %d", body, got, want)
		}
	}
}
