package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest/clustertest"
	"backhaul/publisher/natstest/waittest"
)

// clusterRun is a run on a cluster, with streams of its own.
type clusterRun struct {
	*chaosRun
	cluster *clustertest.Cluster
}

// startCluster starts the vendor and the replicas on streams that are made for
// them, and returns when every replica waits for requests.
func startCluster(t *testing.T, cluster *clustertest.Cluster, plan chaosPlan) *clusterRun {
	t.Helper()
	r := &clusterRun{cluster: cluster, chaosRun: &chaosRun{
		t: t, plan: plan, dir: chaosDir(t, plan.Seed), done: make(map[chaosFaultKind]int),
	}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := cluster.SaveLogs(ctx, r.dir); err != nil {
			t.Error(err)
		}
	})
	if err := cluster.AwaitHealthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.vendor = startChaosVendor(t, r.dir, plan)
	r.connect(cluster.URL())
	r.deleteStreams(clusterStreams...)
	r.startReplicas(cluster.URL())
	r.checkStreams(clusterStreams...)
	r.upstream = &upstream{js: r.js, published: make(map[string]publishing)}
	return r
}

// clusterSettings of the replicas. A leader that is lost puts all that is in work in
// doubt, and each request in doubt has the vendor list its jobs. Here the vendor
// shares the processors with everything else, so it is little at a time, with
// patience.
var clusterSettings = []string{"BACKHAUL_MAX_IN_FLIGHT=16", "BACKHAUL_VENDOR_TIMEOUT=5s"}

var clusterStreams = []string{publisher.RequestsStream, publisher.EventsStream, publisher.MarkStream, publisher.DeadLetterStream}

// deleteStreams removes what the run before has left: each is judged by itself.
func (r *clusterRun) deleteStreams(names ...string) {
	r.t.Helper()
	for _, name := range names {
		waittest.Eventually(r.t, "absence of "+name, func() bool {
			ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
			defer cancel()
			return errors.Is(r.js.DeleteStream(ctx, name), jetstream.ErrStreamNotFound)
		})
	}
}

// checkStreams: without options `backhaul setup` makes streams that survive
// the loss of a node.
func (r *clusterRun) checkStreams(names ...string) {
	r.t.Helper()
	for _, name := range names {
		stream, err := r.js.Stream(r.t.Context(), name)
		if err != nil {
			r.t.Fatal(err)
		}
		info := stream.CachedInfo()
		if info.Config.Replicas != 3 || info.Cluster == nil || len(info.Cluster.Replicas) != 2 {
			r.t.Fatalf("stream %s has %d replicas, cluster %+v, want 3 on three nodes", name, info.Config.Replicas, info.Cluster)
		}
	}
}

// enough is how many requests are accepted before a fault, and after it.
const enough = 2 * clusterRate

// flowAround lets requests flow before, during and after the fault.
func (r *clusterRun) flowAround(fault clusterFault) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 4*time.Minute)
	defer cancel()
	r.began = time.Now()
	stop := make(chan struct{})
	var flow sync.WaitGroup
	flow.Go(func() { r.flow(ctx, stop) })
	defer flow.Wait()
	defer cancel()

	r.awaitAccepted(enough)
	if err := fault.inflict(ctx, r); err != nil {
		r.t.Fatal(err)
	}
	r.done[chaosFaultKind(fault.name)]++
	if err := r.cluster.AwaitHealthy(ctx); err != nil {
		r.t.Fatal(err)
	}
	r.say("all nodes are healthy")
	r.awaitAccepted(r.upstream.accepted() + enough)
	close(stop)
	flow.Wait()
	if r.upstream.err != nil {
		r.t.Fatal(r.upstream.err)
	}
	r.say("%d requests are published", len(r.plan.requests))
	r.drain(ctx, 2*time.Minute)
	r.say("the request stream is empty")
}

// flow publishes the plan's requests until it is stopped. Those that were not
// reached are no longer part of the plan.
func (r *clusterRun) flow(ctx context.Context, stop <-chan struct{}) {
	ticker := time.NewTicker(time.Second / clusterRate)
	defer ticker.Stop()
	var under sync.WaitGroup
	defer under.Wait()
	reached := 0
	defer func() { r.plan.requests = r.plan.requests[:reached] }()
	for _, next := range r.plan.publications {
		select {
		case <-ticker.C:
		case <-stop:
			return
		case <-ctx.Done():
			return
		}
		// A duplicate comes after its request, so this does not leave one out.
		reached = max(reached, next.request+1)
		request := r.plan.requests[next.request]
		under.Go(func() { r.upstream.publish(ctx, request, r.plan.Seed) })
	}
}

// accepted is how many requests JetStream has acknowledged.
func (u *upstream) accepted() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, p := range u.published {
		if p.acks > 0 {
			n++
		}
	}
	return n
}

func (r *clusterRun) awaitAccepted(n int) {
	r.t.Helper()
	waittest.Eventually(r.t, fmt.Sprintf("flow of requests up to %d", n), func() bool { return r.upstream.accepted() >= n })
}

// judge stops the replicas and finds broken promises. A cluster's faults are no
// reason for a replica to end.
func (r *clusterRun) judge() {
	r.t.Helper()
	for _, replica := range r.replicas {
		if lives, exits := replica.counts(); lives != 1 {
			r.problems = append(r.problems, fmt.Sprintf("%s had %d lives, exits %v", replica.name, lives, exits))
		}
	}
	r.stopReplicas()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	evidence := r.collect(ctx)
	r.report(r.t, evidence, newChaosResult(evidence, judgeChaos(evidence)))
}

// say logs when something was done.
func (r *clusterRun) say(format string, args ...any) {
	r.t.Helper()
	now := time.Now()
	r.t.Logf("%s +%.3fs %s", now.UTC().Format("15:04:05.000"), now.Sub(r.began).Seconds(), fmt.Sprintf(format, args...))
}
