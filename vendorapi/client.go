package vendorapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"backhaul/schemas/bounded"
	"backhaul/vendorapi/internal/gate"
	"backhaul/vendorapi/internal/http1"
)

// maxBody is the largest answer in bytes that is read, maxList the largest list.
const (
	maxBody = 1 << 20
	maxList = 16 << 20
)

// patience is the shortest wait for an answer after which the deadline of a caller counts as an
// outage.
const patience = time.Second

// Defaults of Config and Policy.
const (
	// DefaultTimeout bounds one exchange and one attempt.
	DefaultTimeout     = 30 * time.Second
	DefaultRetryBudget = 30 * time.Second
)

// connectTimeout bounds dialling and the TLS handshake each.
const connectTimeout = 5 * time.Second

// Config describes how to reach the vendor.
type Config struct {
	// Endpoint is the base of the API, such as
	// "https://m6.metallic.io/webconsole/api". Plain http needs InsecureHTTP
	// unless the host is loopback.
	Endpoint string
	// EndpointName says where Endpoint is set, for errors; it may be empty.
	EndpointName string
	InsecureHTTP bool
	// CAFile is a PEM file with the only trusted roots. Defaults to the roots of the system.
	CAFile string
	// Auth is how calls are authorised.
	Auth Auth
	// Format is the format of CreateTask requests: FormatXML, as on the vendor's page, or
	// FormatJSON. Defaults to FormatXML.
	Format string
	// MaxConns is the largest number of connections. A few more are reserved for lookups during
	// attempts that hang. Defaults to 64.
	MaxConns int
	// Timeout bounds an exchange whose context ends later. Defaults to DefaultTimeout.
	Timeout time.Duration
	// Pace limits CreateTask. Defaults to no limit.
	Pace Pace
	// Observer, if non-nil, is called for each exchange, attempt and wait.
	Observer Observer
	// Answered, if non-nil, is called with each answer, likewise.
	Answered func(Answer)
	// Dial connects to the vendor. Defaults to the network; simulated vendors have others.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client calls the vendor.
type Client struct {
	endpoint string
	// endpointName is [Config.EndpointName].
	endpointName string
	path         string // of the endpoint
	timeout      time.Duration
	body         body
	// transport makes the exchanges; send is its Do method, which tests replace.
	transport *http1.Transport
	send      func(context.Context, *http1.Request) (http1.Answer, error)
	session   *session
	cookies   *cookies
	// skew is the vendor's clock minus ours, from the last Date header.
	skew     atomic.Int64
	known    known
	listings listings
	// searching is on while jobs are listed by POST, because GET was not answered.
	searching gate.Pause
	// The gate of CreateTask, see Capacity.
	throttled      gate.Throttle          // requested by the vendor
	throttledBy    atomic.Pointer[string] // the answer that requested it, in words
	loginThrottled gate.Pause             // the same, of logins: the session knows and answers at once
	breaker        *gate.Breaker
	limits         *gate.Limits
	budget         Budget // nil for none

	observer Observer     // nil for none
	answered func(Answer) // nil for none
	// tokenExpires is in UNIX seconds, 0 when it is not known.
	tokenExpires atomic.Int64
}

// New returns a client. It does not call the vendor yet.
func New(cfg Config) (*Client, error) {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 64
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: connectTimeout}).DialContext
	}
	if err := CheckEndpoint(cfg.Endpoint, cfg.InsecureHTTP); err != nil {
		return nil, err
	}
	if err := cfg.Auth.Check(); err != nil {
		return nil, err
	}
	body, err := bodyOf(cfg.Format)
	if err != nil {
		return nil, err
	}
	roots, err := loadRoots(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	c := &Client{
		endpoint: strings.TrimRight(cfg.Endpoint, "/"), endpointName: cfg.EndpointName, timeout: cfg.Timeout, body: body,
		breaker: gate.NewBreaker(isOutage, saysNothing), limits: gate.NewLimits(cfg.Pace.PerHour, cfg.Pace.PerSecond),
		budget: cfg.Pace.Budget, observer: cfg.Observer, answered: cfg.Answered,
	}
	c.session = newSession(c, cfg.Auth)
	server, err := url.Parse(c.endpoint)
	if err != nil { // CheckEndpoint has read it
		return nil, err
	}
	c.path, c.cookies = server.EscapedPath(), newCookies(server)
	c.transport = &http1.Transport{Config: http1.Config{
		Server:              server,
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         cfg.Dial,
		TLSHandshakeTimeout: connectTimeout,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		MaxConns:            cfg.MaxConns + lookupConns,
		IdleConnTimeout:     90 * time.Second,
	}}
	c.send = c.transport.Do
	return c, nil
}

// CheckEndpoint returns an error if the endpoint cannot be the base of the vendor's API.
func CheckEndpoint(endpoint string, insecureHTTP bool) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("vendor endpoint %q must be a URL such as https://m6.metallic.io/webconsole/api", redacted(u))
	case u.User != nil || strings.ContainsAny(endpoint, "?#"):
		// An empty query or fragment would absorb every path that is appended.
		return fmt.Errorf("vendor endpoint %q must not have a user, query or fragment", redacted(u))
	case strings.EqualFold(path.Base(u.Path), opCreateTask):
		// The sample on the vendor's page shows the whole URL of the operation as the host name:
		// https://documentation.commvault.com/2023e/essential/post_run_backup_job_rest_api_operation_02.html.
		return fmt.Errorf("vendor endpoint %q must be the base of the API, without /%s", redacted(u), path.Base(u.Path))
	case u.Scheme == "http" && !insecureHTTP && !isLoopback(u.Hostname()):
		return fmt.Errorf("vendor endpoint %q is plain http, which shows the token to the network; use https or allow insecure http", redacted(u))
	}
	return nil
}

