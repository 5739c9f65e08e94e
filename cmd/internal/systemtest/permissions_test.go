package systemtest

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// The service does all of its work with the shipped permissions.
func TestRunWithLeastPrivilege(t *testing.T) {
	t.Parallel()
	s := programtest.StartGuarded(t)
	s.StartRun(t)
	programtest.WaitForStatus(t, programtest.AdminURL(t, s.Run)+"/readyz", http.StatusOK)
	s.Sim.Script(
		simulator.Fault{Kind: simulator.TooManyRequests, For: 8e9}, // is passed on: PAUSE
		simulator.Fault{Kind: simulator.CutAfterStart},             // is looked for
		simulator.Fault{Kind: simulator.None},
	)
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("least-1"))
	s.Run.WaitFor(t, "paused for all replicas")
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("least-2"))
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("least-2"))                                              // a duplicate: MSG.GET
	s.Publish("backup.request.billing", nil, []byte(`{"requestId":"least-3","clientName":"c"}`))                                // a dead letter
	s.Publish("backup.request.billing", nil, []byte(`{"clientName":"s-adhoc-object-storage","subclientName":"no-such-group"}`)) // refused
	s.Run.WaitFor(t, `"requestId":"least-1"`)
	waittest.Eventually(t, "four outcomes", func() bool {
		log := s.Run.Output.String()
		return strings.Count(log, `"message":"job-started"`) == 2 && strings.Count(log, `"message":"job-failed"`) == 2
	})
	if code := s.Run.Stop(t); code != programtest.ExitDone {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(s.Run.Output.String(), "does not permit") {
		t.Error("something was not permitted")
	}
	for _, id := range []string{"least-1", "least-2"} {
		if jobs := s.Sim.Account().JobsByMarker["backhaul:billing/"+id]; len(jobs) != 1 {
			t.Errorf("%s: jobs %v, want one", id, jobs)
		}
	}
}

// A missing permission is logged once, with what to grant, and makes the process
// unready if it cannot work without.
func TestWhatIsNotPermittedIsLoud(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		without string
		grant   string
		level   string
	}{
		"events":       {"backup.event.>", "publish on backup.event.>", "error"},
		"dead letters": {"backup.dlq.*", "publish on backup.dlq.>", "error"},
		"acks":         {"$JS.ACK.BACKUP_REQUESTS.backhaul.>", "publish on $JS.ACK.BACKUP_REQUESTS.backhaul.>", "error"},
		"pulls":        {"$JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul", "publish on $JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul", "error"},
		"a pause":      {"$JS.API.CONSUMER.PAUSE.BACKUP_REQUESTS.backhaul", "publish on $JS.API.CONSUMER.PAUSE.BACKUP_REQUESTS.backhaul", "warn"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := programtest.StartGuarded(t, c.without)
			s.StartRun(t)
			admin := programtest.AdminURL(t, s.Run)
			s.Sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: 8e9})
			s.Publish("backup.request.billing", nil, []byte(`{"clientName":"c"}`))
			s.Publish("backup.request.billing", nil, programtest.SampleRequest("denied-1"))
			s.Run.WaitFor(t, `"grant":"`+c.grant+`"`)
			if c.level == "error" {
				waittest.Eventually(t, "an answer that names the permission", func() bool {
					status, text := programtest.Probe(t, admin+"/readyz")
					return status == http.StatusServiceUnavailable && strings.Contains(text, "nats: not permitted by NATS; grant "+c.grant)
				})
			} else if _, text := programtest.Probe(t, admin+"/readyz?verbose"); strings.Contains(text, "not permitted") {
				t.Errorf("an optional permission makes it unready: %s", text)
			}
			s.Run.Signal(t, 15)
			s.Run.ExitCode()
			if lines := strings.Count(s.Run.Output.String(), "does not permit"); lines != 1 || !strings.Contains(s.Run.Output.String(), `{"level":"`+c.level+`","error":"nats: permissions violation`) {
				t.Errorf("%d lines about it, want one of level %s", lines, c.level)
			}
		})
	}
}

// A user who may not read the streams learns what is missing, not that the
// server is slow.
func TestNotPermittedToLookAtTheStreams(t *testing.T) {
	t.Parallel()
	s := programtest.StartGuarded(t, "$JS.API.STREAM.INFO.BACKUP_EVENTS")
	code, _, stderr := programtest.Once(t, s.Env, "", "run")
	if code != programtest.ExitFailed || !strings.Contains(stderr, "grant publish on $JS.API.STREAM.INFO.BACKUP_EVENTS") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// The role of an earlier version may not look at a stream that the service starts without.
func TestARoleWithoutAnOptionalStream(t *testing.T) {
	t.Parallel()
	s := programtest.StartGuarded(t, "$JS.API.STREAM.INFO.BACKUP_PROTECTION")
	s.StartRun(t)
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("older-1"))
	s.Run.WaitFor(t, `"requestId":"older-1"`)
	s.Run.WaitFor(t, `"grant":"publish on $JS.API.STREAM.INFO.BACKUP_PROTECTION"`)
}

// With --provision=false nothing is made, and what is missing is named.
func TestWithoutProvisioning(t *testing.T) {
	t.Parallel()
	g := programtest.GuardedServer(t)
	_, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	env := append(programtest.ServiceEnv("", endpoint), g.As("backhaul")...)
	code, _, stderr := programtest.Once(t, env, "", "run", "--provision=false")
	if code != programtest.ExitFailed || !strings.Contains(stderr, "does not exist; run `backhaul setup`") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// A trigger learns how its streams are made, with and without --provision.
func TestTrigger_saysHowItsStreamsAreMade(t *testing.T) {
	t.Parallel()
	g := programtest.GuardedServer(t)
	file := filepath.Join(t.TempDir(), "routes.yaml")
	programtest.PutFile(t, file, "routes:\n- {container: c, clientName: s-adhoc-object-storage, subclientName: stestgroup, window: {quiet: 1h, max: 2h, maxPaths: 2}}\n")
	env := append(programtest.CleanEnv(), append(g.As("trigger"), "BACKHAUL_TRIGGER_ROUTES="+file, "BACKHAUL_ADMIN_ADDR=off")...)
	for flag, says := range map[string]string{
		"--provision=false": "stream STORAGE_EVENTS does not exist; run `backhaul setup --trigger`, or allow --provision",
		"--provision=true":  "set --provision=false, or run `backhaul setup --trigger` as the provisioner",
	} {
		code, _, stderr := programtest.Once(t, env, "", "trigger", flag)
		if code != programtest.ExitFailed || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit code %d, want %d with %q in\n%s", flag, code, programtest.ExitFailed, says, stderr)
		}
	}
}
