// Package httplimit bounds the open connections of an HTTP server.
//
// A new connection is always served, so a health probe is answered while another client
// uses all connections. At the limit, the oldest idle connection is closed; if none is
// idle, the oldest connection is closed.
//
// [Apply] must be called before the server serves.
package httplimit

import (
	"bytes"
	stdlog "log"
	"net"
	"net/http"
	"sync"

	"github.com/rs/zerolog"
)

// Apply limits the open connections of a server and writes its log lines to log with a
// level. It still calls the server's ConnState hook.
func Apply(server *http.Server, limit int, log zerolog.Logger) {
	c := &connections{limit: limit, open: make(map[net.Conn]*connection)}
	hook := server.ConnState
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		c.note(conn, state)
		if hook != nil {
			hook(conn, state)
		}
	}
	server.ErrorLog = stdlog.New(lines{log}, "", 0)
}

// connections tracks the open connections of one server.
type connections struct {
	limit int

	mu     sync.Mutex
	opened uint64
	open   map[net.Conn]*connection
}

type connection struct {
	number uint64 // increases with each new connection
	active bool   // has a request in progress
}

func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		if len(c.open) >= c.limit {
			c.closeOldest()
		}
		c.opened++
		c.open[conn] = &connection{number: c.opened}
	case http.StateActive, http.StateIdle:
		if one := c.open[conn]; one != nil {
			one.active = state == http.StateActive
		}
	default: // closed or hijacked
		delete(c.open, conn)
	}
}

// closeOldest closes the oldest idle connection, or the oldest one if none is idle. The
// caller holds mu.
func (c *connections) closeOldest() {
	var (
		oldest net.Conn
		found  *connection
	)
	for conn, one := range c.open {
		if found == nil || found.active && !one.active || found.active == one.active && one.number < found.number {
			oldest, found = conn, one
		}
	}
	delete(c.open, oldest)
	_ = oldest.Close()
}

// lines writes the log lines of net/http: a panic as an error, others as warnings.
type lines struct{ log zerolog.Logger }

func (l lines) Write(line []byte) (int, error) {
	level := zerolog.WarnLevel
	if bytes.HasPrefix(line, []byte("http: panic")) {
		level = zerolog.ErrorLevel
	}
	l.log.WithLevel(level).Str("from", "net/http").Msg(string(bytes.TrimSpace(line)))
	return len(line), nil
}
