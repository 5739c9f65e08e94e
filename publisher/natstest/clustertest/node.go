package clustertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/testcontainers/testcontainers-go"
)

// Node is one server of the cluster. Its address and its store stay the same over
// all that happens to it.
type Node struct {
	Name string
	URL  string // where clients connect

	monitor   string // of the server's monitoring pages
	engine    client.APIClient
	routes    string // the network that joins the nodes
	container *testcontainers.DockerContainer
}

// Kill ends the server with SIGKILL and returns when it is gone.
func (n *Node) Kill(ctx context.Context) error {
	id := n.container.GetContainerID()
	gone := n.engine.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	if _, err := n.engine.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
		return n.failed("kill", err)
	}
	select {
	case <-gone.Result:
		return nil
	case err := <-gone.Error:
		return n.failed("kill", err)
	}
}

// Stop asks the server to stop with SIGTERM and returns when it has.
func (n *Node) Stop(ctx context.Context) error {
	limit := patience // not to be killed: that is another fault
	return n.failed("stop", n.container.Stop(ctx, &limit))
}

// Start runs a server that was killed or stopped, on its store.
func (n *Node) Start(ctx context.Context) error {
	return n.failed("start", n.container.Start(ctx))
}

// Pause freezes the server: its connections stay and nothing answers.
func (n *Node) Pause(ctx context.Context) error {
	_, err := n.engine.ContainerPause(ctx, n.container.GetContainerID(), client.ContainerPauseOptions{})
	return n.failed("pause", err)
}

// Unpause lets the server go on.
func (n *Node) Unpause(ctx context.Context) error {
	_, err := n.engine.ContainerUnpause(ctx, n.container.GetContainerID(), client.ContainerUnpauseOptions{})
	return n.failed("unpause", err)
}

// Isolate takes the server's peers away. Its clients stay connected.
func (n *Node) Isolate(ctx context.Context) error {
	_, err := n.engine.NetworkDisconnect(ctx, n.routes, client.NetworkDisconnectOptions{Container: n.container.GetContainerID()})
	return n.failed("isolate", err)
}

// Rejoin ends the isolation.
func (n *Node) Rejoin(ctx context.Context) error {
	_, err := n.engine.NetworkConnect(ctx, n.routes, client.NetworkConnectOptions{
		Container:      n.container.GetContainerID(),
		EndpointConfig: &network.EndpointSettings{Aliases: []string{n.Name}},
	})
	return n.failed("rejoin", err)
}

func (n *Node) failed(what string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s %s: %w", what, n.Name, err)
	}
	return err
}

// healthy asks the server. It says no while it has no contact with a meta leader,
// and while a stream or consumer of its has not caught up. The meta leader says no
// as well while it takes another node for gone: it would place no stream there.
func (n *Node) healthy(ctx context.Context) error {
	if _, err := n.get(ctx, "/healthz"); err != nil {
		return err
	}
	info, err := n.jetStream(ctx)
	if err != nil {
		return err
	}
	if info.Meta == nil || info.Meta.Leader == "" {
		return fmt.Errorf("%s knows no meta leader", n.Name)
	}
	if info.Meta.Leader != n.Name {
		return nil
	}
	if len(info.Meta.Replicas) != 2 {
		return fmt.Errorf("%s leads %d other nodes", n.Name, len(info.Meta.Replicas))
	}
	for _, peer := range info.Meta.Replicas {
		if peer.Offline || !peer.Current {
			return fmt.Errorf("%s is not back for %s", peer.Name, n.Name)
		}
	}
	return nil
}

// leader is the name of the leader as this node sees it, empty for none.
func (n *Node) leader(ctx context.Context, stream, consumer string) (string, error) {
	info, err := n.jetStream(ctx)
	if err != nil {
		return "", err
	}
	for _, account := range info.AccountDetails {
		for _, s := range account.Streams {
			if s.Name != stream || s.Cluster == nil {
				continue
			}
			if consumer == "" {
				return s.Cluster.Leader, nil
			}
			for _, c := range s.Consumer {
				if c.Name == consumer && c.Cluster != nil {
					return c.Cluster.Leader, nil
				}
			}
		}
	}
	return "", fmt.Errorf("%s does not know %s %s", n.Name, stream, consumer)
}

func (n *Node) jetStream(ctx context.Context) (info server.JSInfo, err error) {
	page, err := n.get(ctx, "/jsz?streams=true&consumers=true")
	if err == nil {
		err = n.failed("read /jsz of", json.Unmarshal(page, &info))
	}
	return info, err
}

// answerTime bounds the wait for one page: a frozen server never answers.
const answerTime = 5 * time.Second

func (n *Node) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.monitor+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, n.failed("ask", err)
	}
	body, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, n.failed("ask", err)
}
