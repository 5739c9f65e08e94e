package main

import (
	"net/http"
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