// redacted returns a URL for errors, without the parts that may contain a secret. Text without a
// host is not shown at all.
func redacted(u *url.URL) string {
	if u == nil || u.Host == "" {
		return "(not a URL)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func loadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := bounded.ReadFile(file, bounded.Small)
	if err != nil {
		return nil, fmt.Errorf("vendor CA file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("vendor CA file %s must contain a PEM certificate", file)
	}
	return roots, nil
}

// Close logs out, because the vendor counts sessions, and closes the connections.
func (c *Client) Close(ctx context.Context) {
	c.session.close(ctx)
	c.transport.CloseIdleConnections()
}

// call is one HTTP request to the vendor.
type call struct {
	op          string // the vendor's operation, for errors
	method      string
	path        string // below the endpoint
	contentType string
	header      []http1.Field // further fields
	body        []byte
	accept      string
	limit       int // largest answer in bytes; 0 is maxBody
}

// writes reports whether the call counts as a write, see [Call.Write].
func (cl call) writes() bool { return Call{Method: cl.method}.Write() }

// response is the complete answer to a call. Its body is text in UTF-8.
type response = http1.Answer

// authorised makes a call with the session's token. It replaces a refused token and repeats the
// call: a refused token certainly started no job. The vendor answers 401 for an expired token and
// for a missing permission alike; if authorised returns such an answer, the token is valid.
func (c *Client) authorised(ctx context.Context, cl call) (response, error) {
	var refusals refusals
	for {
		if err := c.paused(cl); err != nil {
			return response{}, err
		}
		token, err := c.session.token(ctx)
		if err != nil {
			return response{}, err
		}
		// Checked again, because a login takes time.
		if err := c.paused(cl); err != nil {
			return response{}, err
		}
		resp, err := c.do(ctx, cl, token.header())
		if err != nil {
			return resp, err
		}
		resp.Body = token.hide(resp.Body)
		if !isAccessDenied(resp) {
			if resp.Status < 300 {
				token.accepted.Store(time.Now().UnixNano())
			}
			return resp, nil
		}
		again, err := c.session.refused(ctx, token, cl.op, &refusals)
		if err != nil {
			return response{}, err
		}
		if !again {
			return resp, nil
		}
	}
}

// paused returns an error while no job may be started.
func (c *Client) paused(cl call) error {
	wait := c.throttled.Left()
	if wait <= 0 || cl.op != opCreateTask {
		return nil
	}
	return c.notAsked(Cooldown{For: wait, Reason: CooldownThrottled})
}

// exchange is do without the observer.
func (c *Client) exchange(ctx context.Context, cl call, header ...http1.Field) (response, error) {
	began := time.Now()
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > c.timeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	header = append(append(header, cl.header...), http1.Field{Name: "User-Agent", Value: "backhaul"}, http1.Field{Name: "Accept", Value: cl.accept})
	if jar := c.cookies.header(); jar != "" {
		header = append(header, http1.Field{Name: "Cookie", Value: jar})
	}
	if cl.contentType != "" {
		header = append(header, http1.Field{Name: "Content-Type", Value: cl.contentType})
	}
	resp, err := c.send(ctx, &http1.Request{
		Method: cl.method, Target: c.path + cl.path, Header: header, Body: cl.body, Limit: cmp.Or(cl.limit, maxBody),
		// Waiting for a connection takes time, and another answer may have asked for a pause.
		Permit: func() error { return c.paused(cl) },
		Head: func(status int, h http.Header) {
			c.noteDate(h)
			c.cookies.keep(h)
			c.heed(cl, status, h)
		},
	})
	if failure, ok := errors.AsType[*http1.Error](err); ok {
		e := &Error{Verdict: Unknown, Op: cl.op, Status: failure.Status, Err: failure.Err, load: loadOf(failure.Status, nil)}
		// The context decides, because the error may be the cause of its end.
		gaveUp := errors.Is(ctx.Err(), context.Canceled) || ctx.Err() != nil && time.Since(began) < min(patience, c.timeout)
		e.noAnswer = failure.Status == 0 && !gaveUp
		if !failure.Written {
			e.Verdict = NotSent
		} else {
			c.noteAnswer(cl, began, response{}, header)
		}
		return response{}, e
	}
	resp.Body = c.cookies.hide(inUnicode(resp.Body, resp.Header))
	if err == nil {
		c.noteAnswer(cl, began, resp, header)
	}
	return resp, err
}

// heed keeps the pause that an answer asks for, for all callers. It runs before the body is read,
// because the connection is free for the next call after that. Jobs counts as well: it is a POST,
// and the SaaS gateway counts every method but GET as a write, like CreateTask (assumed). The limit
// on reads says nothing about CreateTask. A login has a pause of its own.
func (c *Client) heed(cl call, status int, h http.Header) {
	load := loadOf(status, h)
	if cl.op == opCreateTask && load.pauses() || cl.op == opJobs && load == rateLimited {
		if cl.op == opCreateTask {
			c.throttled.Ask(retryAfter(h))
		} else {
			c.throttled.Extend(retryAfter(h))
		}
		by := fmt.Sprintf("HTTP %d to %s", status, cl.op)
		c.throttledBy.Store(&by)
	} else if cl.op == opCreateTask {
		c.throttled.Answered()
	}
	if c.budget != nil && cl.writes() {
		c.budget.Correct(allowanceOf(status, h))
	}
}

func (c *Client) noteDate(h http.Header) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		c.skew.Store(int64(time.Until(date)))
	}
}

// vendorTime converts a time from our clock to the vendor's.
func (c *Client) vendorTime(t time.Time) time.Time { return t.Add(time.Duration(c.skew.Load())) }
