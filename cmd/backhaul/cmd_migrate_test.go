package main

import (
	"fmt"
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// From an embedded server that was killed in the middle of its work to another
// one: every request has exactly one job and one terminal event.
func TestMigrateFromEmbedded(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	dir := t.TempDir()
	embedded := append(programtest.ServiceEnv("", endpoint), "BACKHAUL_STORE_DIR="+dir, "BACKHAUL_NATS_LISTEN=127.0.0.1:0", "BACKHAUL_MAX_IN_FLIGHT=2")
	first := programtest.Start(t, embedded, "backhaul", "run")
	first.WaitFor(t, "reading requests")
	client := programtest.Connect(t, programtest.EmbeddedURL(t, first))
	publish := func(client *programtest.Client, ids ...string) {
		for _, id := range ids {
			client.Publish("backup.request.billing", nil, programtest.SampleRequest(id))
		}
	}
	publish(client, "done-1", "done-2")
	client.WaitForOutcomes()
	// One job whose answer never comes, one call that starts none, and more that wait.
	sim.Script(simulator.Fault{Kind: simulator.HangAfterStart}, simulator.Fault{Kind: simulator.Delay, For: 1 << 40})
	publish(client, "under-way-1")
	waittest.Eventually(t, "call of the first under way", func() bool { return sim.Account().CreateTaskCalls == 3 })
	publish(client, "under-way-2", "waits-1", "waits-2", "waits-3")
	waittest.Eventually(t, "two calls under way", func() bool { return sim.Account().CreateTaskCalls == 4 })

	url := programtest.NATSServer(t)
	move := []string{"migrate", "--from-store", dir, "--nats", url}
	if code, _, stderr := programtest.Once(t, nil, "", move...); code != exitUsage || !strings.Contains(stderr, "in use by another backhaul") {
		t.Errorf("while it runs: exit code %d, %s", code, stderr)
	}
	first.Kill()
	code, out, stderr := programtest.Once(t, nil, "", move...)
	if code != exitDone || strings.Count(out, "moved ") != 3 || !strings.Contains(out, "BACKUP_REQUESTS: 5 messages, last sequence 7") {
		t.Fatalf("migrate: exit code %d\n%s%s", code, out, stderr)
	}
	again := programtest.Start(t, embedded, "backhaul", "run")
	if code := again.ExitCode(); code != exitUsage || !strings.Contains(again.Output.String(), "moved to "+url) {
		t.Errorf("on the old store: exit code %d, %s", code, again.Output)
	}

	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: programtest.ServiceEnv(url, endpoint)}
	s.StartRun(t)
	publish(s.Client, "done-1", "waits-1", "new-1") // duplicates are known there as well
	s.WaitForOutcomes()
	for _, id := range []string{"done-1", "done-2", "under-way-1", "under-way-2", "waits-1", "waits-2", "waits-3", "new-1"} {
		event := s.OneJob(id)
		if adopted := fmt.Sprint(event["adopted"]); (adopted == "true") != (id == "under-way-1") {
			t.Errorf("%s: adopted is %s", id, adopted)
		}
	}
	if started := sim.Account().JobsStarted; started != 8 {
		t.Errorf("%d jobs, want 8", started)
	}
}

// What the trigger was collecting is asked for at the other end, what it had asked
// for is not asked for again.
func TestMigrateTheTrigger(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	dir := t.TempDir()
	first := programtest.Start(t, append(programtest.ServiceEnv("", endpoint), "BACKHAUL_STORE_DIR="+dir, "BACKHAUL_NATS_LISTEN=127.0.0.1:0"), "backhaul", "run")
	first.WaitFor(t, "reading requests")
	store := objectstoretest.Start(t, "lists")
	routes := func(quiet string) string {
		return "routes:\n- {container: c, clientName: s-adhoc-object-storage, subclientName: stestgroup, " +
			"window: {quiet: " + quiet + ", max: 2h, maxPaths: 2}, directive: {container: lists, prefix: l/}}\n"
	}
	client := programtest.Connect(t, programtest.EmbeddedURL(t, first))
	collects := programtest.Start(t, programtest.TriggerEnv(t, programtest.EmbeddedURL(t, first), store, routes("1h")), "backhaul", "trigger")
	collects.WaitFor(t, "reading notifications")
	for _, key := range []string{"1", "2", "3"} {
		client.Publish("storage.event.minio", nil, programtest.Notification("c", key))
	}
	collects.WaitFor(t, "backup requested")
	client.WaitForOutcomes()
	waittest.Eventually(t, "window with one change", func() bool { return client.Messages(publisher.StorageStream) == 1 })
	collects.Kill()
	first.Kill()

	url := programtest.NATSServer(t)
	code, out, stderr := programtest.Once(t, nil, "", "migrate", "--from-store", dir, "--nats", url)
	if code != exitDone || strings.Count(out, "moved ") != 5 || !strings.Contains(out, "STORAGE_EVENTS: 1 message, last sequence 3") {
		t.Fatalf("migrate: exit code %d\n%s%s", code, out, stderr)
	}
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: programtest.ServiceEnv(url, endpoint)}
	s.StartRun(t)
	s.Publish("storage.event.minio", nil, programtest.Notification("c", "4"))
	goesOn := programtest.Start(t, programtest.TriggerEnv(t, url, store, routes("500ms")), "backhaul", "trigger")
	goesOn.WaitFor(t, "backup requested")
	s.WaitForOutcomes()
	waittest.Eventually(t, "empty notification stream", func() bool { return s.Messages(publisher.StorageStream) == 0 })
	var listed []string
	for file := range store.Written() {
		if strings.HasSuffix(file, "/backhaul-check.txt") {
			continue // what the start tries
		}
		listed = append(listed, strings.Fields(store.Get("lists", strings.TrimPrefix(file, "/lists/")))...)
	}
	programtest.SameLines(t, "the changes", listed, []string{"/c/1", "/c/2", "/c/3", "/c/4"})
	if started := sim.Account().JobsStarted; started != 2 {
		t.Errorf("%d jobs, want 2", started)
	}
}

func TestMigrateNeedsAStore(t *testing.T) {
	t.Parallel()
	url := programtest.NATSServer(t)
	for _, c := range []struct {
		args   []string
		stderr string
	}{
		{[]string{"migrate", "--nats", url}, "--from-store"},
		{[]string{"migrate", "--from-store", t.TempDir(), "--nats", url}, "not the store directory"},
		{[]string{"migrate", "--from-store", t.TempDir()}, "--nats"},
	} {
		if code, _, stderr := programtest.Once(t, nil, "", c.args...); code != exitUsage || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%v: exit code %d, %s", c.args, code, stderr)
		}
	}
}
