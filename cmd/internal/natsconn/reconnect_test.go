package natsconn_test

import (
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backhaul/publisher/natstest/waittest"
)

// silentListener accepts connections without an answer, and reports each one.
func silentListener(t *testing.T, accepted chan<- net.Conn) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	return listener.Addr().String()
}

// A server that was restarted is found again between two of the dead addresses that
// its cluster advertises, not behind all of them.
func TestReconnecting_ComesBackBetweenDeadAddresses(t *testing.T) {
	t.Parallel()
	const dead = 4
	member := func(advertise string, options server.Options) *server.Server {
		t.Helper()
		options.Host, options.NoSigs, options.NoLog = "127.0.0.1", true, true
		options.ClientAdvertise = advertise
		srv, err := server.NewServer(&options)
		if err != nil {
			t.Fatal(err)
		}
		srv.Start()
		t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
		if !srv.ReadyForConnections(20 * time.Second) {
			t.Fatal("the server is not ready after 20 s")
		}
		return srv
	}
	cluster := server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: server.RANDOM_PORT}
	first := member("", server.Options{Port: server.RANDOM_PORT, Cluster: cluster})
	routes := server.RoutesFromStr("nats://" + first.ClusterAddr().String())
	accepted := make(chan net.Conn, 100)
	for range dead {
		member(silentListener(t, accepted), server.Options{Port: server.RANDOM_PORT, Cluster: cluster, Routes: routes})
	}
	nc, err := try(t, map[string]string{"BACKHAUL_NATS_URL": first.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "the advertised addresses", func() bool { return len(nc.DiscoveredServers()) == dead })

	port := first.Addr().(*net.TCPAddr).Port
	first.Shutdown()
	first.WaitForShutdown()
	held := <-accepted // the client waits for one of them
	member("", server.Options{Port: port})
	_ = held.Close()
	waittest.Eventually(t, "reconnection", nc.IsConnected)
	if got := 1 + len(accepted); got > 2 { // the second one if the server took long to start
		t.Errorf("connected again after %d tries at dead addresses, want 1", got)
	}
}
