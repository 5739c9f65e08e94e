package systemtest

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// A replica is frozen while the vendor delays its calls: some have started their
// job, some never will. Another replica looks, finds the jobs that are there,
// and waits until lease and visibility window are over to send the others again.
// Then the first one wakes up, with leases that have long ended and answers that
// no caller waits for, and writes nothing more.
func TestFrozenWhileTheVendorHoldsTheAnswer(t *testing.T) {
	t.Parallel()
	const each = 5
	url := programtest.NATSServer(t)
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World(), Conflict: simulator.ConflictIgnore})
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: append(programtest.ServiceEnv(url, endpoint),
		"BACKHAUL_VENDOR_TIMEOUT=3s", "BACKHAUL_VENDOR_VISIBILITY_WINDOW=1s")}
	if code, _, stderr := programtest.Once(t, s.Env, "", "setup"); code != programtest.ExitDone {
		t.Fatalf("setup: exit code %d: %s", code, stderr)
	}
	programtest.SetAckWait(t, s.JS, time.Second)
	s.StartRun(t)
	frozen := s.Run
	for range each {
		sim.Script(simulator.Fault{Kind: simulator.HangAfterStart}, simulator.Fault{Kind: simulator.Delay, For: time.Hour})
	}
	var ids []string
	for i := range 2 * each {
		ids = append(ids, fmt.Sprintf("frozen-%d", i))
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(ids[i]))
	}
	waittest.Eventually(t, "every call at the vendor", func() bool { return sim.Account().CreateTaskCalls >= 2*each })
	frozen.Signal(t, syscall.SIGSTOP)
	s.StartRun(t)
	s.WaitForOutcomes()
	before := s.Messages(publisher.EventsStream)

	frozen.Signal(t, syscall.SIGCONT)
	if code := frozen.Stop(t); code != programtest.ExitDone {
		t.Errorf("exit code %d of the replica that was frozen", code)
	}
	if after := s.Messages(publisher.EventsStream); after != before {
		t.Errorf("%d events after it woke up, %d before", after, before)
	}
	adopted := 0
	for _, id := range ids {
		if s.OneJob(id)["adopted"] == true {
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
