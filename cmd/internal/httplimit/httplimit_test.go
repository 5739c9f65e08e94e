package httplimit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backhaul/publisher/natstest/waittest"
)

func serve(t *testing.T, limit int, handler http.Handler, log *waittest.Log) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	Apply(server.Config, limit, zerolog.New(log))
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// isOpen reports whether a connection is still open. The other side must not send.
func isOpen(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// While a client opens many idle connections, their number stays within the limit and
// each new client is answered.
func TestApply_ServesNewConnections(t *testing.T) {
	t.Parallel()
	const limit = 10
	address := serve(t, limit, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "alive") }), &waittest.Log{})
	var idle []net.Conn
	for range 5 * limit {
		idle = append(idle, dial(t, address))
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 3 {
		resp, err := client.Get("http://" + address)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != "alive" {
			t.Errorf("got %q", body)
		}
	}
	waittest.Eventually(t, "the oldest connections closed", func() bool {
		open := 0
		for _, conn := range idle {
			if isOpen(conn) {
				open++
			}
		}
		return open <= limit
	})
	if !isOpen(idle[len(idle)-1]) {
		t.Error("the newest idle connection was closed before older ones")
	}
}

// A connection with a request in progress is closed only if none is idle.
func TestApply_ClosesIdleConnectionsFirst(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	address := serve(t, 2, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-leave
	}), &waittest.Log{})
	busy := dial(t, address)
	fmt.Fprint(busy, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	first := dial(t, address)
	second := dial(t, address) // closes the first: it is idle, and busy is not
	waittest.Eventually(t, "the idle one closed", func() bool { return !isOpen(first) })
	if !isOpen(busy) || !isOpen(second) {
		t.Error("another connection was closed")
	}
	fmt.Fprint(second, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	third := dial(t, address) // all have a request in progress
	waittest.Eventually(t, "the oldest one closed", func() bool { return !isOpen(busy) })
	fmt.Fprint(third, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	close(leave)
	if _, err := http.ReadResponse(bufio.NewReader(timed(third)), nil); err != nil { //nolint:bodyclose // it is empty
		t.Errorf("the newest got no response: %v", err)
	}
}

func timed(conn net.Conn) net.Conn {
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func TestApply_LogsWithALevel(t *testing.T) {
	t.Parallel()
	log := &waittest.Log{}
	address := serve(t, 2, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken") }), log)
	_, _ = http.Get("http://" + address) //nolint:bodyclose // the connection is closed without a response
	waittest.Eventually(t, "a line", func() bool {
		return strings.Contains(log.String(), `"level":"error"`) && strings.Contains(log.String(), "broken")
	})
}
