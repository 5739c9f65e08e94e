package systemtest

import (
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
)

// Both streams are lost and restored from snapshots that were taken while requests
// were half done. Publishers send everything again. No job is started twice.
func TestRestoreFromSnapshots(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("before"))
	s.WaitForOutcomes()
	if code, _, stderr := programtest.Once(t, s.Env, "", "recover"); code != programtest.ExitFailed || !strings.Contains(stderr, "stop every `backhaul run` first") {
		t.Errorf("while it runs: exit code %d, %s", code, stderr)
	}
	// One job whose answer never comes is under way when the snapshots are taken.
	s.Sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("under-way"))
	waittest.Eventually(t, "call", func() bool { return s.Sim.Account().CreateTaskCalls == 2 })
	kept := []*natstest.Snapshot{
		natstest.TakeSnapshot(t, s.NC, publisher.EventsStream), natstest.TakeSnapshot(t, s.NC, publisher.RequestsStream),
	}
	for _, id := range []string{"after-1", "after-2"} {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(id))
	}
	s.WaitForOutcomes()
	s.Run.Kill()

	for _, stream := range []string{publisher.EventsStream, publisher.RequestsStream} {
		if err := s.JS.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	for _, snapshot := range kept {
		snapshot.Restore(t, s.NC)
	}
	all := []string{"before", "under-way", "after-1", "after-2", "new"}
	for _, id := range all {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(id))
	}
	code, out, stderr := programtest.Once(t, s.Env, "", "recover")
	if code != programtest.ExitDone || !strings.Contains(out, "4 put in doubt") {
		t.Fatalf("recover: exit code %d\n%s%s", code, out, stderr)
	}
	s.StartRun(t)
	s.WaitForOutcomes()
	for _, id := range all {
		s.OneJob(id)
	}
	if started := s.Sim.Account().JobsStarted; started != len(all) {
		t.Errorf("%d jobs, want %d", started, len(all))
	}
}

// The trigger sends again what it decided, when it finds the notifications of it: before
// the ledger is made safe, or their job would be started twice.
func TestRestoreWithTheTrigger(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	env := programtest.TriggerEnv(t, s.NC.ConnectedUrl(), objectstoretest.Start(t, "lists"), `routes:
- {container: c, clientName: s-adhoc-object-storage, subclientName: stestgroup, window: {quiet: 1h, max: 2h, maxPaths: 2}, directive: {container: lists, prefix: backhaul/}}
`)
	if code, _, stderr := programtest.Once(t, s.Env, "", "setup", "--trigger"); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	for _, key := range []string{"1", "2"} {
		s.Publish("storage.event.minio", nil, programtest.Notification("c", key))
	}
	restored := []string{publisher.EventsStream, publisher.RequestsStream, publisher.StorageStream}
	var kept []*natstest.Snapshot
	for _, stream := range restored {
		kept = append(kept, natstest.TakeSnapshot(t, s.NC, stream))
	}
	before := programtest.Start(t, env, "backhaul", "trigger")
	before.WaitFor(t, "backup requested")
	s.WaitForOutcomes()
	before.Kill()
	s.Run.Kill()
	for i, stream := range restored {
		if err := s.JS.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
		kept[i].Restore(t, s.NC)
	}
	s.Publish("storage.event.minio", nil, programtest.Notification("c", "3"))

	if code, _, stderr := programtest.Once(t, s.Env, "", "recover"); code != programtest.ExitFailed || !strings.Contains(stderr, "3 notifications wait for `backhaul trigger`") {
		t.Errorf("before the trigger has sent: exit code %d, %s", code, stderr)
	}
	again := programtest.Start(t, env, "backhaul", "trigger")
	again.WaitFor(t, "published again")
	code, out, stderr := programtest.Once(t, s.Env, "", "recover")
	if code != programtest.ExitDone || !strings.Contains(out, "1 put in doubt") {
		t.Fatalf("recover: exit code %d\n%s%s", code, out, stderr)
	}
	s.StartRun(t)
	s.WaitForOutcomes()
	if started := s.Sim.Account().JobsStarted; started != 1 {
		t.Errorf("%d jobs, want 1", started)
	}
	s.Publish("storage.event.minio", nil, programtest.Notification("c", "4"))
	again.WaitFor(t, "backup requested")
	s.WaitForOutcomes()
	if started := s.Sim.Account().JobsStarted; started != 2 {
		t.Errorf("%d jobs, want one more", started)
	}
}

// The events stream is deleted and set up again while the service runs: everything that
// tells of the service says so, nothing is started, and `recover` is the way out.
func TestALostLedger(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	admin := programtest.AdminURL(t, s.Run)
	for _, id := range []string{"one", "two"} {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(id))
	}
	s.WaitForOutcomes()
	if err := s.JS.DeleteStream(t.Context(), publisher.EventsStream); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := programtest.Once(t, s.Env, "", "setup"); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("one"))
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("three"))
	s.Run.WaitFor(t, "nothing is claimed; run `backhaul recover`")
	if _, text := programtest.Probe(t, admin+"/readyz?verbose"); !strings.Contains(text, `"name":"ledger","ok":false,"condition":true,"holdsUp":true,"error":"the ledger cannot be relied on`) {
		t.Errorf("readyz: %s", text)
	}
	if code, out, _ := programtest.Once(t, s.Env, "", "status"); code != programtest.ExitDone || !strings.Contains(out, "nothing is claimed until `backhaul recover` accepts it") {
		t.Errorf("status: exit code %d, %s", code, out)
	}
	if code, out, _ := programtest.Once(t, s.Env, "", "check"); code != programtest.ExitFailed || !strings.Contains(out, "not the one that the service knows") {
		t.Errorf("check: exit code %d, %s", code, out)
	}
	waittest.Eventually(t, "a recover that is not refused", func() bool {
		code, out, _ := programtest.Once(t, s.Env, "", "recover")
		return code == programtest.ExitDone && strings.Contains(out, "the ledger is accepted as it is")
	})
	s.WaitForOutcomes()
	for _, id := range []string{"one", "three"} {
		s.OneJob(id)
	}
	s.Run.WaitFor(t, "the ledger is relied on again")
}
