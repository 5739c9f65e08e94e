package main

import (
	"strings"
	"testing"

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
	if code != exitDone || !strings.Contains(out, "3 put in doubt") {
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
