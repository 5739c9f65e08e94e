package simulator_test

import (
	"net/http"
	"strings"
	"testing"

	"backhaul/vendorapi/simulator"
)

// Only the server that issued a token accepts it. Calls go to the servers in rotation, or
// to the one that the cookie names.
func TestSimulator_BalancesServers(t *testing.T) {
	whoAmI := func(c *client, header ...string) int {
		t.Helper()
		r, err := c.send(http.MethodPost, "/WhoAmI", "", header...)
		if err != nil {
			t.Fatal(err)
		}
		return r.status
	}
	_, c := direct(t, simulator.Config{Servers: 2})
	if first, second := whoAmI(c), whoAmI(c); first != 401 || second != 200 {
		t.Errorf("in rotation: %d, then %d", first, second)
	}

	_, c = newClient(t, simulator.Config{Servers: 2, Sticky: true})
	r, err := c.send(http.MethodGet, "", "")
	if err != nil {
		t.Fatal(err)
	}
	cookie, _, _ := strings.Cut(r.header.Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, "SERVERID=") {
		t.Fatalf("cookie %q", cookie)
	}
	c.login() // on the second server, with a cookie of its own
	if status := whoAmI(c, "Cookie: "+cookie); status != 401 {
		t.Errorf("on the first server: %d", status)
	}
}
