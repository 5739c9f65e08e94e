package chaos

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/clustertest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// TestCluster lets the nodes of a JetStream cluster fail, one way after the other,
// while requests flow through two replicas, and judges each course of events as
// TestChaos does: from the stored events and the vendor's account.
//
// It needs a Docker engine. Without one it is skipped, and fails in CI.
//
//	cluster_test.go         what goes wrong
//	cluster_run_test.go     the flow of requests around it, and the judgement
//	cluster_trigger_test.go the same for notifications
//	package clustertest     the nodes
func TestCluster(t *testing.T) {
	if err := clustertest.Engine(t); err != nil {
		programtest.Missing(t, fmt.Sprintf("no Docker engine: %v", err))
	}
	cluster := clustertest.Start(t, programtest.Binary(t, "nats-server"))
	for i, fault := range []clusterFault{
		{"stream leader killed", killLeader(publisher.EventsStream, "")},
		{"consumer leader killed", killLeader(publisher.RequestsStream, publisher.RequestsConsumer)},
		{"rolling restart", restartAll},
		{"leader paused", leaderAway("pause", (*clustertest.Node).Pause, (*clustertest.Node).Unpause)},
		{"leader cut off", leaderAway("cut off", (*clustertest.Node).Isolate, (*clustertest.Node).Rejoin)},
	} {
		t.Run(fault.name, func(t *testing.T) {
			plan := newChaosPlan(chaosSettings{
				Requests: clusterMaxRequests, Rate: clusterRate, Replicas: 2, Seed: *chaosFlags.seed + int64(i),
				Faults: clusterVendorFaults, VisibleAfter: time.Second, Env: clusterSettings,
				Scarce: *chaosFlags.scarce,
			})
			run := startCluster(t, cluster, plan)
			run.flowAround(fault)
			run.judge()
		})
	}
	t.Run("start without a leader", func(t *testing.T) { startWithoutLeader(t, cluster) })
	t.Run("trigger", func(t *testing.T) { triggerOnCluster(t, cluster) })
}

// startWithoutLeader starts a replica while two of the three nodes are away, so that
// no stream has a leader: it waits for one.
func startWithoutLeader(t *testing.T, cluster *clustertest.Cluster) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := cluster.AwaitHealthy(ctx); err != nil {
		t.Fatal(err)
	}
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	s := &programtest.Service{Client: programtest.Connect(t, cluster.URL()), Sim: sim, Env: programtest.ServiceEnv(cluster.URL(), endpoint)}
	if code, _, stderr := programtest.Once(t, s.Env, "", "setup", "--wait", "1m"); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	leader, err := cluster.Leader(ctx, publisher.DeadLetterStream, "")
	if err != nil {
		t.Fatal(err)
	}
	other := cluster.Nodes[0]
	if other == leader {
		other = cluster.Nodes[1]
	}
	// In this order the third follows until nobody leads, and never leads.
	away := []*clustertest.Node{other, leader}
	for _, node := range away {
		if err := node.Kill(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s.Run = programtest.Start(t, s.Env, "backhaul", "run")
	s.Run.WaitFor(t, "JetStream does not answer yet")
	for _, node := range away {
		if err := node.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s.Run.WaitFor(t, "reading requests")
	if err := cluster.AwaitHealthy(ctx); err != nil {
		t.Fatal(err)
	}
	request := &nats.Msg{Subject: "backup.request.billing", Data: programtest.SampleRequest("leaderless")}
	waittest.Eventually(t, "request that is stored", func() bool {
		try, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		_, err := s.JS.PublishMsg(try, request)
		return err == nil
	})
	s.WaitForOutcomes()
	s.OneJob("leaderless")
}

const (
	clusterRate         = 20 // requests per second
	clusterVendorFaults = "cut-after-start=0.03,503=0.02:1s"
	// clusterMaxRequests bounds a flow that lasts until the fault is over.
	clusterMaxRequests = 120 * clusterRate
	// clusterAway is how long a node is paused or cut off at least: longer than
	// lease, visibility window and AckWait. It is away until another leads, too.
	clusterAway = 8 * time.Second
)

// clusterFault is one way in which a cluster fails. When inflict returns, all
// nodes are there again.
type clusterFault struct {
	name    string
	inflict func(context.Context, *clusterRun) error
}

// killLeader kills the leader and what else dies with it.
func killLeader(stream, consumer string, others ...func()) func(context.Context, *clusterRun) error {
	return func(ctx context.Context, r *clusterRun) error {
		leader, err := r.cluster.Leader(ctx, stream, consumer)
		if err != nil {
			return err
		}
		r.say("kill %s, the leader of %s %s", leader.Name, stream, consumer)
		if err := leader.Kill(ctx); err != nil {
			return err
		}
		for _, kill := range others {
			kill()
		}
		if err := r.awaitSuccessor(ctx, leader, stream, consumer); err != nil {
			return err
		}
		r.say("start %s", leader.Name)
		return leader.Start(ctx)
	}
}

// restartAll restarts one node after the other, as an upgrade does.
func restartAll(ctx context.Context, r *clusterRun) error {
	for _, node := range r.cluster.Nodes {
		r.say("restart %s", node.Name)
		if err := node.Stop(ctx); err != nil {
			return err
		}
		if err := node.Start(ctx); err != nil {
			return err
		}
		if err := r.cluster.AwaitHealthy(ctx); err != nil {
			return err
		}
	}
	return nil
}

// leaderAway takes the leader away for a while: frozen, or separated from the
// other nodes. The clients that are connected to it do not notice.
func leaderAway(what string, leave, comeBack func(*clustertest.Node, context.Context) error) func(context.Context, *clusterRun) error {
	return func(ctx context.Context, r *clusterRun) error {
		leader, err := r.cluster.Leader(ctx, publisher.EventsStream, "")
		if err != nil {
			return err
		}
		r.say("%s %s", what, leader.Name)
		if err := leave(leader, ctx); err != nil {
			return err
		}
		away := time.NewTimer(clusterAway)
		err = r.awaitSuccessor(ctx, leader, publisher.EventsStream, "")
		<-away.C
		r.say("%s may come back", leader.Name)
		return errors.Join(err, comeBack(leader, ctx))
	}
}

// awaitSuccessor waits until the other nodes follow another leader.
func (r *clusterRun) awaitSuccessor(ctx context.Context, gone *clustertest.Node, stream, consumer string) error {
	successor, err := r.cluster.Leader(ctx, stream, consumer, gone)
	if err != nil {
		return fmt.Errorf("after %s: %w", gone.Name, err)
	}
	r.say("%s leads %s %s", successor.Name, stream, consumer)
	return nil
}
