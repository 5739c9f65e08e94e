// Package clustertest runs a JetStream cluster of three nats-server containers
// and makes its nodes fail: killed, stopped, frozen, cut off from the others.
//
// The containers are made with testcontainers-go, from an image that has nothing
// in it but the server's program. It is built here, without a registry. The nodes
// are joined by two networks. Clients reach the published ports over one of them,
// always at the same loopback address; the routes between the nodes are on the
// other, and that is the one a partition takes away: clients stay with a node that
// has lost its peers.
//
// One cluster runs on a machine at a time. Others wait for it, so whatever carries
// the label of this package at the start was left by a test that was killed, and is
// removed.
package clustertest

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"

	"backhaul/publisher/natstest"
)

// Cluster is three nodes that live as long as their test.
type Cluster struct {
	Nodes []*Node

	engine *testcontainers.DockerProvider
}

// patience is how long something may take that happens within seconds on a
// machine with nothing else to do. An election takes 4 to 10 s.
const patience = 2 * time.Minute

// Engine is the error of asking for the Docker engine, nil if it answers.
func Engine(t testing.TB) error {
	t.Helper()
	provider, err := engine(t)
	if err != nil {
		return err
	}
	return provider.Health(t.Context())
}

func engine(t testing.TB) (*testcontainers.DockerProvider, error) {
	t.Helper()
	// The library's own clean-up is a container from a registry; ours is a label.
	t.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
	// In a container itself, the test would look for the ports at the gateway.
	t.Setenv("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
	return testcontainers.NewDockerProvider(testcontainers.WithLogger(tclog.TestLogger(t)))
}

// Start runs a cluster of this nats-server program, which must be statically
// linked, and returns when every node is healthy.
func Start(t testing.TB, program string) *Cluster {
	t.Helper()
	lock(t)
	provider, err := engine(t)
	if err != nil {
		t.Fatalf("clustertest: %v", err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	if err := sweep(t.Context(), provider.Client()); err != nil {
		t.Fatalf("clustertest: remove what an earlier test left: %v", err)
	}
	name, err := image(t.Context(), provider, program)
	if err != nil {
		t.Fatalf("clustertest: %v", err)
	}
	c := &Cluster{engine: provider}
	clients, routes := newNetwork(t, false), newNetwork(t, true)
	ports := natstest.FixedPorts(t, 6)
	for i := range 3 {
		c.Nodes = append(c.Nodes, &Node{
			Name: fmt.Sprintf("n%d", i+1), URL: fmt.Sprintf("nats://127.0.0.1:%d", ports[2*i]),
			monitor: fmt.Sprintf("http://127.0.0.1:%d", ports[2*i+1]),
			engine:  provider.Client(), routes: routes.ID,
		})
	}
	var starting sync.WaitGroup
	for i, node := range c.Nodes {
		starting.Go(func() { node.run(t, name, clients, routes, ports[2*i], ports[2*i+1]) })
	}
	starting.Wait()
	for _, node := range c.Nodes {
		if node.container == nil || !node.container.IsRunning() {
			t.Fatalf("clustertest: node %s did not start", node.Name)
		}
	}
	if err := c.AwaitHealthy(t.Context()); err != nil {
		t.Fatalf("clustertest: %v", err)
	}
	return c
}

// newNetwork has the label that sweep looks for. An internal one publishes no
// ports.
func newNetwork(t testing.TB, internal bool) *testcontainers.DockerNetwork {
	t.Helper()
	options := []tcnetwork.NetworkCustomizer{tcnetwork.WithLabels(label())}
	if internal {
		options = append(options, tcnetwork.WithInternal())
	}
	made, err := tcnetwork.New(t.Context(), options...)
	if err != nil {
		t.Fatalf("clustertest: network: %v", err)
	}
	testcontainers.CleanupNetwork(t, made)
	return made
}

// run makes and starts the node's container. Errors are the test's, not fatal: it
// is not the test's goroutine.
func (n *Node) run(t testing.TB, image string, clients, routes *testcontainers.DockerNetwork, port, monitor int) {
	publish := func(hc *container.HostConfig) {
		hc.PortBindings = network.PortMap{
			network.MustParsePort("4222/tcp"): {{HostIP: loopback, HostPort: strconv.Itoa(port)}},
			network.MustParsePort("8222/tcp"): {{HostIP: loopback, HostPort: strconv.Itoa(monitor)}},
		}
	}
	made, err := testcontainers.Run(t.Context(), image,
		testcontainers.WithCmd("--name", n.Name),
		testcontainers.WithLabels(label()),
		testcontainers.WithExposedPorts("4222/tcp", "8222/tcp"),
		testcontainers.WithHostConfigModifier(publish),
		tcnetwork.WithNetwork(nil, clients),
		tcnetwork.WithNetwork([]string{n.Name}, routes),
		testcontainers.WithLogger(tclog.TestLogger(t)),
	)
	testcontainers.CleanupContainer(t, made, testcontainers.StopTimeout(0))
	if err != nil {
		t.Errorf("clustertest: node %s: %v", n.Name, err)
	}
	n.container = made
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// URL has the addresses of all nodes, for a client's list of servers.
func (c *Cluster) URL() string {
	var urls []string
	for _, node := range c.Nodes {
		urls = append(urls, node.URL)
	}
	return strings.Join(urls, ",")
}

// AwaitHealthy waits until every node says that it has caught up with all its
// streams and consumers.
func (c *Cluster) AwaitHealthy(ctx context.Context) error {
	return await(ctx, "healthy cluster", func(ctx context.Context) error {
		for _, node := range c.Nodes {
			if err := node.healthy(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// Leader is the node that leads the stream, or this consumer of it unless that is
// empty, as the nodes see it that are not among the others. It waits until there
// is one, and until they see the same one.
func (c *Cluster) Leader(ctx context.Context, stream, consumer string, others ...*Node) (leader *Node, err error) {
	err = await(ctx, fmt.Sprintf("leader of %s %s", stream, consumer), func(ctx context.Context) error {
		leader, err = c.leader(ctx, stream, consumer, others)
		return err
	})
	return leader, err
}

func (c *Cluster) leader(ctx context.Context, stream, consumer string, others []*Node) (*Node, error) {
	seen := ""
	for _, node := range c.Nodes {
		if slices.Contains(others, node) {
			continue
		}
		name, err := node.leader(ctx, stream, consumer)
		switch {
		case err != nil:
			return nil, err
		case seen != "" && name != seen:
			return nil, fmt.Errorf("some see %q as the leader, %s sees %q", seen, node.Name, name)
		}
		seen = name
	}
	for _, node := range c.Nodes {
		if node.Name == seen && !slices.Contains(others, node) {
			return node, nil
		}
	}
	return nil, fmt.Errorf("the leader is %q", seen)
}

// SaveLogs writes what the nodes said to files in dir, name.log each.
func (c *Cluster) SaveLogs(ctx context.Context, dir string) error {
	for _, node := range c.Nodes {
		logs, err := node.container.Logs(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = logs.Close() }()
		file, err := os.Create(filepath.Join(dir, node.Name+".log"))
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		if _, err := io.Copy(file, logs); err != nil {
			return err
		}
	}
	return nil
}

// await repeats check until it has no error.
func await(ctx context.Context, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("no %s: %w", what, err)
		}
	}
}
