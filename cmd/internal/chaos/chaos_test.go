package chaos

import (
	"context"
	"flag"
	"testing"
	"time"
)

// TestChaos lets replicas be killed and frozen, the broker be killed and the
// vendor misbehave, all at once, and then judges from the outside what became of
// every request: from the stored events and from the vendor's own account. The
// defaults are a short run; `make chaos` is a long one.
//
//	chaos_plan_test.go     the requests and the faults, from the seed
//	chaos_run_test.go      does it, and collects the evidence
//	chaos_process_test.go  programs that are killed and come back
//	chaos_vendor_test.go   the simulated vendor, with a log of its calls
//	chaos_publish_test.go  the upstream system: a plain client
//	chaos_evidence_test.go reads the streams
//	cancel_test.go         operators who cancel requests
//	chaos_judge_test.go    which promises were broken
//	chaos_figures_test.go  how long it took
//	chaos_report_test.go   prints it

// chaosFlags are the flags of TestChaos.
var chaosFlags = struct {
	requests, replicas      *int
	scarce                  *int
	cancel                  *float64
	rate                    *float64
	seed                    *int64
	kill, freeze, broker    *time.Duration
	drain                   *time.Duration
	visible                 *time.Duration
	hide                    *bool
	faults, json, dir       *string
	replicaBinary, logLevel *string
}{
	requests: flag.Int("chaos.requests", 300, "requests to publish"),
	replicas: flag.Int("chaos.replicas", 2, "replicas of backhaul run"),
	scarce:   flag.Int("chaos.scarce", 0, "starts of each replica in a second, so that requests are picked by priority, which each has then; 0 for no limit"),
	cancel:   flag.Float64("chaos.cancel", 0.05, "share of requests that an operator tries to cancel, at once or up to 2 s later"),
	rate:     flag.Float64("chaos.rate", 100, "requests per second"),
	seed:     flag.Int64("chaos.seed", 1, "of everything that happens by chance"),
	kill:     flag.Duration("chaos.kill", time.Second, "kill a replica about this often, 0 never"),
	freeze:   flag.Duration("chaos.freeze", 0, "freeze a replica about this often, 0 never"),
	broker:   flag.Duration("chaos.broker", 10*time.Second, "kill the broker this often, 0 never"),
	drain:    flag.Duration("chaos.drain", 2*time.Minute, "how long requests may be under way after the last one"),
	visible:  flag.Duration("chaos.visible-after", time.Second, "how long the vendor does not show a job that it started; the replicas allow 3 s"),
	hide:     flag.Bool("chaos.hide-descriptions", false, "the vendor shows no job descriptions: OUTCOME_UNKNOWN is allowed, a second job is not"),
	faults:   flag.String("chaos.faults", chaosVendorFaults, "the vendor's faults, as for backhaul simulator --fault"),
	json:     flag.String("chaos.json", "", "also write the result to this file, as JSON"),
	dir:      flag.String("chaos.dir", "", "keep logs, the broker's store and the events in a new directory below this one"),

	replicaBinary: flag.String("chaos.binary", "", "program to run as replicas, such as one built with -race; built without by default"),
	logLevel:      flag.String("chaos.log-level", "info", "of the replicas"),
}

// chaosVendorFaults is what goes wrong with a call by chance. Sessions end by
// plan, see chaosPlan.
const chaosVendorFaults = "hang-after-start=0.05,cut-after-start=0.05,503=0.05:1s,500=0.01,malformed-after-start=0.01"

func TestChaos(t *testing.T) {
	if *chaosFlags.requests < 1 || *chaosFlags.replicas < 1 || *chaosFlags.rate <= 0 {
		t.Fatal("-chaos.requests, -chaos.replicas and -chaos.rate must be above 0")
	}
	plan := newChaosPlan(chaosSettings{
		Requests: *chaosFlags.requests, Rate: *chaosFlags.rate, Replicas: *chaosFlags.replicas, Seed: *chaosFlags.seed,
		Kill: *chaosFlags.kill, Freeze: *chaosFlags.freeze, Broker: *chaosFlags.broker,
		Faults: *chaosFlags.faults, VisibleAfter: *chaosFlags.visible, HideDescriptions: *chaosFlags.hide,
		Scarce: *chaosFlags.scarce, Cancel: *chaosFlags.cancel,
	})
	ctx, cancel := context.WithTimeout(t.Context(), plan.length+*chaosFlags.drain+2*time.Minute)
	defer cancel()

	run := startChaos(t, plan)
	run.publishAndInflict(ctx)
	run.drain(ctx, *chaosFlags.drain)
	run.stopReplicas()

	evidence := run.collect(ctx)
	findings := judgeChaos(evidence)
	result := newChaosResult(evidence, findings)
	run.report(t, evidence, result)
}
