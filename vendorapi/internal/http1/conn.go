package http1

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// maxHead bounds the head of an answer in bytes.
	maxHead = 1 << 20
	// maxKept is the largest buffer that a connection keeps for its next request.
	maxKept = 64 << 10
)

// conn is a connection, in use or kept.
type conn struct {
	net.Conn // TLS over raw, or raw
	raw      *counted
	peek     syscall.RawConn // of the socket; nil if it has no file descriptor
	in       *bufio.Reader
	limit    io.LimitedReader // the source of in
	out      []byte           // the last request
	before   string           // prefix of targets: the server, for a proxy
	proxyKey string           // Proxy-Authorization of each request
	of       *Transport
	kept     bool      // it has carried an exchange
	since    time.Time // when it was kept
	over     func()    // ends a read or write in progress
}

// counted counts the bytes that the network accepted.
type counted struct {
	net.Conn
	written int
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written += n
	return n, err
}

func newConn(socket net.Conn, of *Transport) *conn {
	c := &conn{raw: &counted{Conn: socket}, of: of}
	c.Conn = c.raw
	c.over = func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) }
	if s, ok := socket.(syscall.Conn); ok {
		c.peek, _ = s.SyscallConn()
	}
	return c
}

// exchange sends a request and reads its answer. It keeps the connection if that is possible, else
// it closes it.
func (c *conn) exchange(ctx context.Context, r *Request) (Answer, error) {
	c.write(r)
	deadline, hasEnd := ctx.Deadline()
	_ = c.raw.SetDeadline(deadline)
	alive := context.AfterFunc(ctx, c.over)
	fail := func(written bool, status int, err error) (Answer, error) {
		alive()
		c.of.drop(c)
		return Answer{}, &Error{written, status, ended(ctx, err)}
	}
	// A process that was frozen gets here before its timers fire.
	if hasEnd && !time.Now().Before(deadline) {
		return fail(false, 0, os.ErrDeadlineExceeded)
	}
	before := c.raw.written
	if _, err := c.Write(c.out); err != nil {
		return fail(c.raw.written > before, 0, err)
	}
	if cap(c.out) > maxKept {
		c.out = nil
	}
	resp, err := c.head() //nolint:bodyclose // read to its end, or the connection is closed
	if err != nil {
		return fail(true, 0, err)
	}
	if r.Head != nil {
		r.Head(resp.StatusCode, resp.Header)
	}
	body, err := read(resp, r.Limit)
	if err != nil {
		return fail(true, resp.StatusCode, err)
	}
	switch clean := !resp.Close && resp.StatusCode >= 200 && c.in.Buffered() == 0; {
	case alive() && clean:
		c.of.keep(c)
	default:
		c.of.drop(c)
	}
	return Answer{resp.StatusCode, resp.Header, body}, nil
}

// write builds a request in out.
func (c *conn) write(r *Request) {
	out := append(c.out[:0], r.Method...)
	out = append(out, ' ')
	out = append(out, c.before...)
	out = append(out, cmp.Or(r.Target, "/")...)
	out = append(out, " HTTP/1.1\r\n"...)
	field := func(name, value string) {
		out = append(out, name...)
		out = append(out, ": "...)
		out = append(out, value...)
		out = append(out, "\r\n"...)
	}
	field("Host", c.of.Server.Host)
	field("Accept-Encoding", "gzip")
	if c.proxyKey != "" {
		field("Proxy-Authorization", c.proxyKey)
	}
	for _, f := range r.Header {
		field(f.Name, f.Value)
	}
	if len(r.Body) > 0 || r.Method != http.MethodGet {
		field("Content-Length", strconv.Itoa(len(r.Body)))
	}
	out = append(out, "\r\n"...)
	c.out = append(out, r.Body...)
}

// head reads the head of an answer.
func (c *conn) head() (*http.Response, error) {
	for {
		c.limit.N = maxHead
		resp, err := http.ReadResponse(c.in, nil)
		switch {
		case err != nil && c.limit.N <= 0:
			return nil, fmt.Errorf("the head of the answer has more than %d bytes", maxHead)
		case err != nil:
			return nil, err
		case resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols:
			c.limit.N = 1 << 62 // the reader of the body has a limit of its own
			return resp, nil
		}
		// 100, 102 and 103 come before the answer.
	}
}

// read returns the complete body of an answer.
func read(resp *http.Response, limit int) ([]byte, error) {
	body, err := unpacked(resp, limit)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > limit {
		return nil, fmt.Errorf("the answer has more than %d bytes", limit)
	}
	return body, nil
}

func unpacked(resp *http.Response, limit int) ([]byte, error) {
	n := resp.ContentLength
	switch {
	case strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip"):
		unzip, err := gzip.NewReader(resp.Body)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(io.LimitReader(unzip, int64(limit)+1))
		if err == nil && len(body) <= limit {
			_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, int64(limit)))
		}
		return body, err
	case n >= 0 && n <= int64(limit):
		body := make([]byte, n)
		_, err := io.ReadFull(resp.Body, body)
		return body, err
	}
	return io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
}

// open reports whether the server has kept the connection open and sent nothing unrequested.
func (c *conn) open() bool {
	if c.peek == nil {
		return true
	}
	quiet := false
	err := c.peek.Read(func(fd uintptr) bool {
		quiet = isQuiet(fd)
		return true // never wait for data
	})
	return err == nil && quiet
}
