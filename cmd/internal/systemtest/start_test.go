package systemtest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// A service that starts before JetStream answers waits for it: alive, not ready,
// and stops when asked to.
func TestStartWaitsForJetStream(t *testing.T) {
	t.Parallel()
	dir, address := t.TempDir(), programtest.FreeAddress(t)
	file := filepath.Join(dir, "nats.conf")
	write := func(text string) {
		if err := os.WriteFile(file, fmt.Appendf(nil, "listen: %s\n%s", address, text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	server := programtest.Start(t, nil, "nats-server", "-c", file)
	server.WaitFor(t, "Server is ready")
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	service := &programtest.Service{Client: programtest.Connect(t, "nats://"+address), Sim: sim, Env: programtest.ServiceEnv("nats://"+address, endpoint)}

	admin := [2]string{programtest.FreeAddress(t), programtest.FreeAddress(t)}
	routes := "routes:\n- {container: a, clientName: c, subclientName: s}\n"
	runEnv := append(service.Env, "BACKHAUL_ADMIN_ADDR="+admin[0])
	triggerEnv := append(programtest.TriggerEnv(t, "nats://"+address, objectstoretest.Start(t), routes), "BACKHAUL_ADMIN_ADDR="+admin[1])
	stopped := programtest.Start(t, service.Env, "backhaul", "run")
	waiting := []*programtest.Process{stopped, programtest.Start(t, runEnv, "backhaul", "run"), programtest.Start(t, triggerEnv, "backhaul", "trigger")}
	for _, p := range waiting {
		p.WaitFor(t, "JetStream does not answer yet")
		p.Signal(t, syscall.SIGHUP) // which ends none of them
	}
	for _, a := range admin {
		programtest.WaitForStatus(t, "http://"+a+"/livez", http.StatusOK)
		if status, text := programtest.Probe(t, "http://"+a+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(text, "starting: JetStream does not answer yet") {
			t.Errorf("/readyz answers %d %s", status, text)
		}
	}
	if code, _, stderr := programtest.Once(t, service.Env, "", "setup"); code != programtest.ExitUnreachable || !strings.Contains(stderr, "JetStream is out of reach") {
		t.Errorf("setup without JetStream: exit code %d, %s", code, stderr)
	}
	if code := stopped.Stop(t); code != programtest.ExitInterrupted {
		t.Errorf("stopped while it waits: exit code %d", code)
	}

	write("jetstream: {store_dir: '" + dir + "'}")
	server.Signal(t, syscall.SIGHUP)
	for _, a := range admin {
		programtest.WaitForStatus(t, "http://"+a+"/readyz", http.StatusOK)
	}
	service.Publish("backup.request.billing", nil, programtest.SampleRequest("r-1"))
	service.WaitForOutcomes()
	service.OneJob("r-1")
}
