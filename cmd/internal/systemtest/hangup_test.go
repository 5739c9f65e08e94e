package systemtest

import (
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// A hangup does not end a service.
func TestHangup_DoesNotEndServices(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	_, url := programtest.NATSServerProcess(t)
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: programtest.ServiceEnv(url, endpoint)}
	s.StartRun(t)
	trigger := programtest.Start(t, programtest.TriggerEnv(t, url, objectstoretest.Start(t), "routes:\n- {container: a, clientName: c, subclientName: s}\n"), "backhaul", "trigger")
	trigger.WaitFor(t, "reading notifications")
	for p, want := range map[*programtest.Process]string{s.Run: "SIGHUP: nothing was read again", trigger: "routes unchanged"} {
		p.Signal(t, syscall.SIGHUP)
		p.WaitFor(t, want)
	}
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("after-hangup"))
	s.WaitForOutcomes()
	s.OneJob("after-hangup")
	for _, p := range []*programtest.Process{s.Run, trigger} {
		if code := p.Stop(t); code != programtest.ExitDone {
			t.Errorf("exit code %d\n%s", code, p.Output)
		}
	}
}

// A hangup ends a command of a terminal that is closed as Ctrl-C does.
func TestHangup_EndsCommandsInOrder(t *testing.T) {
	t.Parallel()
	// A child inherits an ignored SIGHUP, as under nohup, but not a handled one.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, syscall.SIGHUP)
	defer signal.Stop(handled)
	simulator := programtest.Start(t, nil, "backhaul", "simulator", "--listen", "127.0.0.1:0")
	simulator.WaitFor(t, "simulating Commvault")
	temp := t.TempDir()
	demo := programtest.Start(t, []string{"TMPDIR=" + temp}, "backhaul", "demo", "--keep-running")
	demo.WaitFor(t, "Still running")
	address := regexp.MustCompile(`http://\S+:\d+\n`).FindString(demo.Output.String()[strings.Index(demo.Output.String(), "The console page"):])
	if page, err := http.Get(strings.TrimSpace(address)); err != nil || page.StatusCode != http.StatusOK || page.Body.Close() != nil {
		t.Errorf("the console page at %q: %v, %v", address, page, err)
	}
	for p, want := range map[*programtest.Process]string{simulator: "simulator stopped", demo: "Still running"} {
		p.Signal(t, syscall.SIGHUP)
		if code := p.ExitCode(); code != programtest.ExitDone {
			t.Errorf("exit code %d\n%s", code, p.Output)
		}
		p.WaitFor(t, want)
	}
	if left, err := filepath.Glob(filepath.Join(temp, "*")); err != nil || len(left) > 0 {
		t.Errorf("the demo left %q (%v)", left, err)
	}
}
