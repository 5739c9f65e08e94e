package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/clustertest"
	"backhaul/publisher/natstest/waittest"
)

const (
	clusterTriggerRate   = 50 // notifications per second
	clusterTriggerGroups = 5
	// clusterTriggerEnough is how many are stored before a fault, and after it.
	clusterTriggerEnough = 2 * clusterTriggerRate
)

// triggerOnCluster kills the leaders of the trigger's consumer and streams and, with
// each, both replicas, while notifications flow: each change is in the list of exactly
// one request.
func triggerOnCluster(t *testing.T, cluster *clustertest.Cluster) {
	r := &clusterRun{cluster: cluster, chaosRun: &chaosRun{t: t, began: time.Now()}}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := cluster.AwaitHealthy(ctx); err != nil {
		t.Fatal(err)
	}
	r.connect(cluster.URL())
	own := []string{publisher.StorageStream, publisher.WindowsStream}
	r.deleteStreams(append(own, clusterStreams...)...)
	store := objectstoretest.Start(t, "lists")
	var routes strings.Builder
	routes.WriteString("routes:\n")
	for g := range clusterTriggerGroups {
		fmt.Fprintf(&routes, "- {container: c%d, clientName: c, subclientName: g%d, window: {quiet: 500ms, max: 2s, maxPaths: 20}, directive: {container: lists, prefix: l/}}\n", g, g)
	}
	env := programtest.TriggerEnv(t, cluster.URL(), store, routes.String())
	if code, _, stderr := programtest.Once(t, env[:1], "", "setup", "--trigger", "--wait", "1m"); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	r.checkStreams(append(own, clusterStreams...)...)
	replicas := []*programtest.Process{programtest.Start(t, env, "backhaul", "trigger"), programtest.Start(t, env, "backhaul", "trigger")}
	kills := 0
	// kill has a supervisor that starts the replica again at once: it waits for the
	// leader.
	kill := func(i int) func() {
		return func() {
			replicas[i].Kill()
			kills++
			replicas[i] = programtest.Start(t, env, "backhaul", "trigger")
		}
	}

	flow := &notifications{js: r.js, stop: make(chan struct{}), done: make(chan struct{})}
	go flow.run(ctx)
	defer func() { cancel(); <-flow.done }()
	flowOn := func() {
		enough := flow.stored.Load() + clusterTriggerEnough
		waittest.Eventually(t, "flow of notifications", func() bool { return flow.stored.Load() >= enough })
	}
	for i, leader := range [][2]string{
		{publisher.StorageStream, publisher.StorageConsumer},
		{publisher.WindowsStream, ""},
		{publisher.StorageStream, ""},
	} {
		flowOn()
		// One replica dies with the leader; the other lives through the election and
		// dies behind it.
		err := errors.Join(killLeader(leader[0], leader[1], kill(i%2))(ctx, r), cluster.AwaitHealthy(ctx))
		if err != nil {
			t.Fatal(err)
		}
		kill(1 - i%2)()
		r.say("all nodes are healthy, %d notifications are stored", flow.stored.Load())
	}
	flowOn()
	close(flow.stop)
	<-flow.done
	if flow.err != nil {
		t.Fatal(flow.err)
	}
	r.say("%d notifications are published", len(flow.paths))
	c := programtest.Connect(t, cluster.URL())
	waittest.Eventually(t, "empty notification stream", func() bool { return c.Messages(publisher.StorageStream) == 0 })
	for i, p := range replicas {
		select {
		case <-p.Done:
			t.Errorf("replica %d ended by itself: %v", i, p.Err)
		default:
			p.Kill()
		}
	}
	requests := listedOnce(c, store, flow.paths)
	r.say("%d requests; replicas were killed %d times, leaders 3 times", requests, kills)
}

// notifications are published until they are stopped, each until it is stored: as an
// object store with a queue of its own does.
type notifications struct {
	js         jetstream.JetStream
	stop, done chan struct{}
	stored     atomic.Int64
	paths      []string // of what is stored, when done
	err        error
}

func (n *notifications) run(ctx context.Context) {
	defer close(n.done)
	ticker := time.NewTicker(time.Second / clusterTriggerRate)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ticker.C:
		case <-n.stop:
			return
		}
		container, key := fmt.Sprintf("c%d", i%clusterTriggerGroups), fmt.Sprintf("object-%d", i)
		if n.err = n.publish(ctx, container, key); n.err != nil {
			return
		}
		n.paths = append(n.paths, "/"+container+"/"+key)
		n.stored.Add(1)
	}
}

func (n *notifications) publish(ctx context.Context, container, key string) error {
	msg := &nats.Msg{Subject: "storage.event.minio", Header: nats.Header{nats.MsgIdHdr: {key}}, Data: programtest.Notification(container, key)}
	again := time.NewTicker(publishPause)
	defer again.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, publishTimeout)
		_, err := n.js.PublishMsg(try, msg)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("publish %s: %w", key, err)
		}
	}
}

// listedOnce compares the paths with what the waiting requests have in their lists,
// and returns how many requests there are.
func listedOnce(c *programtest.Client, store *objectstoretest.Server, want []string) int {
	c.T.Helper()
	var listed []string
	contents := make(map[string]string) // of the requests, by id
	for _, msg := range waiting(c) {
		var req struct {
			RequestID         string `json:"requestId"`
			OnDemandInputFile string `json:"onDemandInputFile"`
		}
		if err := json.Unmarshal(msg.Data, &req); err != nil {
			c.T.Fatal(err)
		}
		// The same request again is a duplicate for the service, if it is really the same.
		if before, again := contents[req.RequestID]; again {
			if before != string(msg.Data) {
				c.T.Errorf("the request %s is there with other content: %s, then %s", req.RequestID, before, msg.Data)
			}
			continue
		}
		contents[req.RequestID] = string(msg.Data)
		content := store.Get("lists", strings.TrimPrefix(req.OnDemandInputFile, "/lists/"))
		listed = append(listed, strings.Split(strings.TrimSuffix(content, "\n"), "\n")...)
	}
	programtest.SameLines(c.T, "the changes", listed, want)
	return len(contents)
}
