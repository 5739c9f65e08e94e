package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// A request whose answers are unclear again and again is said wherever an operator
// looks: in the log, in /readyz?verbose, by `status` and by `check`.
func TestADoubtThatGoesRoundIsACondition(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world()})
	for range 200 {
		sim.Script(simulator.Fault{Kind: simulator.Crash})
	}
	url := natsServer(t)
	s := &service{plainClient: connectPlainly(t, url), sim: sim, env: append(serviceEnv(url, endpoint), "BACKHAUL_VENDOR_VISIBILITY_WINDOW=300ms")}
	s.startRun(t)
	admin := adminURL(t, s.run)
	s.publish("backup.request.billing", nil, sampleRequest("round-1"))
	said := func(text string) bool {
		return strings.Contains(text, "billing/round-1 was sent several times without a clear answer")
	}
	eventually(t, "the condition in /readyz?verbose", func() bool {
		status, text := probe(t, admin+"/readyz?verbose")
		return status == http.StatusOK && said(text)
	})
	if log := s.run.output.String(); !strings.Contains(log, "unclear again and again") {
		t.Errorf("not in the log:\n%s", log)
	}
	env := append(s.env, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://"))
	for _, command := range []string{"status", "check"} {
		if _, out, stderr := once(t, env, "", command); !said(out) {
			t.Errorf("%s does not say it:\n%s%s", command, out, stderr)
		}
	}
}

// A wrong password of two replicas and of `check` locks no account, is said wherever
// an operator looks, and a right one is tried at once.
func TestAWrongPasswordLocksNoAccount(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world()})
	url := natsServer(t)
	right := serviceEnv(url, endpoint)
	wrong := append(slices.Clone(right), "BACKHAUL_VENDOR_PASSWORD=not-"+password)
	client := connectPlainly(t, url)
	replicas := []*service{{plainClient: client, sim: sim, env: wrong}, {plainClient: client, sim: sim, env: wrong}}
	for _, s := range replicas {
		s.startRun(t)
	}
	for i := range 20 {
		replicas[0].publish("backup.request.billing", nil, sampleRequest(fmt.Sprintf("locked-%d", i)))
	}
	for _, s := range replicas {
		admin := adminURL(t, s.run)
		eventually(t, "the condition in /readyz?verbose", func() bool {
			status, text := probe(t, admin+"/readyz?verbose")
			return status == http.StatusOK && strings.Contains(text, "login refused: code 1116") && strings.Contains(text, "not sent again before")
		})
		if log := s.run.output.String(); !strings.Contains(log, "login refused: code 1116") {
			t.Errorf("not in the log:\n%s", log)
		}
		env := append(wrong, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://"))
		for _, command := range []string{"status", "check"} {
			if _, out, stderr := once(t, env, "", command); !strings.Contains(out, "login refused: code 1116") {
				t.Errorf("%s does not say it:\n%s%s", command, out, stderr)
			}
		}
	}
	if n := sim.Account().LoginFailures; n < 1 || n > 2 { // the second is due after a minute
		t.Errorf("%d refused logins", n)
	}
	third := &service{plainClient: client, sim: sim, env: right}
	third.startRun(t)
	third.publish("backup.request.billing", nil, sampleRequest("locked-last"))
	eventually(t, "a job of the replica with the right password", func() bool { return sim.Account().JobsStarted > 0 })
}
