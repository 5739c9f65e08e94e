package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// A service that starts before JetStream answers waits for it: alive, not ready,
// and told to stop it stops.
func TestStartWaitsForJetStream(t *testing.T) {
	t.Parallel()
	dir, address := t.TempDir(), freeAddress(t)
	file := filepath.Join(dir, "nats.conf")
	write := func(text string) {
		if err := os.WriteFile(file, fmt.Appendf(nil, "listen: %s\n%s", address, text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	server := start(t, nil, "nats-server", "-c", file)
	server.waitFor(t, "Server is ready")
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world()})
	service := &service{plainClient: connectPlainly(t, "nats://"+address), sim: sim, env: serviceEnv("nats://"+address, endpoint)}

	admin := [2]string{freeAddress(t), freeAddress(t)}
	routes := "routes:\n- {container: a, clientName: c, subclientName: s}\n"
	runEnv := append(service.env, "BACKHAUL_ADMIN_ADDR="+admin[0])
	triggerEnv := append(triggerEnv(t, "nats://"+address, objectstoretest.Start(t), routes), "BACKHAUL_ADMIN_ADDR="+admin[1])
	stopped := start(t, service.env, "backhaul", "run")
	waiting := []*process{stopped, start(t, runEnv, "backhaul", "run"), start(t, triggerEnv, "backhaul", "trigger")}
	for _, p := range waiting {
		p.waitFor(t, "JetStream does not answer yet")
		p.signal(t, syscall.SIGHUP) // which ends none of them
	}
	for _, a := range admin {
		waitForStatus(t, "http://"+a+"/livez", http.StatusOK)
		if status, text := probe(t, "http://"+a+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(text, "starting: JetStream does not answer yet") {
			t.Errorf("/readyz answers %d %s", status, text)
		}
	}
	if code, _, stderr := once(t, service.env, "", "setup"); code != exitUnreachable || !strings.Contains(stderr, "JetStream is out of reach") {
		t.Errorf("setup without JetStream: exit code %d, %s", code, stderr)
	}
	if code := stopped.stop(t); code != exitInterrupted {
		t.Errorf("stopped while it waits: exit code %d", code)
	}

	write("jetstream: {store_dir: '" + dir + "'}")
	server.signal(t, syscall.SIGHUP)
	for _, a := range admin {
		waitForStatus(t, "http://"+a+"/readyz", http.StatusOK)
	}
	service.publish("backup.request.billing", nil, sampleRequest("r-1"))
	service.waitForOutcomes()
	service.oneJob("r-1")
}
