package vendorapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// everyone starts n jobs at the same time and returns what came of them.
func everyone(ctx context.Context, c *Client, n int) []error {
	errs := make([]error, n)
	var callers sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		callers.Go(func() {
			<-begin
			_, errs[i] = c.CreateTask(ctx, loadTask(i))
		})
	}
	close(begin)
	callers.Wait()
	return errs
}

func TestSession_oneLoginForAllCalls(t *testing.T) {
	now := new(atomic.Int64)
	clock := func() time.Time { return time.Now().Add(time.Duration(now.Load())) }
	sim, c := onLoopback(t, simulator.Config{Now: clock, Conflict: simulator.ConflictIgnore})
	for round := 1; round <= 3; round++ {
		for _, err := range everyone(t.Context(), c, 64) {
			if err != nil {
				t.Fatal(err)
			}
		}
		a := sim.Account()
		if a.Logins != round || a.JobsStarted != 64*round {
			t.Errorf("round %d: %d logins, %d jobs", round, a.Logins, a.JobsStarted)
		}
		if round > 1 && a.Unauthorised == 0 {
			t.Error("the token did not expire")
		}
		// Only the vendor's clock advances, so that all calls find the token expired.
		now.Add(int64(31 * time.Minute))
	}
}

func TestSession_renewsAnExpiredTokenOnce(t *testing.T) {
	ended := simulator.Fault{Kind: simulator.Unauthorised}
	t.Run("once", func(t *testing.T) {
		sim, c := onLoopback(t, simulator.Config{})
		sim.Script(ended)
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
		if a := sim.Account(); a.Logins != 2 || a.JobsStarted != 1 {
			t.Errorf("%d logins, %d jobs", a.Logins, a.JobsStarted)
		}
	})
	t.Run("twice", func(t *testing.T) {
		// a coincidence: it is not about the request, and not a reason to continue
		// logging in.
		synctest.Test(t, func(t *testing.T) {
			sim, c := onPipe(t, simulator.Config{})
			sim.Script(ended, ended)
			for range 20 {
				_, err := c.CreateTask(t.Context(), testTask())
				wantVerdict(t, err, NotSent)
				if _, ok := errors.AsType[*LoginError](err); !ok {
					t.Fatalf("%v is no LoginError", err)
				}
			}
			if a := sim.Account(); a.Logins != 2 || a.JobsStarted != 0 || a.CreateTaskCalls != 2 {
				t.Errorf("%d logins, %d jobs, %d calls", a.Logins, a.JobsStarted, a.CreateTaskCalls)
			}
			<-time.After(loginPause)
			job, err := c.CreateTask(t.Context(), testTask())
			wantJob(t, job, err)
		})
	})
	t.Run("without a permission", func(t *testing.T) {
		// A denial of one task does not apply to the next.
		sim, c := onLoopback(t, simulator.Config{})
		forbidden := simulator.Fault{Kind: simulator.Status, Status: 401, Body: denied}
		sim.Script(forbidden, forbidden)
		_, err := c.CreateTask(t.Context(), testTask())
		if e := wantVerdict(t, err, AuthRefused); e.Status != 401 || e.Code != "5" || e.Message != "Access denied" {
			t.Errorf("%+v", e)
		}
		if a := sim.Account(); a.Logins != 1 || a.JobsStarted != 0 || a.CreateTaskCalls != 2 {
			t.Errorf("%d logins, %d jobs, %d calls", a.Logins, a.JobsStarted, a.CreateTaskCalls)
		}
		job, err := c.CreateTask(t.Context(), loadTask(1))
		wantJob(t, job, err)
		// Nor that the token has not ended.
		sim.Script(ended)
		job, err = c.CreateTask(t.Context(), loadTask(2))
		wantJob(t, job, err)
	})
	t.Run("accepted a moment ago", func(t *testing.T) {
		sim, c := onLoopback(t, simulator.Config{})
		job, err := c.CreateTask(t.Context(), loadTask(1))
		wantJob(t, job, err)
		c.session.current.made = time.Now().Add(-shortestLife)
		sim.Script(simulator.Fault{Kind: simulator.Status, Status: 401, Body: denied})
		job, err = c.CreateTask(t.Context(), loadTask(2))
		wantJob(t, job, err)
		if n := sim.Account().Logins; n != 1 {
			t.Errorf("%d logins", n)
		}
	})
	t.Run("in an answer of HTTP 200", func(t *testing.T) {
		var calls atomic.Int32
		v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) == 1 {
				reply(w, 200, denied)
				return
			}
			reply(w, 200, `{"jobIds":["1"]}`)
		}})
		job, err := newTestClient(t, v.url).CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
		if v.logins != 2 {
			t.Errorf("%d logins", v.logins)
		}
	})
	t.Run("not when there may be a job", func(t *testing.T) {
		v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": always(401, `{"jobIds":["1"]}`)})
		_, err := newTestClient(t, v.url).CreateTask(t.Context(), testTask())
		wantVerdict(t, err, Unknown)
		if n := v.count("CreateTask"); n != 1 {
			t.Errorf("sent %d times", n)
		}
	})
}

