package simulator_test

import (
	"net/http"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

func TestRateLimit_PerTenant(t *testing.T) {
	now := newClock()
	world := simulator.DefaultWorld()
	guest := world.Users[0]
	guest.Name, guest.Company, guest.AccessToken = "guest", "another", ""
	world.Users = append(world.Users, guest)
	sim, c := direct(t, simulator.Config{Now: now.Now, World: world,
		RateLimit: simulator.RateLimit{Writes: 3, Reads: 2, Period: time.Minute}}) // the login is the first write

	c.get("/Job/1")
	c.get("/Job/1")
	got := c.call(http.StatusTooManyRequests, http.MethodGet, "/Job/1", "")
	if limit, period := got.header.Get("X-RateLimit-Limit"), got.header.Get("X-RateLimit-Period"); limit != "2" || period != "60" {
		t.Errorf("limit %q, period %q", limit, period)
	}
	c.start("stestgroup", "")
	c.post("/Jobs", "{}")
	got = c.call(http.StatusTooManyRequests, http.MethodPost, "/CreateTask", task("stestgroup", ""))
	if limit := got.header.Get("X-RateLimit-Limit"); limit != "3" || got.header.Get("Retry-After") != "" {
		t.Errorf("header %v", got.header)
	}
	c.call(http.StatusTooManyRequests, http.MethodPost, "/Login", loginBody("backhaul", "simulator"))

	other := *c
	other.token = c.post("/Login", loginBody("guest", "simulator")).text("token")
	other.start("stestgroup", "")

	now.pass(time.Minute)
	c.start("stestgroup", "")
	a := sim.Account()
	if a.RateLimited != 3 || a.JobsStarted != 3 || a.RetryAfterViolations != 0 {
		t.Errorf("account %+v", a)
	}
}

func TestAccount_CountsRetryAfterViolations(t *testing.T) {
	unavailable := simulator.Fault{Kind: simulator.Unavailable, For: 2 * time.Second}
	throttled := simulator.Fault{Kind: simulator.TooManyRequests, For: 2 * time.Second}
	for _, test := range []struct {
		name   string
		fault  simulator.Fault
		after  time.Duration
		marker string
		want   int
	}{
		{"in time", unavailable, 2 * time.Second, "m", 0},
		{"within the tolerance", unavailable, 1960 * time.Millisecond, "m", 0},
		{"too early", unavailable, 1940 * time.Millisecond, "m", 1},
		{"at once", unavailable, 0, "m", 1},
		{"another, in flight", unavailable, 40 * time.Millisecond, "n", 0},
		{"another, too early", unavailable, 60 * time.Millisecond, "n", 1},
		{"throttled", throttled, time.Second, "m", 1},
		{"throttled, in time", throttled, 2 * time.Second, "m", 0},
		{"no wait was announced", simulator.Fault{Kind: simulator.HTML}, 0, "m", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := newClock()
			sim, c := direct(t, simulator.Config{Now: now.Now})
			sim.Script(test.fault)
			if _, err := c.send(http.MethodPost, "/CreateTask", task("stestgroup", "m")); err != nil {
				t.Fatal(err)
			}
			now.pass(test.after)
			c.post("/Jobs", "{}") // only CreateTask counts
			c.start("stestgroup", test.marker)
			if got := sim.Account().RetryAfterViolations; got != test.want {
				t.Errorf("%d violations, want %d", got, test.want)
			}
		})
	}
}

// A call that was in flight when another call's answer announced a wait is not a violation,
// however late it arrives on a busy machine.
func TestAccount_AllowsCallsInFlight(t *testing.T) {
	now := newClock()
	sim, told := start(t, simulator.Config{Now: now.Now, Conflict: simulator.ConflictIgnore})
	another := func() *client {
		c := *told
		c.http = &http.Client{Transport: &http.Transport{}}
		t.Cleanup(c.http.CloseIdleConnections)
		return &c
	}
	want := func(violations int, why string) {
		t.Helper()
		if got := sim.Account().RetryAfterViolations; got != violations {
			t.Errorf("%s: %d violations, want %d", why, got, violations)
		}
	}
	second, third := another(), another()
	second.post("/Jobs", "{}")
	sim.Script(simulator.Fault{Kind: simulator.Unavailable, For: 2 * time.Second})
	told.call(http.StatusServiceUnavailable, http.MethodPost, "/CreateTask", task("stestgroup", "a"))

	now.pass(900 * time.Millisecond)
	second.start("stestgroup", "b")
	want(0, "in flight")
	third.start("stestgroup", "c")
	want(0, "in flight on a new connection")
	second.start("stestgroup", "d")
	want(1, "after another answer on the same connection")
	third.start("stestgroup", "a")
	want(2, "a repetition, by any sender")
	now.pass(200 * time.Millisecond)
	another().start("stestgroup", "e")
	want(3, "after half of the wait")
	now.pass(900 * time.Millisecond)
	second.start("stestgroup", "a")
	want(3, "after the wait")

	// A call in flight gets a longer wait, of which the other calls do not know yet.
	sim.Script(simulator.Fault{Kind: simulator.Unavailable, For: 2 * time.Second}, simulator.Fault{Kind: simulator.Unavailable, For: 3 * time.Second})
	told.call(http.StatusServiceUnavailable, http.MethodPost, "/CreateTask", task("stestgroup", "f"))
	now.pass(900 * time.Millisecond)
	another().call(http.StatusServiceUnavailable, http.MethodPost, "/CreateTask", task("stestgroup", "g"))
	now.pass(1100 * time.Millisecond)
	told.start("stestgroup", "f")
	want(3, "after the wait that the sender knows of")
	second.start("stestgroup", "g")
	want(4, "before the other's wait is over")
}

// Repeated announcements do not hide violations.
func TestAccount_CountsRepeatedViolations(t *testing.T) {
	now := newClock()
	sim, c := start(t, simulator.Config{Now: now.Now, RateLimit: simulator.RateLimit{Writes: 1, Period: time.Minute}}) // the login
	for i := range 10 {
		c.call(http.StatusTooManyRequests, http.MethodPost, "/CreateTask", task("stestgroup", string(rune('a'+i))))
		now.pass(40 * time.Millisecond)
	}
	if got := sim.Account().RetryAfterViolations; got < 7 {
		t.Errorf("%d violations by nine calls", got)
	}
}
