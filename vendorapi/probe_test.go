package vendorapi

import (
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

// steps is the names of the steps, and the last one's error.
func steps(r Reached) (names string, last error) {
	var all []string
	for _, step := range r.Steps {
		all, last = append(all, step.Name), step.Err
	}
	return strings.Join(all, " "), last
}

func TestReach(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String() + "/webconsole/api"
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	sim := simulator.New(simulator.Config{})
	plain := httptest.NewServer(sim)
	defer plain.Close()
	trusted, untrusted := overTLS(true, unchanged)(t, sim), overTLS(false, unchanged)(t, sim)
	for name, test := range map[string]struct {
		client *Client
		steps  string
		fault  string
	}{
		"plain":         {newTestClient(t, plain.URL+"/webconsole/api"), "DNS TCP HTTP", ""},
		"no such name":  {newTestClient(t, "http://vendor.invalid/api"), "DNS", "vendor.invalid"},
		"nobody there":  {newTestClient(t, nobody), "DNS TCP", "refused"},
		"trusted":       {trusted, "DNS TCP TLS HTTP", ""},
		"not trusted":   {untrusted, "DNS TCP TLS", "certificate"},
		"TLS to no TLS": {newTestClient(t, strings.Replace(plain.URL, "http:", "https:", 1)+"/webconsole/api"), "DNS TCP TLS", "TLS"},
	} {
		r := test.client.Reach(t.Context())
		names, err := steps(r)
		if names != test.steps || (err == nil) != (test.fault == "") || err != nil && !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s: %s, %v; want %s and %q", name, names, err, test.steps, test.fault)
		}
		if test.fault == "" && (!r.SkewKnown || r.Skew.Abs() > time.Minute) {
			t.Errorf("%s: the clocks differ by %s (%v)", name, r.Skew, r.SkewKnown)
		}
		if strings.Contains(names, "TLS HTTP") == r.CertificateEnds.IsZero() {
			t.Errorf("%s: the certificate ends at %s", name, r.CertificateEnds)
		}
		noSecrets(t, r, err)
	}
}

func TestClient_probesTheSession(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{})
	if err := c.LogIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.CanListJobs(t.Context()); err != nil {
		t.Error(err)
	}
	job, err := c.CreateTask(t.Context(), testTask())
	if err != nil {
		t.Fatal(err)
	}
	if text, err := c.Description(t.Context(), job.ID); err != nil || text != testMarker {
		t.Errorf("the job was started with %q, %v", text, err)
	}
	if text, err := c.Description(t.Context(), "1/../2"); err == nil {
		t.Errorf("no job id: %q", text)
	}
	sim.ScriptFor("JobList", simulator.Fault{Kind: simulator.Crash})
	err = c.CanListJobs(t.Context())
	if err == nil {
		t.Error("a list that failed was read")
	}
	if got := sim.Account().JobsStarted; got != 1 {
		t.Errorf("%d jobs, want the test's own", got)
	}
	noSecrets(t, c, err)

	_, wrong := onLoopback(t, simulator.Config{}, withAuth(Auth{Mode: AuthLogin, Username: testUser, Password: fixed("not-it-5ec7e7")}))
	if err = wrong.LogIn(t.Context()); err == nil || !strings.Contains(err.Error(), "login refused") {
		t.Errorf("a wrong password: %v", err)
	}
	noSecrets(t, wrong, err)
}
