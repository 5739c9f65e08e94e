package systemtest

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
)

// TestBudget: a service with a budget of three writing calls logs in and starts two jobs. The third
// request waits, and everything that shows the budget says so. Without the stream the condition says
// what to do.
func TestBudget(t *testing.T) {
	t.Parallel()
	s := programtest.StartServiceIn(t, []string{"BACKHAUL_WRITES_PER_HOUR=3"}, simulator.Config{Conflict: simulator.ConflictIgnore})
	for _, id := range []string{"one", "two", "three"} {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(id))
	}
	waittest.Eventually(t, "the last call of the budget", func() bool {
		return programtest.Metric(t, s, "backhaul_budget_writes_spent") == 3 && s.Sim.Account().JobsStarted == 2
	})
	if left := programtest.Metric(t, s, `backhaul_vendor_hold_seconds{reason="budget"}`); left < 3000 {
		t.Errorf("the next call is in %g s", left)
	}
	admin := programtest.AdminURL(t, s.Run)
	if status, text := programtest.Probe(t, admin+"/readyz?verbose"); status != http.StatusOK || !strings.Contains(text, "3 of 3 writing calls spent in the last hour, 0 left, the next at ") {
		t.Errorf("/readyz: %d %s", status, text)
	}
	if _, text := programtest.Probe(t, admin+"/"); !strings.Contains(text, "<b>0 of 3 left</b>") {
		t.Error("the page does not show the budget")
	}
	code, out, _ := programtest.Once(t, s.Env, "", "status", "--admin-addr", "off")
	if code != 0 || !strings.Contains(out, "3 of 3 writing calls spent in the last hour, 0 left") || !strings.Contains(out, "spent by") {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
	code, out, _ = programtest.Once(t, s.Env, "", "status", "--admin-addr", "off", "-o", "json")
	if code != 0 || !strings.Contains(out, `"limit":3,"spent":3,"left":0,"next":"`) {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
	// The estimates begin when the next call is free, in about an hour.
	code, out, _ = programtest.Once(t, s.Env, "", "status", "billing/three")
	if due := regexp.MustCompile(`started at about (\S+), at 3 starts`).FindStringSubmatch(out); code != 0 || due == nil {
		t.Errorf("status billing/three: exit code %d\n%s", code, out)
	} else if at, err := time.Parse(time.RFC3339, due[1]); err != nil || time.Until(at) < 50*time.Minute {
		t.Errorf("the request is due at %s, %v", due[1], err)
	}
	_, out, _ = programtest.Once(t, s.Env, "", "status", "--admin-addr", "off")
	if !regexp.MustCompile(`billing: 1, the last of them is started in about (5\dm|1h)`).MatchString(out) {
		t.Errorf("status:\n%s", out)
	}
	// `check` takes its login from the same budget, and does not exceed it.
	calls := s.Sim.Account().Logins
	_, out, _ = programtest.Once(t, append(s.Env, "BACKHAUL_ADMIN_ADDR=off"), "", "check")
	if !strings.Contains(out, "3 of 3 writing calls spent") || !strings.Contains(out, "the budget of writing calls is used up") || s.Sim.Account().Logins != calls {
		t.Errorf("check: %d logins\n%s", s.Sim.Account().Logins-calls, out)
	}
	js := natstest.JetStream(t, s.NC)
	if err := js.DeleteStream(t.Context(), publisher.BudgetStream); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "the condition", func() bool {
		_, text := programtest.Probe(t, admin+"/readyz?verbose")
		return strings.Contains(text, "stream BACKUP_BUDGET")
	})
	if left := programtest.Metric(t, s, "backhaul_budget_writes_left"); left != 0 {
		t.Errorf("%g calls are left without the stream", left)
	}
	if n := s.Sim.Account().JobsStarted; n != 2 || s.Sim.Account().JobsByMarker["backhaul:billing/three"] != nil {
		t.Errorf("%d jobs were started", n)
	}
}
