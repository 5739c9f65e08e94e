package natsconn

import (
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// network records what is written to it.
type network struct {
	net.Conn
	mu     sync.Mutex
	writes []string
	fails  error
	closed bool
}

func (n *network) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fails != nil {
		return 0, n.fails
	}
	n.writes = append(n.writes, string(p))
	return len(p), nil
}

func (n *network) SetWriteDeadline(time.Time) error { return nil }

func (n *network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	return nil
}

func (n *network) sent(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.writes, want) {
		t.Errorf("the network has %q, want %q", n.writes, want)
	}
}

func write(t *testing.T, c net.Conn, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("write %q: %d, %v", text, n, err)
		}
	}
}

func TestGathering(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		c := newGathering(n)
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		write(t, c, "a", "b", "c")
		n.sent(t, "a")            // at once, because nothing was sent before
		time.Sleep(gatherFor - 1) //nolint:forbidigo // the bubble's time
		n.sent(t, "a")
		time.Sleep(1) //nolint:forbidigo // the bubble's time
		n.sent(t, "a", "bc")
		write(t, c, "d")
		n.sent(t, "a", "bc")
		time.Sleep(gatherFor) //nolint:forbidigo // the bubble's time
		n.sent(t, "a", "bc", "d")
		time.Sleep(gatherFor) //nolint:forbidigo // the bubble's time
		write(t, c, "e")
		n.sent(t, "a", "bc", "d", "e")
		write(t, c, "f")
		if err := c.Close(); err != nil || !n.closed {
			t.Errorf("closed %v, %v", n.closed, err)
		}
		n.sent(t, "a", "bc", "d", "e", "f")
	})
}

func TestGathering_isBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		c := newGathering(n)
		write(t, c, "first")
		half := string(make([]byte, maxGathered/2))
		write(t, c, half, half)
		n.sent(t, "first", half+half)
	})
}

// A write that failed after Write had returned ends the connection, so that it is made again.
func TestGathering_fails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken pipe")
		n := &network{}
		c := newGathering(n)
		write(t, c, "a", "b")
		n.mu.Lock()
		n.fails = broken
		n.mu.Unlock()
		time.Sleep(gatherFor) //nolint:forbidigo // the bubble's time
		synctest.Wait()
		if !n.closed {
			t.Error("the connection is still open")
		}
		if _, err := c.Write([]byte("c")); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
		n.sent(t, "a")
	})
}