func TestSession_keepsARefusedLogin(t *testing.T) {
	wrong := withAuth(Auth{Mode: AuthLogin, Username: testUser, Password: fixed(testSecret)})
	t.Run("one attempt for all", func(t *testing.T) {
		sim, c := onLoopback(t, simulator.Config{}, wrong)
		for _, err := range everyone(t.Context(), c, 64) {
			wantVerdict(t, err, NotSent)
			refusal, ok := errors.AsType[*LoginError](err)
			if !ok || refusal.Code != "1116" || refusal.Message == "" || refusal.Locked != 0 {
				t.Fatalf("%v is no LoginError with the vendor's reason", err)
			}
			noSecrets(t, refusal)
		}
		if a := sim.Account(); a.LoginFailures != 1 || a.CreateTaskCalls != 0 {
			t.Errorf("%d failed logins, %d calls", a.LoginFailures, a.CreateTaskCalls)
		}
	})
	t.Run("fewer and fewer attempts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim, c := onPipe(t, simulator.Config{}, wrong)
			begin := time.Now()
			for range 700 {
				_, err := c.CreateTask(t.Context(), testTask())
				wantVerdict(t, err, NotSent)
				if _, ok := errors.AsType[*LoginError](err); !ok {
					t.Fatal(err)
				}
				want := 1
				for _, pause := range []time.Duration{time.Minute, 6 * time.Minute} {
					if time.Since(begin) >= pause {
						want++
					}
				}
				if n := sim.Account().LoginFailures; n != want {
					t.Fatalf("%d attempts after %s, want %d", n, time.Since(begin), want)
				}
				<-time.After(time.Second)
			}
		})
	})
	t.Run("a new password ends it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var password atomic.Value
			password.Store(Secret(testSecret))
			auth := Auth{Mode: AuthLogin, Username: testUser, Password: func() (Secret, error) { return password.Load().(Secret), nil }}
			_, c := onPipe(t, simulator.Config{}, withAuth(auth))
			_, err := c.CreateTask(t.Context(), testTask())
			wantVerdict(t, err, NotSent)
			password.Store(Secret(testPassword))
			job, err := c.CreateTask(t.Context(), testTask())
			wantJob(t, job, err)
		})
	})
}

// TestSession_boundsTheLock: one odd number must not stop the service for years.
func TestSession_boundsTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{})
		sim.ScriptFor("Login", simulator.Fault{
			Kind: simulator.Status, Status: 200, Header: map[string]string{"X": "y"},
			Body: `{"isAccountLocked":true,"remainingLockTime":2147483647}`,
		})
		_, err := c.CreateTask(t.Context(), testTask())
		if refusal, ok := errors.AsType[*LoginError](err); !ok || refusal.Locked != 2147483647*time.Second {
			t.Fatalf("%v", err)
		}
		<-time.After(longestLock - time.Second)
		_, err = c.CreateTask(t.Context(), testTask())
		wantVerdict(t, err, NotSent)
		<-time.After(time.Second)
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
	})
}

func TestSession_logsInAgainWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{})
		logins := func(want int) {
			t.Helper()
			job, err := c.CreateTask(t.Context(), testTask())
			wantJob(t, job, err)
			if a := sim.Account(); a.Logins != want || a.Unauthorised != 0 {
				t.Errorf("%d logins, %d calls with an old token, want %d and none", a.Logins, a.Unauthorised, want)
			}
		}
		logins(1)
		for range 5 { // used, it lives on
			<-time.After(idleLimit - time.Second)
			logins(1)
		}
		<-time.After(idleLimit)
		logins(2)
	})
}

func TestClient_closeLogsOut(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{})
	c.Close(t.Context())
	if n := sim.Account().Calls["Logout"]; n != 0 {
		t.Error("logged out without a login")
	}
	job, err := c.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	old, err := c.session.token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Close(t.Context())
	c.Close(t.Context())
	if n := sim.Account().Calls["Logout"]; n != 1 {
		t.Errorf("logged out %d times", n)
	}
	resp, err := c.do(t.Context(), call{op: "WhoAmI", method: http.MethodPost, path: "/WhoAmI"}, old.header())
	if err != nil || resp.Status != 401 {
		t.Errorf("the session lives on: HTTP %d, %v", resp.Status, err)
	}

	sim, c = onLoopback(t, simulator.Config{}, byToken)
	job, err = c.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	c.Close(t.Context())
	if n := sim.Account().Calls["Logout"]; n != 0 {
		t.Error("a token that is not ours was logged out")
	}
}

// TestSession_waitsWithTheContextOfTheCall: who waits for another's login, waits no longer than it may.
func TestSession_waitsWithTheContextOfTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{})
		sim.ScriptFor("Login", simulator.Fault{Kind: simulator.Delay, For: time.Minute})
		var first sync.WaitGroup
		first.Go(func() {
			_, err := c.CreateTask(t.Context(), testTask())
			wantVerdict(t, err, NotSent)
		})
		synctest.Wait()
		begin := time.Now()
		_, err := c.CreateTask(within(t, 2*time.Second), testTask())
		wantVerdict(t, err, NotSent)
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("waited %s", took)
		}
		c.Close(within(t, 3*time.Second))
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("Close took %s", took-2*time.Second)
		}
		first.Wait()
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("the login took %s", took)
		}
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
	})
}
