package systemtest

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// A request whose answers stay unclear is reported wherever an operator
// looks: in the log, in /readyz?verbose, by `status` and by `check`.
func TestADoubtThatGoesRoundIsACondition(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	for range 200 {
		sim.Script(simulator.Fault{Kind: simulator.Crash})
	}
	url := programtest.NATSServer(t)
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: append(programtest.ServiceEnv(url, endpoint), "BACKHAUL_VENDOR_VISIBILITY_WINDOW=300ms")}
	s.StartRun(t)
	admin := programtest.AdminURL(t, s.Run)
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("round-1"))
	said := func(text string) bool {
		return strings.Contains(text, "billing/round-1 was sent several times without a clear answer")
	}
	waittest.Eventually(t, "the condition in /readyz?verbose", func() bool {
		status, text := programtest.Probe(t, admin+"/readyz?verbose")
		return status == http.StatusOK && said(text)
	})
	if log := s.Run.Output.String(); !strings.Contains(log, "unclear again and again") {
		t.Errorf("not in the log:\n%s", log)
	}
	env := append(s.Env, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://"))
	for _, command := range []string{"status", "check"} {
		if _, out, stderr := programtest.Once(t, env, "", command); !said(out) {
			t.Errorf("%s does not say it:\n%s%s", command, out, stderr)
		}
	}
}

var triedAgain = regexp.MustCompile(`not sent again before (\S+), a changed one at once; the next try is at (\S+)`)

// A wrong password of two replicas and of `check` locks no account, is said wherever
// an operator looks, and a right one is tried at once.
func TestAWrongPasswordLocksNoAccount(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	url := programtest.NATSServer(t)
	right := programtest.ServiceEnv(url, endpoint)
	wrong := append(slices.Clone(right), "BACKHAUL_VENDOR_PASSWORD=not-"+programtest.Password)
	client := programtest.Connect(t, url)
	replicas := []*programtest.Service{{Client: client, Sim: sim, Env: wrong}, {Client: client, Sim: sim, Env: wrong}}
	for _, s := range replicas {
		s.StartRun(t)
	}
	for i := range 20 {
		replicas[0].Publish("backup.request.billing", nil, programtest.SampleRequest(fmt.Sprintf("locked-%d", i)))
	}
	for _, s := range replicas {
		admin := programtest.AdminURL(t, s.Run)
		waittest.Eventually(t, "the condition in /readyz?verbose", func() bool {
			status, text := programtest.Probe(t, admin+"/readyz?verbose")
			return status == http.StatusOK && strings.Contains(text, "login refused: code 1116") && strings.Contains(text, "not sent again before")
		})
		s.Run.WaitFor(t, "login refused: code 1116")
		env := append(wrong, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://"))
		for _, command := range []string{"status", "check"} {
			_, out, stderr := programtest.Once(t, env, "", command)
			if !strings.Contains(out, "login refused: code 1116") || !strings.Contains(out, "the password is that of BACKHAUL_VENDOR_PASSWORD") {
				t.Errorf("%s does not say it:\n%s%s", command, out, stderr)
			}
			if times := triedAgain.FindStringSubmatch(out); times == nil || times[1] != times[2] {
				t.Errorf("%s names no time, or two, at which the password is tried again: %q\n%s", command, times, out)
			}
		}
	}
	if n := sim.Account().LoginFailures; n < 1 || n > 2 { // the second is due after a minute
		t.Errorf("%d refused logins", n)
	}
	if left := programtest.Metric(t, replicas[0], `backhaul_vendor_hold_seconds{reason="login"}`); left <= 0 {
		t.Errorf("the credentials are not tried for %v s", left)
	}
	// The requests are for the one that can do them.
	third := &programtest.Service{Client: client, Sim: sim, Env: right}
	third.StartRun(t)
	for i := range 40 {
		third.Publish("backup.request.billing", nil, programtest.SampleRequest(fmt.Sprintf("fair-%d", i)))
	}
	waittest.Eventually(t, "jobs of the replica with the right password", func() bool { return sim.Account().JobsStarted == 60 })
	owner := programtest.Logged(t, third.Run.Output.String(), "owner")
	others := 0
	for _, msg := range client.Stored(publisher.EventsStream, "backup.event.job-submitting.billing.*") {
		event, err := schemas.DecodeEvent(schemas.KindJobSubmitting, msg.Data())
		claim, ok := event.(*schemas.JobSubmitting)
		if err != nil || !ok {
			t.Fatalf("%T, %v", event, err)
		}
		if strings.HasPrefix(claim.RequestID, "fair-") && claim.Owner != owner {
			others++
		}
	}
	if others > 8 { // each of them may try one at a time, every 30 s
		t.Errorf("%d of 40 requests were claimed by replicas whose credentials are refused", others)
	}
}

// A trigger is another process, and `run` says how it stands: in /readyz?verbose at its own address,
// and so in `status`.
func TestRunSaysHowTheTriggerStands(t *testing.T) {
	t.Parallel()
	url := programtest.NATSServer(t)
	env := programtest.TriggerEnv(t, url, objectstoretest.Start(t, "invoices"), "routes:\n- {container: invoices, clientName: c, subclientName: s, directive: {container: missing, prefix: lists/}}\n")
	trigger := programtest.Start(t, env, "backhaul", "trigger")
	trigger.WaitFor(t, "cannot be written")
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: programtest.ServiceEnv(url, endpoint)}
	s.StartRun(t)
	admin := programtest.AdminURL(t, s.Run)
	const directives = "directives: /missing/lists/ cannot be written"
	waittest.Eventually(t, "the condition in /readyz?verbose", func() bool {
		status, text := programtest.Probe(t, admin+"/readyz?verbose")
		return status == http.StatusOK && strings.Contains(text, `{"name":"trigger","ok":false,"condition":true,"error":"`+directives)
	})
	_, out, stderr := programtest.Once(t, append(s.Env, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://")), "", "status")
	if !strings.Contains(out, "  trigger        "+directives) || !strings.Contains(out, "  read by        ") {
		t.Errorf("status does not say it:\n%s%s", out, stderr)
	}
}
