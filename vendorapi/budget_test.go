package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// purse is a Budget of one process in memory.
type purse struct {
	mu    sync.Mutex
	left  int
	wait  time.Duration // until there is more
	err   error
	until time.Duration // how long a grant lasts
	sent  []bool        // how the calls ended
	said  []Allowance
}

func (p *purse) Take(context.Context) (Grant, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 || p.err != nil {
		return Grant{}, &BudgetError{RetryAfter: p.wait, Err: p.err}
	}
	p.left--
	until := time.Minute
	if p.until > 0 {
		until = p.until
	}
	return Grant{Until: time.Now().Add(until), End: func(sent bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.sent = append(p.sent, sent); !sent {
			p.left++
		}
	}}, nil
}

func (p *purse) Left(n int) (int, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 || p.err != nil {
		return 0, p.wait
	}
	return min(n, p.left), 0
}

func (p *purse) Correct(a Allowance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, a)
}

func withBudget(p *purse) func(*Config) {
	return func(cfg *Config) { cfg.Pace.Budget = p }
}

// TestBudget_everyWriteIsTaken: the login, the start, its repetition after a refused token; no read,
// and no logout.
func TestBudget_everyWriteIsTaken(t *testing.T) {
	p := &purse{left: 10}
	sim, c := onLoopback(t, simulator.Config{}, withBudget(p))
	sim.Script(simulator.Fault{Kind: simulator.Unauthorised})
	job, err := c.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	if _, err := c.Find(t.Context(), testTask(), time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.Close(t.Context())
	calls := sim.Account().Calls
	writes := calls["Login"] + calls["CreateTask"] + calls["WhoAmI"] + calls["Logout"] + calls["Jobs"]
	if len(p.sent) != writes || writes < 4 || slices.Contains(p.sent, false) {
		t.Errorf("%d calls were taken, %d were made: %v", len(p.sent), writes, calls)
	}
	if calls["Logout"] != 0 || calls["JobList"] == 0 {
		t.Errorf("calls %v, want a read and no logout", calls)
	}
}

// TestWithGrant: the first writing call uses the grant that the caller holds, even if nothing else is
// left, and no other call does. One that ends too soon for a call is given back.
func TestWithGrant(t *testing.T) {
	p := &purse{left: 1}
	sim, c := onLoopback(t, simulator.Config{}, withBudget(p), withAuth(tokenAuth("Bearer "+worldToken)))
	r := &Retrier{Client: c}
	submit := func(ctx context.Context) error {
		_, _, err := r.Submit(ctx, ctx, testTask(), func(context.Context) (time.Time, error) { return time.Now().Add(time.Minute), nil })
		return err
	}
	grant, err := p.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := WithGrant(t.Context(), grant)
	if _, err := c.ListJobs(held, JobQuery{}); err != nil || len(p.sent) != 0 {
		t.Errorf("a read has ended the grant: %v, %v", p.sent, err)
	}
	if err := submit(held); err != nil || p.left != 0 || fmt.Sprint(p.sent) != "[true]" {
		t.Errorf("%v, %d calls are left, ended %v", err, p.left, p.sent)
	}
	p.wait = time.Hour
	wantVerdict(t, submit(held), NotSent)
	p.left, p.until = 1, DefaultTimeout-time.Second
	if grant, err = p.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.until = 0
	if err := submit(WithGrant(t.Context(), grant)); err != nil || p.left != 0 || fmt.Sprint(p.sent) != "[true false true]" {
		t.Errorf("after a grant that was too short: %v, %d calls are left, ended %v", err, p.left, p.sent)
	}
	if n := sim.Account().CreateTaskCalls; n != 2 {
		t.Errorf("%d calls", n)
	}
}

// TestBudget_usedUp: nothing is sent, the request waits for as long as the budget says, and the
// attempt does not count. Neither is the budget an outage, nor a refused login.
func TestBudget_usedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &purse{wait: 20 * time.Minute}
		sim, c := onPipe(t, simulator.Config{}, withBudget(p))
		wantCapacity(t, c, 0, Cooldown{For: 20 * time.Minute, Reason: CooldownBudget})
		r := &Retrier{Client: c}
		permitted := func(context.Context) (time.Time, error) { return time.Now().Add(time.Minute), nil }
		for range 10 {
			_, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
			if e := wantVerdict(t, err, NotSent); attempts != 0 || e.RetryAfter != 20*time.Minute || !e.NotAsked() || e.LookupFirst() {
				t.Errorf("%d attempts, %+v", attempts, e)
			}
		}
		// Between the question and the call another replica has taken the last one.
		for range 10 {
			p.left = 1
			_, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), func(context.Context) (time.Time, error) {
				p.left = 0
				return time.Now().Add(time.Minute), nil
			})
			if e := wantVerdict(t, err, NotSent); attempts != 0 || e.RetryAfter != 20*time.Minute || !e.NotAsked() {
				t.Errorf("a lost race: %d attempts, %+v", attempts, e)
			}
		}
		if state := c.Breaker(); state != "closed" {
			t.Errorf("the breaker is %s", state)
		}
		if n := len(sim.Account().Calls); n != 0 {
			t.Errorf("calls %v", sim.Account().Calls)
		}
		// One is enough for the login only: the start waits, and the next one has the token.
		p.left, p.wait = 1, time.Minute
		_, _, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
		wantVerdict(t, err, NotSent)
		p.left = 1
		job, _, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
		wantJob(t, job, err)
		wantCapacity(t, c, 0, Cooldown{For: time.Minute, Reason: CooldownBudget})
		p.left = 3
		wantCapacity(t, c, 3, Cooldown{Reason: CooldownBudget})
		p.left = 100
		wantCapacity(t, c, 64, Cooldown{})
	})
}

