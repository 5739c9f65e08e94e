package vendorapi

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"backhaul/vendorapi/simulator"
)

// The ways to list jobs are tried without a writing call as long as GET is answered.
func TestClient_ListWays(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{})
	ways := c.ListWays(t.Context())
	want := []ListWay{{Method: "GET", Asked: FormatJSON, Answered: FormatJSON}, {Method: "GET", Asked: FormatXML, Answered: FormatXML}}
	if !slices.Equal(ways, want) || sim.Account().Calls["Jobs"] != 0 {
		t.Errorf("got %+v, %d calls of POST Jobs", ways, sim.Account().Calls["Jobs"])
	}
	sim.SetFaults([]simulator.Chance{{Endpoint: "JobList", Probability: 1, Fault: simulator.Fault{Kind: simulator.Status, Status: 404}}})
	ways = c.ListWays(t.Context())
	if len(ways) != 3 || ways[0].Err == nil || ways[1].Err == nil || ways[2].Err != nil || ways[2].Method != "POST" || sim.Account().Calls["Jobs"] != 1 {
		t.Errorf("without GET: %+v, %d calls of POST Jobs", ways, sim.Account().Calls["Jobs"])
	}
	noSecrets(t, c, ways)
}

// The heads of answers name limits and no secret.
func TestClient_Answered(t *testing.T) {
	var mu sync.Mutex
	var heads []Answer
	sim, c := onLoopback(t, simulator.Config{}, func(cfg *Config) {
		cfg.Answered = func(h Answer) {
			mu.Lock()
			defer mu.Unlock()
			heads = append(heads, h)
		}
	})
	sim.ScriptFor("Job", simulator.Fault{Kind: simulator.Status, Status: 429, Header: map[string]string{
		"X-RateLimit-Period": "7", "RateLimit-Policy": "100;w=3600", "Retry-After": "7", "Set-Cookie": "session=5ec7e7", "Authtoken": "5ec7e7",
	}})
	if _, err := c.Job(t.Context(), "5976"); err == nil {
		t.Fatal("no error")
	}
	last := heads[len(heads)-1]
	want := []string{"Ratelimit-Policy: 100;w=3600", "Retry-After: 7", "X-Ratelimit-Period: 7"}
	if last.Call.Op != "Job" || last.Call.Method != http.MethodGet || !strings.HasSuffix(last.Call.URL, "/Job/5976") || last.Status != 429 || !slices.Equal(last.Limits, want) {
		t.Errorf("got %+v", last)
	}
	noSecrets(t, heads)
}

// Clients are read in the form that the vendor's SDK reads, and a job's description from the vendor.
func TestClient_Clients(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{HideDescriptions: true})
	if names, err := c.Clients(t.Context()); err != nil || !slices.Equal(names, []string{"s-adhoc-object-storage"}) {
		t.Errorf("got %q, %v", names, err)
	}
	for _, kind := range []simulator.Kind{simulator.OneObject, simulator.Malformed, simulator.Crash} {
		sim.ScriptFor("Client", simulator.Fault{Kind: kind})
		if names, err := c.Clients(t.Context()); (err == nil) != (kind == simulator.OneObject) || err == nil && len(names) != 1 {
			t.Errorf("%s: %q, %v", kind, names, err)
		}
	}
	job, err := c.CreateTask(t.Context(), testTask())
	if err != nil {
		t.Fatal(err)
	}
	if text, err := c.Description(t.Context(), job.ID); err != nil || text != "" {
		t.Errorf("a description that is hidden is %q, %v", text, err)
	}
}
