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
	until  time.Time // of the last write
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

func (n *network) SetWriteDeadline(until time.Time) error {
	n.until = until
	return nil
}

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

// underLoad returns a connection that gathers, and what is written to it from now on.
func underLoad(t *testing.T) (net.Conn, *network) {
	t.Helper()
	n := &network{}
	c := newGathering(n)
	for range loadWrites {
		write(t, c, "load")
	}
	time.Sleep(loadWindow) //nolint:forbidigo // the bubble's time
	write(t, c, "load")
	time.Sleep(gatherFor) //nolint:forbidigo // the bubble's time
	n.mu.Lock()
	defer n.mu.Unlock()
	n.writes = nil
	return c, n
}

// Questions that wait for the answer before them go out at once, however fast the answers are.
func TestGathering_withoutLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		c := newGathering(n)
		write(t, c, "a", "b", "c")
		n.sent(t, "a", "b", "c")
		time.Sleep(loadWindow) //nolint:forbidigo // the bubble's time
		write(t, c, "d", "e")
		n.sent(t, "a", "b", "c", "d", "e")
	})
}

// Load ends with the first window that has few writes, or none.
func TestGathering_afterLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, pause := range []time.Duration{loadWindow, 3 * loadWindow} {
			c, n := underLoad(t)
			time.Sleep(pause) //nolint:forbidigo // the bubble's time
			write(t, c, "a", "b")
			n.sent(t, "a", "b")
		}
		// Many writes a long time ago are no load.
		n := &network{}
		c := newGathering(n)
		for range loadWrites {
			write(t, c, "load")
		}
		n.writes = nil
		time.Sleep(2 * loadWindow) //nolint:forbidigo // the bubble's time
		write(t, c, "a", "b")
		n.sent(t, "a", "b")
	})
}

func TestGathering(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, n := underLoad(t)
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

// What was gathered keeps its place before a write that comes when the load has ended, and a write
// behind it does not put it off.
func TestGathering_keepsTheOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, n := underLoad(t)
		write(t, c, "a", "b")
		time.Sleep(gatherFor / 2) //nolint:forbidigo // the bubble's time
		write(t, c, "c")
		time.Sleep(gatherFor / 2) //nolint:forbidigo // the bubble's time
		n.sent(t, "a", "bc")
		if want := time.Now().Add(writeTimeout); !n.until.Equal(want) {
			t.Errorf("the write ends by %s, want %s", n.until, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		c := newGathering(n)
		c.last, c.gathered = time.Now().Add(-gatherFor), []byte("a") // the timer's goroutine comes late
		write(t, c, "b")
		n.sent(t)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		n.sent(t, "ab")
	})
}

// A window has load from so many writes on.
func TestLoad(t *testing.T) {
	t.Parallel()
	for writes, want := range map[int]bool{loadWrites - 1: false, loadWrites: true} {
		var l load
		begin := time.Now()
		for range writes {
			if l.note(begin) {
				t.Errorf("load in the first window")
			}
		}
		if l.note(begin.Add(loadWindow - 1)) {
			t.Errorf("load in the first window")
		}
		l = load{begin: begin, writes: writes}
		if got := l.note(begin.Add(loadWindow)); got != want {
			t.Errorf("%d writes: load %t, want %t", writes, got, want)
		}
	}
}

func TestGathering_isBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, n := underLoad(t)
		write(t, c, "first")
		half := string(make([]byte, maxGathered/2))
		write(t, c, half, half)
		n.sent(t, "first", half+half)
		time.Sleep(gatherFor) //nolint:forbidigo // the bubble's time
		n.sent(t, "first", half+half)
	})
}

// A write that failed after Write had returned ends the connection, so that it is made again.
func TestGathering_fails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken pipe")
		c, n := underLoad(t)
		write(t, c, "a", "b")
		n.mu.Lock()
		n.fails = broken
		n.mu.Unlock()
		time.Sleep(gatherFor) //nolint:forbidigo // the bubble's time
		synctest.Wait()
		if !n.closed {
			t.Error("the connection is still open")
		}
		n.mu.Lock()
		n.fails = nil // also if the network would take it: a part of the stream is missing
		n.mu.Unlock()
		time.Sleep(2 * loadWindow) //nolint:forbidigo // the bubble's time
		if _, err := c.Write([]byte("c")); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		n.sent(t, "a")
	})
	// A write that fails because of what was gathered before it says so.
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken pipe")
		c, n := underLoad(t)
		write(t, c, "a", "b")
		n.mu.Lock()
		n.fails = broken
		n.mu.Unlock()
		if _, err := c.Write(make([]byte, maxGathered)); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	})
}
