package chaos

import (
	"context"
	"flag"
	"testing"
	"time"
)

var (
	ackWaitRequests = flag.Int("ackwait.requests", 40, "requests of TestRetriesOutlastTheAckWait")
	// A call that waits for its connection when another is told to wait still goes
	// out. On a busy machine that takes a while; a long wait distinguishes the two.
	ackWaitFaults = flag.String("ackwait.faults", "slow=1.5s,503=0.4:3s", "the vendor's faults in TestRetriesOutlastTheAckWait")
)

// A vendor that takes 1.5 s and sends four of ten calls away makes many requests
// take longer than the acknowledgement wait, which is shorter than as shipped
// here, with another replica and copies of requests at the same time. No job is started
// twice, no claim is taken from an owner that is alive, and the waits that the
// vendor announced are kept.
func TestRetriesOutlastTheAckWait(t *testing.T) {
	t.Parallel()
	const ackWait = 3 * time.Second
	plan := newChaosPlan(chaosSettings{
		Requests: *ackWaitRequests, Rate: 200, Replicas: 2, Seed: 1,
		Faults: *ackWaitFaults, AckWait: ackWait, Env: []string{"BACKHAUL_VENDOR_TIMEOUT=10s"},
	})
	patience := time.Minute + time.Duration(*ackWaitRequests)*time.Second
	ctx, cancel := context.WithTimeout(t.Context(), plan.length+patience+2*time.Minute)
	defer cancel()
	run := startChaos(t, plan)
	run.publishAndInflict(ctx)
	run.drain(ctx, patience)
	run.stopReplicas()

	evidence := run.collect(ctx)
	result := newChaosResult(evidence, judgeChaos(evidence))
	run.report(t, evidence, result)
	longer := 0
	for id, s := range evidence.histories() {
		for i, claim := range s.claims[1:] {
			if before := s.claims[i]; claim.Epoch > before.Epoch && before.LeaseMillis > 0 {
				t.Errorf("%s: %s took the claim of %s, which is alive", id, claim.Owner, before.Owner)
			}
		}
		if len(s.terminals) > 0 && s.terminals[0].Stored.Sub(s.events[0].Stored) > ackWait {
			longer++
		}
	}
	if longer == 0 {
		t.Errorf("no request was in work for longer than %s: the test shows nothing", ackWait)
	}
	t.Logf("%d of %d requests were in work for longer than %s", longer, len(evidence.Requests), ackWait)
}
