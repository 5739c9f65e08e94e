package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// A replica is frozen while the vendor holds its calls: some have started their
// job, some never will. Another replica looks, finds the jobs that are there,
// and waits until lease and visibility window are over to send the others again.
// Then the first one wakes up, with leases that have long ended and answers that
// nobody waits for, and has nothing more to say.
func TestFrozenWhileTheVendorHoldsTheAnswer(t *testing.T) {
	t.Parallel()
	const each = 5
	url := natsServer(t)
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world(), Conflict: simulator.ConflictIgnore})
	s := &service{plainClient: connectPlainly(t, url), sim: sim, env: append(serviceEnv(url, endpoint),
		"BACKHAUL_VENDOR_TIMEOUT=3s", "BACKHAUL_VENDOR_VISIBILITY_WINDOW=1s")}
	if code, _, stderr := once(t, s.env, "", "setup"); code != exitDone {
		t.Fatalf("setup: exit code %d: %s", code, stderr)
	}
	setAckWait(t, s.js, time.Second)
	s.startRun(t)
	frozen := s.run
	for range each {
		sim.Script(simulator.Fault{Kind: simulator.HangAfterStart}, simulator.Fault{Kind: simulator.Delay, For: time.Hour})
	}
	var ids []string
	for i := range 2 * each {
		ids = append(ids, fmt.Sprintf("frozen-%d", i))
		s.publish("backup.request.billing", nil, sampleRequest(ids[i]))
	}
	eventually(t, "every call at the vendor", func() bool { return sim.Account().CreateTaskCalls >= 2*each })
	frozen.signal(t, syscall.SIGSTOP)
	s.startRun(t)
	s.waitForOutcomes()
	before := s.messages(publisher.EventsStream)

	frozen.signal(t, syscall.SIGCONT)
	if code := frozen.stop(t); code != exitDone {
		t.Errorf("exit code %d of the replica that was frozen", code)
	}
	if after := s.messages(publisher.EventsStream); after != before {
		t.Errorf("%d events after it woke up, %d before", after, before)
	}
	adopted := 0
	for _, id := range ids {
		if s.oneJob(id)["adopted"] == true {
			adopted++
		}
	}
	if adopted != each {
		t.Errorf("%d jobs were adopted, want the %d that had been started before the freeze", adopted, each)
	}
	if got := sim.Account().JobsStarted; got != len(ids) {
		t.Errorf("%d jobs, want %d", got, len(ids))
	}
}
