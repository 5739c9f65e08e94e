package http1

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/proxy"
)

// dial connects to the server, through a proxy if there is one.
func (t *Transport) dial(ctx context.Context) (*conn, error) {
	via, err := t.ProxyOf()
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if via == nil {
		return t.direct(ctx, t.DialContext)
	}
	switch via.Scheme {
	case "socks5", "socks5h":
		dialer, err := proxy.FromURL(via, forward(t.DialContext))
		if err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
		return t.direct(ctx, dialer.(proxy.ContextDialer).DialContext)
	case "http", "https":
		return t.through(ctx, via)
	}
	return nil, fmt.Errorf("proxy: unknown scheme %q: must be http, https, socks5 or socks5h", via.Scheme)
}

// ProxyOf returns the proxy of the server, or nil.
func (t *Transport) ProxyOf() (*url.URL, error) {
	if t.Proxy == nil {
		return nil, nil
	}
	return t.Proxy(&http.Request{URL: t.Server})
}

// forward adapts a dial function to [proxy.Dialer].
type forward func(ctx context.Context, network, addr string) (net.Conn, error)

func (f forward) Dial(network, addr string) (net.Conn, error) {
	return f(context.Background(), network, addr)
}

func (f forward) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}

func (t *Transport) direct(ctx context.Context, dial forward) (*conn, error) {
	socket, err := dial(ctx, "tcp", Address(t.Server))
	if err != nil {
		return nil, err
	}
	c := newConn(socket, t)
	if t.Server.Scheme == "https" {
		if err := c.secure(ctx, t.Server.Hostname()); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	c.reads()
	return c, nil
}

// through connects to the server through an HTTP proxy.
func (t *Transport) through(ctx context.Context, via *url.URL) (*conn, error) {
	socket, err := t.DialContext(ctx, "tcp", Address(via))
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	c := newConn(socket, t)
	key := ""
	if user := via.User; user != nil {
		password, _ := user.Password()
		key = "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
	}
	if via.Scheme == "https" {
		if err = c.secure(ctx, via.Hostname()); err != nil {
			err = fmt.Errorf("proxy: %w", err)
		}
	}
	switch {
	case err != nil:
	case t.Server.Scheme == "https":
		if err = c.tunnel(ctx, key); err == nil {
			err = c.secure(ctx, t.Server.Hostname())
		}
	default:
		c.before, c.proxyKey = "http://"+t.Server.Host, key
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	c.reads()
	return c, nil
}

// Address returns a URL's host with its port.
func Address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = ports[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

var ports = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// secure starts TLS on the connection.
func (c *conn) secure(ctx context.Context, host string) error {
	secured, err := c.of.Handshake(ctx, c.Conn, host)
	if err != nil {
		return err
	}
	c.Conn = secured
	return nil
}

// tunnel opens a tunnel to the server with CONNECT.
func (c *conn) tunnel(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, c.of.TLSHandshakeTimeout)
	defer cancel()
	alive := context.AfterFunc(ctx, c.over)
	host := Address(c.of.Server)
	ask := "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n"
	if key != "" {
		ask += "Proxy-Authorization: " + key + "\r\n"
	}
	if _, err := c.Write([]byte(ask + "\r\n")); err != nil {
		return fmt.Errorf("proxy: %w", ended(ctx, err))
	}
	// The server never sends first, so the reader cannot read ahead any of its data.
	resp, err := http.ReadResponse(bufio.NewReader(c.Conn), &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // there is none
	switch {
	case err != nil:
		return fmt.Errorf("proxy: %w", ended(ctx, err))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("proxy: %s", resp.Status)
	case !alive():
		return fmt.Errorf("proxy: %w", context.Cause(ctx))
	}
	return nil
}

// reads prepares the connection for reading answers.
func (c *conn) reads() {
	c.limit.R = c.Conn
	c.in = bufio.NewReader(&c.limit)
}
