package simulator_test

import (
	"net/http"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

func TestRateLimitPerTenant(t *testing.T) {
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

func TestRetryAfterViolations(t *testing.T) {
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
		{"another, under way", unavailable, 40 * time.Millisecond, "n", 0},
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
