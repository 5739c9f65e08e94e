package chaos

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// TestFollowChaos follows jobs to their end while replicas are killed and frozen, the broker is
// killed, and reads at the vendor are throttled, cut, slow or in another spelling. The jobs wait,
// flap, are hidden, age, are pruned, run again under a new id, and have statuses that nobody
// knows. It then judges from the outside what is on record about each of them. The defaults are
// a short run without ends that lists do not show; `make follow-chaos` is a long one.
//
//	follow_lives_test.go    what the jobs go through at the vendor
//	follow_judge_test.go    which promises were broken
//	follow_verdict_test.go  that the judge finds each
//	follow_figures_test.go  in numbers

// followFlags are the flags of TestFollowChaos.
var followFlags = struct {
	jobs, replicas              *int
	rate                        *float64
	seed                        *int64
	kill, freeze, broker        *time.Duration
	interval, givenUp, patience *time.Duration
	late                        *bool
	faults                      *string
}{
	jobs:     flag.Int("follow.jobs", 200, "requests to publish"),
	replicas: flag.Int("follow.replicas", 3, "replicas of backhaul run"),
	rate:     flag.Float64("follow.rate", 50, "requests per second"),
	seed:     flag.Int64("follow.seed", 1, "of everything that happens by chance"),
	kill:     flag.Duration("follow.kill", 2*time.Second, "kill a replica about this often, 0 never"),
	freeze:   flag.Duration("follow.freeze", 4*time.Second, "freeze a replica about this often, 0 never"),
	broker:   flag.Duration("follow.broker", 5*time.Second, "kill the broker this often, 0 never"),
	interval: flag.Duration("follow.interval", 200*time.Millisecond, "between two lists"),
	late:     flag.Bool("follow.late", false, "with ends that lists do not show, which takes minutes"),
	givenUp:  flag.Duration("follow.for", time.Hour, "how long a job is followed"),
	patience: flag.Duration("follow.patience", 2*time.Minute, "how long ends may be missing after the last fault"),
	faults:   flag.String("follow.faults", followFaults, "the vendor's faults, as for backhaul simulator --fault"),
}

// followFaults is what goes wrong with a call by chance.
const followFaults = "cut-after-start=0.03,503=0.02:1s,Reads/429=0.03:1s,Reads/503=0.03:1s,Reads/500=0.02,Reads/slow=0.05:700ms," +
	"JobList/cut-list=0.05,JobList/half-body=0.03,JobList/one-object=0.1,JobList/text-numbers=0.1,JobList/old-json=0.02"

// followTail is how long faults go on after the last request, so that jobs end under them.
const followTail = 8 * time.Second

func TestFollowChaos(t *testing.T) {
	t.Parallel()
	lives := livesOf(*followFlags.late)
	plan := newChaosPlan(chaosSettings{
		Requests: *followFlags.jobs, Rate: *followFlags.rate, Replicas: *followFlags.replicas, Seed: *followFlags.seed,
		Kill: *followFlags.kill, Freeze: *followFlags.freeze, Broker: *followFlags.broker, Tail: followTail,
		Faults: *followFlags.faults, VisibleAfter: time.Second,
		Env: []string{
			"BACKHAUL_FOLLOW_INTERVAL_MIN=" + followFlags.interval.String(), "BACKHAUL_FOLLOW_INTERVAL_MAX=" + (4 * *followFlags.interval).String(),
			"BACKHAUL_FOLLOW_READS_PER_HOUR=1000000", "BACKHAUL_FOLLOW_FOR=" + followFlags.givenUp.String(),
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), plan.length+*followFlags.givenUp+2**followFlags.patience+3*time.Minute)
	defer cancel()

	run := startChaos(t, plan)
	run.vendor.SetLives(rulesOf(lives))
	run.publishAndInflict(ctx)
	run.drain(ctx, *followFlags.patience)
	run.awaitEnds(ctx, lives)
	run.awaitReplicas() // one that was just started cannot drain yet
	run.stopReplicas()
	e := followEvidence{Lives: lives, For: *followFlags.givenUp, Late: *followFlags.late}
	e.chaosEvidence, e.Unacknowledged = run.collect(ctx), run.unacknowledged(ctx)

	result := newChaosResult(e.chaosEvidence, e.withoutLost(append(judgeChaos(e.chaosEvidence), judgeFollowing(e)...)))
	run.report(t, e.chaosEvidence, result)
	figures, err := json.Marshal(newFollowFigures(e))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("followed jobs: %s", figures)
}

// awaitEnds waits until each job has what the run is long enough for, or for patience.
func (r *chaosRun) awaitEnds(ctx context.Context, lives map[string]*vendorLife) {
	r.t.Helper()
	wait := *followFlags.patience
	all := *followFlags.late // those that do not end are given up
	if all {
		wait += *followFlags.givenUp
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for r.missing(ctx, lives, all) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			r.t.Fatal(context.Cause(ctx))
		case <-deadline.C:
			return // the judge says what is missing
		}
	}
}

func (r *chaosRun) missing(ctx context.Context, lives map[string]*vendorLife, all bool) bool {
	over, err := r.over(ctx)
	if err != nil {
		return true
	}
	jobs := r.vendor.Account().JobsByMarker
	for _, request := range r.plan.requests {
		life := lives[request.group]
		if life == nil || !all && (life.outcome == "" || life.gone()) {
			continue
		}
		for _, id := range jobs[publisher.NewKey(chaosSource, request.id).Marker()] {
			if !over[id] {
				return true
			}
		}
	}
	return false
}

// over are the jobs that have ended, or were given up, by the subjects of the stream.
func (r *chaosRun) over(ctx context.Context) (map[string]bool, error) {
	jobs := make(map[string]bool)
	stream, err := r.js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, err
	}
	for _, kind := range []schemas.Kind{schemas.KindJobFinished, schemas.KindJobUnfollowed} {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(publisher.EventFilter(kind, chaosSource)))
		if err != nil {
			return nil, err
		}
		for subject := range info.State.Subjects {
			_, _, id, err := publisher.ParseEventSubject(subject)
			if err != nil {
				return nil, err
			}
			jobs[id] = true
		}
	}
	return jobs, nil
}

// unacknowledged returns how many messages the durable consumer of followed jobs still has.
func (r *chaosRun) unacknowledged(ctx context.Context) int {
	r.t.Helper()
	durable, err := r.js.Consumer(ctx, publisher.EventsStream, publisher.FollowerConsumer)
	if err != nil {
		r.t.Fatal(fmt.Errorf("followed jobs: %w", err))
	}
	info := durable.CachedInfo()
	return info.NumAckPending + int(info.NumPending)
}
