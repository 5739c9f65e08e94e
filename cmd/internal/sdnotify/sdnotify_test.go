package sdnotify

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager listens on a real socket, as systemd does.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	env  map[string]string
}

func newManager(t *testing.T, name string) *manager {
	t.Helper()
	if name == "" {
		dir, err := os.MkdirTemp("", "sd") //nolint:usetesting // a socket's name must be shorter than those of t.TempDir may be
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		name = filepath.Join(dir, "notify")
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &manager{t: t, conn: conn, env: map[string]string{"NOTIFY_SOCKET": name}}
}

func (m *manager) open() *Socket {
	m.t.Helper()
	s, err := Open(func(name string) (string, bool) { v, ok := m.env[name]; return v, ok })
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(s.Close)
	return s
}

func (m *manager) next() string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		m.t.Fatal(err)
	}
	buffer := make([]byte, 1024)
	n, err := m.conn.Read(buffer)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(buffer[:n])
}

func TestSocket_Send(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "@backhaul-sdnotify-" + strconv.Itoa(os.Getpid())} {
		m := newManager(t, name)
		if err := m.open().Send(Ready, Status("reading\nrequests")); err != nil {
			t.Fatal(err)
		}
		if got := m.next(); got != "READY=1\nSTATUS=reading requests" {
			t.Errorf("on %q the manager received %q", name, got)
		}
	}
}

func TestOpen_WithoutAManager(t *testing.T) {
	t.Parallel()
	s, err := Open(func(string) (string, bool) { return "", false })
	if s != nil || err != nil {
		t.Fatalf("got %v, %v", s, err)
	}
	if err := s.Send(Ready); err != nil {
		t.Error(err)
	}
	s.Watch(t.Context(), func(context.Context) error { t.Error("alive was called"); return nil }, nil)
	s.Close()
}

func TestOpen_MissingSocket(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "n")
	if _, err := Open(func(string) (string, bool) { return missing, true }); err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
		t.Errorf("got %v", err)
	}
}

// The watchdog receives nothing from a service that does not work.
func TestSocket_WatchStopsWhenNotAlive(t *testing.T) {
	t.Parallel()
	m := newManager(t, "")
	m.env["WATCHDOG_USEC"], m.env["WATCHDOG_PID"] = "2000", strconv.Itoa(os.Getpid())
	s := m.open()
	ctx, cancel := context.WithCancel(t.Context())
	calls, failed := 0, make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.Watch(ctx, func(context.Context) error {
			switch calls++; {
			case calls <= 3:
				return nil
			case calls == 10:
				close(failed)
			}
			return errors.New("hangs")
		}, func(err error) {
			if err.Error() != "hangs" {
				t.Error(err)
			}
		})
	}()
	<-failed
	cancel()
	<-watched
	if err := s.Send(Stopping); err != nil {
		t.Fatal(err)
	}
	var received []string
	for !slices.Contains(received, Stopping) {
		received = append(received, m.next())
	}
	if want := []string{watchdog, watchdog, watchdog, Stopping}; !slices.Equal(received, want) {
		t.Errorf("received %q, want %q", received, want)
	}
}

func TestWatchdogInterval(t *testing.T) {
	t.Parallel()
	own := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		pid, microseconds string
		want              time.Duration
	}{
		{own, "30000000", 15 * time.Second}, {"", "1000000", 500 * time.Millisecond},
		{"1", "30000000", 0}, {own, "", 0}, {own, "soon", 0}, {own, "-5", 0},
	} {
		env := map[string]string{"WATCHDOG_USEC": c.microseconds}
		if c.pid != "" {
			env["WATCHDOG_PID"] = c.pid
		}
		got := watchdogInterval(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		if got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// Send does not wait forever for a manager that does not read.
func TestSocket_SendTimesOutWithoutAReader(t *testing.T) {
	t.Parallel()
	s := newManager(t, "").open()
	ended := make(chan error, 1)
	go func() {
		for {
			if err := s.Send(watchdog); err != nil { // the queue is full
				ended <- err
				return
			}
		}
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Send still waits after a minute")
	}
}
