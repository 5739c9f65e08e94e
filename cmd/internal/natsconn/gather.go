package natsconn

import (
	"net"
	"sync"
	"time"
)

const (
	// gatherFor is the shortest time between two writes to the network under load. It gathers
	// claims, events and acknowledgements into one write, which costs this process and the server
	// less. A write after a pause goes out at once.
	gatherFor = 500 * time.Microsecond
	// A connection is under load if it had at least loadWrites writes in the last loadWindow. Without
	// load, gathering would only delay questions that wait for the answer before them, of which a
	// start and most commands consist.
	loadWindow = 100 * time.Millisecond
	loadWrites = 20
	// maxGathered is how many bytes are gathered at most.
	maxGathered = 32 << 10
	// writeTimeout bounds a write to the network, as the library's own does.
	writeTimeout = time.Minute
)

// gatheringDialer implements [nats.CustomDialer] with connections that gather writes.
type gatheringDialer struct{ *net.Dialer }

func (d gatheringDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.Dialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return newGathering(conn), nil
}

// gathering is a connection that gathers what is written within gatherFor under load. What it gathered is
// sent at the end of that time, so an error of that write is returned by the next one.
type gathering struct {
	net.Conn
	timer *time.Timer // sends what was gathered

	mu       sync.Mutex
	gathered []byte
	last     time.Time // of the last write to the network
	err      error
	load     load
}

// load counts writes.
type load struct {
	begin  time.Time // of the window
	writes int       // in the window
	high   bool      // in the window before
}

// note counts a write, and reports whether there is load.
func (l *load) note(now time.Time) bool {
	if past := now.Sub(l.begin); past >= loadWindow {
		l.high = l.writes >= loadWrites && past < 2*loadWindow
		l.begin, l.writes = now, 0
	}
	l.writes++
	return l.high
}

func newGathering(conn net.Conn) *gathering {
	c := &gathering{Conn: conn}
	c.timer = time.AfterFunc(time.Hour, c.send)
	c.timer.Stop()
	return c
}

func (c *gathering) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	now := time.Now()
	loaded := c.load.note(now)
	wait := gatherFor - now.Sub(c.last)
	if (wait <= 0 || !loaded) && len(c.gathered) == 0 {
		c.last = now
		return c.Conn.Write(p)
	}
	if len(c.gathered) == 0 {
		c.timer.Reset(wait)
	}
	c.gathered = append(c.gathered, p...)
	if len(c.gathered) >= maxGathered {
		c.sendLocked()
	}
	return len(p), c.err
}

func (c *gathering) send() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sendLocked()
}

func (c *gathering) sendLocked() {
	if len(c.gathered) == 0 || c.err != nil {
		return
	}
	c.last = time.Now()
	_ = c.Conn.SetWriteDeadline(c.last.Add(writeTimeout))
	_, c.err = c.Conn.Write(c.gathered)
	c.gathered = c.gathered[:0]
	if c.err != nil {
		_ = c.Conn.Close() // so that the reader notices
	}
}

// Close sends what was gathered.
func (c *gathering) Close() error {
	c.timer.Stop()
	c.send()
	return c.Conn.Close()
}
