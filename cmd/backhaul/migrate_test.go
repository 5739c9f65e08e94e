package main

import (
	"fmt"
	"strings"
	"testing"

	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// From an embedded server that was killed in the middle of its work to another
// one: every request has exactly one job and one terminal event.
func TestMigrateFromEmbedded(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world()})
	dir := t.TempDir()
	embedded := append(serviceEnv("", endpoint), "BACKHAUL_STORE_DIR="+dir, "BACKHAUL_NATS_LISTEN=127.0.0.1:0", "BACKHAUL_MAX_IN_FLIGHT=2")
	first := start(t, embedded, "backhaul", "run")
	first.waitFor(t, "reading requests")
	client := connectPlainly(t, embeddedURL(t, first))
	publish := func(client *plainClient, ids ...string) {
		for _, id := range ids {
			client.publish("backup.request.billing", nil, sampleRequest(id))
		}
	}
	publish(client, "done-1", "done-2")
	client.waitForOutcomes()
	// One job whose answer never comes, one call that starts none, and more that wait.
	sim.Script(simulator.Fault{Kind: simulator.HangAfterStart}, simulator.Fault{Kind: simulator.Delay, For: 1 << 40})
	publish(client, "under-way-1")
	eventually(t, "call of the first under way", func() bool { return sim.Account().CreateTaskCalls == 3 })
	publish(client, "under-way-2", "waits-1", "waits-2", "waits-3")
	eventually(t, "two calls under way", func() bool { return sim.Account().CreateTaskCalls == 4 })

	url := natsServer(t)
	move := []string{"migrate", "--from-store", dir, "--nats", url}
	if code, _, stderr := once(t, nil, "", move...); code != exitUsage || !strings.Contains(stderr, "in use by another backhaul") {
		t.Errorf("while it runs: exit code %d, %s", code, stderr)
	}
	first.kill()
	code, out, stderr := once(t, nil, "", move...)
	if code != exitDone || strings.Count(out, "moved ") != 3 || !strings.Contains(out, "BACKUP_REQUESTS: 5 messages, last sequence 7") {
		t.Fatalf("migrate: exit code %d\n%s%s", code, out, stderr)
	}
	again := start(t, embedded, "backhaul", "run")
	if code := again.exitCode(); code != exitUsage || !strings.Contains(again.output.String(), "moved to "+url) {
		t.Errorf("on the old store: exit code %d, %s", code, again.output)
	}

	s := &service{plainClient: connectPlainly(t, url), sim: sim, env: serviceEnv(url, endpoint)}
	s.startRun(t)
	publish(s.plainClient, "done-1", "waits-1", "new-1") // duplicates are known there as well
	s.waitForOutcomes()
	for _, id := range []string{"done-1", "done-2", "under-way-1", "under-way-2", "waits-1", "waits-2", "waits-3", "new-1"} {
		event := s.oneJob(id)
		if adopted := fmt.Sprint(event["adopted"]); (adopted == "true") != (id == "under-way-1") {
			t.Errorf("%s: adopted is %s", id, adopted)
		}
	}
	if started := sim.Account().JobsStarted; started != 8 {
		t.Errorf("%d jobs, want 8", started)
	}
}

func TestMigrateNeedsAStore(t *testing.T) {
	t.Parallel()
	url := natsServer(t)
	for _, c := range []struct {
		args   []string
		stderr string
	}{
		{[]string{"migrate", "--nats", url}, "--from-store"},
		{[]string{"migrate", "--from-store", t.TempDir(), "--nats", url}, "no store directory"},
		{[]string{"migrate", "--from-store", t.TempDir()}, "--nats"},
	} {
		if code, _, stderr := once(t, nil, "", c.args...); code != exitUsage || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%v: exit code %d, %s", c.args, code, stderr)
		}
	}
}
