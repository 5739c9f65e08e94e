package main

import (
	"path/filepath"
	"syscall"
	"testing"

	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// A hangup does not end a service that has nothing to read again.
func TestHangup_DoesNotEndServices(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world()})
	_, url := natsServerProcess(t)
	s := &service{plainClient: connectPlainly(t, url), sim: sim, env: serviceEnv(url, endpoint)}
	s.startRun(t)
	trigger := start(t, triggerEnv(t, url, objectstoretest.Start(t), "routes:\n- {container: a, clientName: c, subclientName: s}\n"), "backhaul", "trigger")
	trigger.waitFor(t, "reading notifications")
	for _, p := range []*process{s.run, trigger} {
		p.signal(t, syscall.SIGHUP)
		p.waitFor(t, "SIGHUP: nothing was read again")
	}
	s.publish("backup.request.billing", nil, sampleRequest("after-hangup"))
	s.waitForOutcomes()
	s.oneJob("after-hangup")
	for _, p := range []*process{s.run, trigger} {
		if code := p.stop(t); code != exitDone {
			t.Errorf("exit code %d\n%s", code, p.output)
		}
	}
}

// A hangup ends a command of a terminal that is closed as Ctrl-C does.
func TestHangup_EndsCommandsInOrder(t *testing.T) {
	t.Parallel()
	simulator := start(t, nil, "backhaul", "simulator", "--listen", "127.0.0.1:0")
	simulator.waitFor(t, "simulating Commvault")
	temp := t.TempDir()
	demo := start(t, []string{"TMPDIR=" + temp}, "backhaul", "demo", "--keep-running")
	demo.waitFor(t, "Still running")
	for p, want := range map[*process]string{simulator: "simulator stopped", demo: "Still running"} {
		p.signal(t, syscall.SIGHUP)
		if code := p.exitCode(); code != exitDone {
			t.Errorf("exit code %d\n%s", code, p.output)
		}
		p.waitFor(t, want)
	}
	if left, err := filepath.Glob(filepath.Join(temp, "*")); err != nil || len(left) > 0 {
		t.Errorf("the demo left %q (%v)", left, err)
	}
}
