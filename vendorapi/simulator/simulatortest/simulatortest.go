// Package simulatortest serves simulated Commvault web services to tests: over loopback,
// or over pipes for tests under testing/synctest, where a real socket would stop the fake
// clock.
package simulatortest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"backhaul/vendorapi/simulator"
)

// Start serves a simulator on a loopback port until the test ends. It returns
// the simulator and the endpoint for a client: scheme, host, port, base path.
func Start(t testing.TB, cfg simulator.Config) (sim *simulator.Simulator, endpoint string) {
	t.Helper()
	sim = simulator.New(cfg)
	server := httptest.NewUnstartedServer(sim)
	server.Config.ConnState = sim.ConnState // httptest calls it in addition to its own
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections() // ends handlers that hang on purpose
		server.Close()
	})
	return sim, server.URL + basePath(cfg)
}

// StartPipe serves a simulator over in-memory pipes until the test ends. The endpoint's host
// is only a name; clients reach it through the returned transport.
func StartPipe(t testing.TB, cfg simulator.Config) (sim *simulator.Simulator, endpoint string, transport *http.Transport) {
	t.Helper()
	sim = simulator.New(cfg)
	pipes := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: sim, ConnState: sim.ConnState}
	served := make(chan error, 1)
	go func() { served <- server.Serve(pipes) }()
	transport = &http.Transport{DialContext: pipes.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close() // closing pipes does not fail
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve the simulator: %v", err)
		}
	})
	return sim, "http://simulator.invalid" + basePath(cfg), transport
}

func basePath(cfg simulator.Config) string {
	if cfg.BasePath == "" {
		return "/webconsole/api"
	}
	return strings.TrimRight(cfg.BasePath, "/")
}

// pipeListener is a net.Listener that accepts the connections made by its dial.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept waits for a dial.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns an address that is only a name.
func (*pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "simulator.invalid" }
