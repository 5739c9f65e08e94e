package natstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
)

// FixedPorts returns n free loopback ports for servers that stop and restart. They are
// outside the kernel's range for outgoing connections. Within that range, a client that
// reconnects while the server is stopped can connect to itself, which prevents the restart.
func FixedPorts(t testing.TB, n int) []int {
	t.Helper()
	first := 32768
	if data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(strings.TrimSpace(string(data)), &first); err != nil {
			t.Fatalf("natstest: ip_local_port_range: %v", err)
		}
	}
	var ports []int
	for range 100 * n {
		port := first - 1 - rand.IntN(min(10_000, first-1025))
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer func() { _ = listener.Close() }() // after all ports are found, so that they differ
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatalf("natstest: no %d free ports below %d", n, first)
	return nil
}
