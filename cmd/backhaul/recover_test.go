package main

import (
	"strings"
	"testing"

	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/vendorapi/simulator"
)

// Both streams are lost and restored from snapshots that were taken while requests
// were half done. Publishers send everything again. No job is started twice.
func TestRestoreFromSnapshots(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	s.publish("backup.request.billing", nil, sampleRequest("before"))
	s.waitForOutcomes()
	if code, _, stderr := once(t, s.env, "", "recover"); code != exitFailed || !strings.Contains(stderr, "stop every `backhaul run` first") {
		t.Errorf("while it runs: exit code %d, %s", code, stderr)
	}
	// One job whose answer never comes is under way when the snapshots are taken.
	s.sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
	s.publish("backup.request.billing", nil, sampleRequest("under-way"))
	eventually(t, "call", func() bool { return s.sim.Account().CreateTaskCalls == 2 })
	kept := []*natstest.Snapshot{
		natstest.TakeSnapshot(t, s.nc, publisher.EventsStream), natstest.TakeSnapshot(t, s.nc, publisher.RequestsStream),
	}
	for _, id := range []string{"after-1", "after-2"} {
		s.publish("backup.request.billing", nil, sampleRequest(id))
	}
	s.waitForOutcomes()
	s.run.kill()

	for _, stream := range []string{publisher.EventsStream, publisher.RequestsStream} {
		if err := s.js.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	for _, snapshot := range kept {
		snapshot.Restore(t, s.nc)
	}
	all := []string{"before", "under-way", "after-1", "after-2", "new"}
	for _, id := range all {
		s.publish("backup.request.billing", nil, sampleRequest(id))
	}
	code, out, stderr := once(t, s.env, "", "recover")
	if code != exitDone || !strings.Contains(out, "4 put in doubt") {
		t.Fatalf("recover: exit code %d\n%s%s", code, out, stderr)
	}
	s.startRun(t)
	s.waitForOutcomes()
	for _, id := range all {
		s.oneJob(id)
	}
	if started := s.sim.Account().JobsStarted; started != len(all) {
		t.Errorf("%d jobs, want %d", started, len(all))
	}
}

// The trigger sends again what it decided, when it finds the notifications of it: before
// the ledger is made safe, or their job would be started twice.
func TestRestoreWithTheTrigger(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	env := triggerEnv(t, s.nc.ConnectedUrl(), objectstoretest.Start(t), `routes:
- {container: c, clientName: s-adhoc-object-storage, subclientName: stestgroup, window: {quiet: 1h, max: 2h, maxPaths: 2}}
`)
	if code, _, stderr := once(t, s.env, "", "setup", "--trigger"); code != exitDone {
		t.Fatal(stderr)
	}
	for _, key := range []string{"1", "2"} {
		s.publish("storage.event.minio", nil, notification("c", key))
	}
	restored := []string{publisher.EventsStream, publisher.RequestsStream, publisher.StorageStream}
	var kept []*natstest.Snapshot
	for _, stream := range restored {
		kept = append(kept, natstest.TakeSnapshot(t, s.nc, stream))
	}
	before := start(t, env, "backhaul", "trigger")
	before.waitFor(t, "backup requested")
	s.waitForOutcomes()
	before.kill()
	s.run.kill()
	for i, stream := range restored {
		if err := s.js.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
		kept[i].Restore(t, s.nc)
	}
	s.publish("storage.event.minio", nil, notification("c", "3"))

	if code, _, stderr := once(t, s.env, "", "recover"); code != exitFailed || !strings.Contains(stderr, "3 notifications wait for `backhaul trigger`") {
		t.Errorf("before the trigger has sent: exit code %d, %s", code, stderr)
	}
	again := start(t, env, "backhaul", "trigger")
	again.waitFor(t, "published again")
	code, out, stderr := once(t, s.env, "", "recover")
	if code != exitDone || !strings.Contains(out, "1 put in doubt") {
		t.Fatalf("recover: exit code %d\n%s%s", code, out, stderr)
	}
	s.startRun(t)
	s.waitForOutcomes()
	if started := s.sim.Account().JobsStarted; started != 1 {
		t.Errorf("%d jobs, want 1", started)
	}
	s.publish("storage.event.minio", nil, notification("c", "4"))
	again.waitFor(t, "backup requested")
	s.waitForOutcomes()
	if started := s.sim.Account().JobsStarted; started != 2 {
		t.Errorf("%d jobs, want one more", started)
	}
}

// The events stream is deleted and set up again while the service runs: everything that
// tells of the service says so, nothing is started, and `recover` is the way out.
func TestALostLedger(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	admin := adminURL(t, s.run)
	for _, id := range []string{"one", "two"} {
		s.publish("backup.request.billing", nil, sampleRequest(id))
	}
	s.waitForOutcomes()
	if err := s.js.DeleteStream(t.Context(), publisher.EventsStream); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := once(t, s.env, "", "setup"); code != exitDone {
		t.Fatal(stderr)
	}
	s.publish("backup.request.billing", nil, sampleRequest("one"))
	s.publish("backup.request.billing", nil, sampleRequest("three"))
	s.run.waitFor(t, "nothing is claimed; run `backhaul recover`")
	if _, text := probe(t, admin+"/readyz?verbose"); !strings.Contains(text, `"name":"ledger","ok":false,"condition":true,"error":"the ledger cannot be relied on`) {
		t.Errorf("readyz: %s", text)
	}
	if code, out, _ := once(t, s.env, "", "status"); code != exitDone || !strings.Contains(out, "nothing is claimed until `backhaul recover` accepts it") {
		t.Errorf("status: exit code %d, %s", code, out)
	}
	if code, out, _ := once(t, s.env, "", "check"); code != exitFailed || !strings.Contains(out, "not the one that the service knows") {
		t.Errorf("check: exit code %d, %s", code, out)
	}
	eventually(t, "a recover that is not refused", func() bool {
		code, out, _ := once(t, s.env, "", "recover")
		return code == exitDone && strings.Contains(out, "the ledger is accepted as it is")
	})
	s.waitForOutcomes()
	for _, id := range []string{"one", "three"} {
		s.oneJob(id)
	}
	s.run.waitFor(t, "the ledger is relied on again")
}