// TestBudget_waits: a wait within the capacity wait is waited for.
func TestBudget_waits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &purse{left: 1}
		sim, c := onPipe(t, simulator.Config{}, withBudget(p))
		if err := c.LogIn(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.wait = 5 * time.Second
		time.AfterFunc(4*time.Second, func() { p.mu.Lock(); p.left = 1; p.mu.Unlock() })
		began := time.Now()
		job, attempts, err := (&Retrier{Client: c}).Submit(t.Context(), t.Context(), testTask(), func(context.Context) (time.Time, error) {
			return time.Now().Add(time.Minute), nil
		})
		if wantJob(t, job, err); attempts != 1 || time.Since(began) != 5*time.Second {
			t.Errorf("%d attempts after %s", attempts, time.Since(began))
		}
		if n := sim.Account().CreateTaskCalls; n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestBudget_trouble: a budget that cannot be used lets nothing through, and the error says why.
func TestBudget_trouble(t *testing.T) {
	broken := errors.New("no stream")
	p := &purse{left: 10, err: broken, wait: time.Second}
	sim, c := onLoopback(t, simulator.Config{}, withBudget(p))
	_, err := c.CreateTask(t.Context(), testTask())
	if wantVerdict(t, err, NotSent); !strings.Contains(err.Error(), "budget") {
		t.Error(err)
	}
	if err := c.LogIn(t.Context()); !errors.Is(err, broken) {
		t.Errorf("login: %v", err)
	}
	if calls := sim.Account().Calls; len(calls) != 0 {
		t.Errorf("calls %v", calls)
	}
}

// TestBudget_notSent: what was not written on the network is given back; what may have been is not.
func TestBudget_notSent(t *testing.T) {
	p := &purse{left: 2}
	c := newTestClient(t, "http://127.0.0.1:1/api", withBudget(p), withAuth(tokenAuth("x")))
	_, err := c.CreateTask(t.Context(), testTask())
	if wantVerdict(t, err, NotSent); p.left != 2 || len(p.sent) != 1 {
		t.Errorf("%d calls are left of 2, ended %v", p.left, p.sent)
	}
	sim, c := onLoopback(t, simulator.Config{}, withBudget(p), withAuth(tokenAuth("Bearer "+worldToken)))
	sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
	_, err = c.CreateTask(t.Context(), testTask())
	if wantVerdict(t, err, Unknown); p.left != 1 {
		t.Errorf("%d calls are left of 1 after a lost answer", p.left)
	}
}

// TestBudget_deadline: a call ends with its grant.
func TestBudget_deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &purse{left: 2, until: 3 * time.Second}
		sim, c := onPipe(t, simulator.Config{}, withBudget(p))
		if err := c.LogIn(t.Context()); err != nil {
			t.Fatal(err)
		}
		sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
		began := time.Now()
		_, err := c.CreateTask(t.Context(), testTask())
		if wantVerdict(t, err, Unknown); time.Since(began) != 3*time.Second {
			t.Errorf("the call ended after %s", time.Since(began))
		}
	})
}

// TestAllowanceOf reads the headers of the vendor's limits. A limit of calls in seconds is none of
// an hour.
func TestAllowanceOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		header string // Limit, Period, Remaining
		want   Allowance
	}{
		{200, "", Allowance{Left: -1}},
		{200, "100,3600", Allowance{PerHour: 100, Left: -1}},
		{200, "100,3600,7", Allowance{PerHour: 100, Left: 7}},
		{429, "100,3600,0", Allowance{Refused: true, Wait: time.Hour, PerHour: 100, Left: 0}},
		{429, "50,1800", Allowance{Refused: true, Wait: 30 * time.Minute, PerHour: 100, Left: -1}},
		{429, "", Allowance{Refused: true, Wait: defaultRetryAfter, Left: -1}},
		{200, "10,1,3", Allowance{Left: -1}},
		{200, "0,3600", Allowance{Left: -1}},
		{200, "many,3600", Allowance{Left: -1}},
		{200, "100,soon", Allowance{Left: -1}},
		{200, "-5,3600,-1", Allowance{Left: -1}},
		{503, "100,3600", Allowance{PerHour: 100, Left: -1}},
	} {
		h := http.Header{}
		for i, value := range strings.Split(tt.header, ",") {
			if value != "" {
				h.Set([]string{"X-RateLimit-Limit", "X-RateLimit-Period", "X-RateLimit-Remaining"}[i], value)
			}
		}
		if got := allowanceOf(tt.status, h); got != tt.want {
			t.Errorf("%d %s: %+v, want %+v", tt.status, tt.header, got, tt.want)
		}
	}
}

// TestBudget_isCorrected by the answers to writing calls, and not by those of reads.
func TestBudget_isCorrected(t *testing.T) {
	p := &purse{left: 10}
	sim, c := onLoopback(t, simulator.Config{}, withBudget(p))
	sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: 90 * time.Second})
	_, err := c.CreateTask(t.Context(), testTask())
	wantVerdict(t, err, Throttled)
	if len(p.said) != 2 || p.said[0].Refused || !p.said[1].Refused || p.said[1].Wait != 90*time.Second {
		t.Errorf("after a login and a refused start: %+v", p.said)
	}
	sim.ScriptFor("JobList", simulator.Fault{Kind: simulator.TooManyRequests, For: time.Hour})
	_, _ = c.ListJobs(t.Context(), JobQuery{})
	if len(p.said) != 2 {
		t.Errorf("a refused read corrects it: %+v", p.said)
	}
}
