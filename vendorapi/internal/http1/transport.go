package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Config describes how to reach the server. A field with the name of a field of [http.Transport]
// has the same meaning.
type Config struct {
	// Server has the scheme, http or https, and the host.
	Server              *url.URL
	Proxy               func(*http.Request) (*url.URL, error)
	DialContext         func(ctx context.Context, network, addr string) (net.Conn, error)
	TLSClientConfig     *tls.Config
	TLSHandshakeTimeout time.Duration
	IdleConnTimeout     time.Duration
	// MaxConns is the largest number of connections.
	MaxConns int
}

// Transport makes exchanges. Its configuration must not change after the first one.
type Transport struct {
	Config

	begin  sync.Once
	slots  chan struct{} // one for each connection in use
	mu     sync.Mutex
	idle   []*conn // in the order of their last use
	reaper *time.Timer
}

// Request is a request. Do adds Host, Content-Length and Accept-Encoding.
type Request struct {
	Method string
	// Target is the path with the query. Defaults to "/".
	Target string
	Header []Field
	Body   []byte
	// Limit is the largest body of an answer in bytes.
	Limit int
	// Permit, if non-nil, is called when there is a connection, right before the first byte is
	// written. Its error ends the exchange and is returned unchanged.
	Permit func() error
	// Head, if non-nil, is called with an answer's head before its body is read.
	Head func(status int, h http.Header)
}

// Field is a header field.
type Field struct{ Name, Value string }

// Answer is a complete answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Error is the error of an exchange without a complete answer.
type Error struct {
	// Written reports whether any byte of the request may have reached the server.
	Written bool
	// Status is the status of an answer whose body could not be read, else 0.
	Status int
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Do makes one exchange. The error is an [*Error], or that of r.Permit.
func (t *Transport) Do(ctx context.Context, r *Request) (Answer, error) {
	if err := r.check(); err != nil {
		return Answer{}, &Error{Err: err}
	}
	for {
		c, err := t.get(ctx)
		if err != nil {
			return Answer{}, &Error{Err: ended(ctx, err)}
		}
		if r.Permit != nil {
			if err := r.Permit(); err != nil {
				t.keep(c)
				return Answer{}, err
			}
		}
		kept := c.kept
		answer, err := c.exchange(ctx, r)
		if e, ok := errors.AsType[*Error](err); ok && kept && !e.Written && ctx.Err() == nil {
			continue // the server had closed the connection
		}
		return answer, err
	}
}

func (r *Request) check() error {
	for _, f := range r.Header {
		if !httpguts.ValidHeaderFieldName(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) {
			return fmt.Errorf("invalid header field %q", f.Name)
		}
	}
	return nil
}

// ended returns the cause of the end of ctx if it is over, else err.
func ended(ctx context.Context, err error) error {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done() // the deadline of the connection may fire first
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// CloseIdleConnections closes the connections that are not in use.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.idle {
		_ = c.Close()
	}
	t.idle = nil
}

// get returns a connection for one exchange: the last kept one that is still open, else a new one.
func (t *Transport) get(ctx context.Context) (*conn, error) {
	t.begin.Do(func() { t.slots = make(chan struct{}, t.MaxConns) })
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for c := t.take(); c != nil; c = t.take() {
		if c.open() {
			return c, nil
		}
		_ = c.Close()
	}
	c, err := t.dial(ctx)
	if err != nil {
		<-t.slots
		return nil, err
	}
	return c, nil
}

func (t *Transport) take() *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.idle)
	if n == 0 {
		return nil
	}
	c := t.idle[n-1]
	t.idle[n-1] = nil
	t.idle = t.idle[:n-1]
	return c
}

// keep stores a connection for another exchange.
func (t *Transport) keep(c *conn) {
	_ = c.SetDeadline(time.Time{})
	c.kept, c.since = true, time.Now()
	t.mu.Lock()
	t.idle = append(t.idle, c)
	if t.reaper == nil && t.IdleConnTimeout > 0 {
		t.reaper = time.AfterFunc(t.IdleConnTimeout, t.reap)
	}
	t.mu.Unlock()
	<-t.slots
}

// drop closes a connection in use.
func (t *Transport) drop(c *conn) {
	_ = c.Close()
	<-t.slots
}

// reap closes the connections that were idle for IdleConnTimeout.
func (t *Transport) reap() {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := 0
	for ; old < len(t.idle) && time.Since(t.idle[old].since) >= t.IdleConnTimeout; old++ {
		_ = t.idle[old].Close()
	}
	t.idle = append(t.idle[:0:0], t.idle[old:]...)
	t.reaper = nil
	if len(t.idle) > 0 {
		t.reaper = time.AfterFunc(t.IdleConnTimeout-time.Since(t.idle[0].since), t.reap)
	}
}
