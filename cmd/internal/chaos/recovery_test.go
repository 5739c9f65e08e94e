package chaos

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// chaosP99 returns the median over the rounds, each with another seed, of the time in seconds
// within which 99 of 100 requests have their outcome, while a replica is killed each second.
func chaosP99(t *testing.T, replicas int) float64 {
	t.Helper()
	var p99s []float64
	for seed := range *throughput.rounds {
		plan := newChaosPlan(chaosSettings{
			Requests: 3000, Rate: 100, Replicas: replicas, Seed: int64(seed + 1), Kill: time.Second, Broker: 10 * time.Second,
			Faults: chaosVendorFaults, VisibleAfter: time.Second,
		})
		ctx, cancel := context.WithTimeout(t.Context(), plan.length+5*time.Minute)
		defer cancel()
		run := startChaos(t, plan)
		run.publishAndInflict(ctx)
		run.drain(ctx, 4*time.Minute)
		run.stopReplicas()
		evidence := run.collect(ctx)
		result := newChaosResult(evidence, judgeChaos(evidence))
		run.report(t, evidence, result)
		run.broker.end(syscall.SIGKILL)
		p99s = append(p99s, result.Latency.P99/1000)
	}
	return median(p99s, func(p99 float64) float64 { return p99 })
}

// killed is what a replica left behind that was killed under load.
type killed struct {
	claimed, unsent int
	// median and longest are the times from the kill to the outcomes of those not sent.
	median, longest time.Duration
}

// measureKill kills the only replica, with default settings, while requests wait, and starts
// another one at once.
func measureKill(t *testing.T, latency time.Duration) killed {
	t.Helper()
	return killUnderLoad(t, 300, latency, "BACKHAUL_VENDOR_TIMEOUT=30s", "BACKHAUL_VENDOR_VISIBILITY_WINDOW=60s")
}

// TestKillUnderLoad kills a replica while requests wait: those that it has claimed and not sent
// are started once.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	r := killUnderLoad(t, 600, 50*time.Millisecond, "BACKHAUL_VENDOR_TIMEOUT=1s", "BACKHAUL_VENDOR_VISIBILITY_WINDOW=1s")
	if r.claimed == 0 {
		t.Error("the replica had no claim when it was killed: the test shows nothing")
	}
	t.Logf("%+v", r)
}

func killUnderLoad(t *testing.T, requests int, latency time.Duration, env ...string) killed {
	t.Helper()
	s := programtest.StartServiceIn(t, env, simulator.Config{Conflict: simulator.ConflictIgnore})
	slow, err := simulator.ParseFaults("slow=" + latency.String())
	if err != nil {
		t.Fatal(err)
	}
	s.Sim.SetFaults(slow)
	for i := range requests {
		if _, err := s.JS.PublishMsgAsync(&nats.Msg{Subject: "backup.request.billing", Data: programtest.SampleRequest(fmt.Sprint("k-", i))}); err != nil {
			t.Fatal(err)
		}
	}
	<-s.JS.PublishAsyncComplete()
	waittest.Eventually(t, "jobs", func() bool { return s.Sim.Account().JobsStarted >= requests/4 })
	s.Run.Kill()
	at := time.Now()
	var r killed
	unsent := make(map[string]bool)
	jobs := s.Sim.Account().JobsByMarker
	for key, last := range lastEvents(s) {
		if last != schemas.KindJobSubmitting {
			continue
		}
		r.claimed++
		if len(jobs["backhaul:billing/"+key]) == 0 {
			r.unsent++
			unsent[key] = true
		}
	}
	s.StartRun(t)
	for began := time.Now(); s.Messages(publisher.RequestsStream) > 0; {
		if time.Since(began) > 4*time.Minute {
			t.Fatal("requests wait for more than 4 minutes")
		}
		<-time.After(100 * time.Millisecond)
	}
	var waits []time.Duration
	for _, msg := range s.Stored(publisher.EventsStream, "backup.event.job-started.billing.*") {
		meta, err := msg.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		if _, key, _, err := publisher.ParseEventSubject(msg.Subject()); err == nil && unsent[key.Name] {
			waits = append(waits, meta.Timestamp.Sub(at))
		}
	}
	if len(waits) != r.unsent {
		t.Errorf("%d of the %d requests that were claimed and not sent have a job-started", len(waits), r.unsent)
	}
	for marker, ids := range s.Sim.Account().JobsByMarker {
		if len(ids) != 1 {
			t.Errorf("%s has the jobs %v, want one", marker, ids)
		}
	}
	if len(waits) > 0 {
		slices.Sort(waits)
		r.median, r.longest = waits[len(waits)/2], waits[len(waits)-1]
	}
	return r
}

// lastEvents returns the kind of the last event of each request of billing.
func lastEvents(s *programtest.Service) map[string]schemas.Kind {
	last := make(map[string]schemas.Kind)
	for _, msg := range s.Stored(publisher.EventsStream, "backup.event.*.billing.*") {
		if kind, key, _, err := publisher.ParseEventSubject(msg.Subject()); err == nil {
			last[key.Name] = kind
		}
	}
	return last
}
