package vendorapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// maxBody is the largest answer in bytes that is read.
const maxBody = 1 << 20

// Config is how to reach the vendor.
type Config struct {
	// Endpoint is the base of the API, such as
	// "https://m6.metallic.io/webconsole/api". Plain http needs InsecureHTTP
	// unless the host is loopback.
	Endpoint     string
	InsecureHTTP bool
	// CAFile is a PEM file with the only roots to trust. Defaults to the system's.
	CAFile string
	// Auth is how calls are authorised.
	Auth Auth
	// MaxConns is the largest number of connections. Defaults to 64.
	MaxConns int
	// ConnectTimeout bounds dialling and the TLS handshake each. Defaults to 5 s.
	ConnectTimeout time.Duration
	// Timeout bounds any exchange whose context ends later. Defaults to 30 s.
	Timeout time.Duration
}

// Client calls the vendor.
type Client struct {
	endpoint string
	timeout  time.Duration
	http     *http.Client
	session  *session
	// skew is the vendor's clock minus ours, from the last Date header.
	skew atomic.Int64
	// quiet is when the vendor may be called again, in UNIX nanoseconds: one
	// answer that asks for a pause holds for all callers.
	quiet atomic.Int64
	known descriptions
}

// New is a client. It does not call the vendor yet.
func New(cfg Config) (*Client, error) {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 64
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if err := CheckEndpoint(cfg.Endpoint, cfg.InsecureHTTP); err != nil {
		return nil, err
	}
	if err := cfg.Auth.Check(); err != nil {
		return nil, err
	}
	roots, err := loadRoots(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	c := &Client{endpoint: strings.TrimRight(cfg.Endpoint, "/"), timeout: cfg.Timeout}
	c.session = newSession(c, cfg.Auth)
	c.http = &http.Client{
		// Following would turn a POST into a GET and could carry the token away.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: cfg.ConnectTimeout}).DialContext,
			TLSHandshakeTimeout: cfg.ConnectTimeout,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			MaxConnsPerHost:     cfg.MaxConns,
			MaxIdleConnsPerHost: cfg.MaxConns,
			IdleConnTimeout:     90 * time.Second,
			// HTTP/1.1 only: the write deadline that keeps a frozen process from
			// sending late is set on the connection, which HTTP/2 would share.
			TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		},
	}
	return c, nil
}

// CheckEndpoint refuses what cannot be the base of the vendor's API.
func CheckEndpoint(endpoint string, insecureHTTP bool) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("vendor endpoint %q must be a URL such as https://m6.metallic.io/webconsole/api", redacted(endpoint))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("vendor endpoint %q must not have a user, query or fragment", redacted(endpoint))
	case u.Scheme == "http" && !insecureHTTP && !isLoopback(u.Hostname()):
		return fmt.Errorf("vendor endpoint %q is plain http: the token would be readable on the way; use https or allow insecure http", endpoint)
	}
	return nil
}

// redacted is a URL without its password, for errors.
func redacted(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.Redacted()
	}
	return "(not a URL)"
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func loadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("vendor CA file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("vendor CA file %s: no PEM certificate in it", file)
	}
	return roots, nil
}

// Close ends the session at the vendor, which counts sessions, and the
// connections.
func (c *Client) Close(ctx context.Context) {
	c.session.logout(ctx)
	c.http.CloseIdleConnections()
}

// call is one HTTP request to the vendor.
type call struct {
	op          string // the vendor's operation, for errors
	method      string
	path        string // below the endpoint
	contentType string
	body        []byte
	accept      string
}

// response is an answer, read whole.
type response struct {
	status int
	header http.Header
	body   []byte
}

// authorised makes a call with the session's token. A refused token is renewed
// once: the vendor answers 401 for an expired token and for a missing
// permission alike, so after a fresh login the answer is left to the caller.
func (c *Client) authorised(ctx context.Context, cl call) (response, error) {
	for fresh := false; ; fresh = true {
		token, err := c.session.token(ctx)
		if err != nil {
			return response{}, err
		}
		resp, err := c.do(ctx, cl, token.header())
		if err != nil || fresh || !isAccessDenied(resp) {
			return resp, err
		}
		if err := c.session.refused(token); err != nil {
			return response{}, &Error{Verdict: NotSent, Op: cl.op, Status: resp.status, Err: err}
		}
	}
}

// do sends one request and reads its answer. The error is an [*Error] whose
// verdict is NotSent if nothing was written, else Unknown.
func (c *Client) do(ctx context.Context, cl call, header http.Header) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var written atomic.Bool
	trace := &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			// The context's deadline stops a request that waits. This one stops a
			// process that was frozen and wakes up after the lease has ended.
			deadline, _ := ctx.Deadline()
			_ = info.Conn.SetWriteDeadline(deadline)
		},
		// The first header is handed over before any byte can have been flushed.
		WroteHeaderField: func(string, []string) { written.Store(true) },
		WroteHeaders:     func() { written.Store(true) },
	}
	fail := func(err error) (response, error) {
		e := &Error{Verdict: Unknown, Op: cl.op, Err: withoutURL(err)}
		if !written.Load() {
			e.Verdict = NotSent
		}
		return response{}, e
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), cl.method, c.endpoint+cl.path, bytes.NewReader(cl.body))
	if err != nil {
		return fail(err)
	}
	req.Header = header
	req.Header.Set("Accept", cl.accept)
	if cl.contentType != "" {
		req.Header.Set("Content-Type", cl.contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return fail(fmt.Errorf("read the answer of HTTP %d: %w", resp.StatusCode, err))
	}
	if len(body) > maxBody {
		return fail(fmt.Errorf("the answer of HTTP %d has more than %d bytes", resp.StatusCode, maxBody))
	}
	c.noteDate(resp.Header)
	return response{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// withoutURL drops net/http's wrapping, which repeats the whole URL.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func (c *Client) noteDate(h http.Header) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		c.skew.Store(int64(time.Until(date)))
	}
}

// vendorTime is one of our times on the vendor's clock.
func (c *Client) vendorTime(t time.Time) time.Time { return t.Add(time.Duration(c.skew.Load())) }
