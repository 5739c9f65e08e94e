package vendorapi

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"backhaul/vendorapi/internal/http1"
)

// Step is one step of connecting to the vendor.
type Step struct {
	// Name is "proxy", "DNS", "TCP", "TLS" or "HTTP".
	Name string
	// Detail is the result, for people.
	Detail string
	// Err is why the step failed, or nil.
	Err error
}

// Reached is the result of [Client.Reach].
type Reached struct {
	Steps []Step
	// CertificateEnds is when the vendor's certificate expires, zero if none was seen.
	CertificateEnds time.Time
	// Skew is the vendor's clock minus ours, accurate to a second. SkewKnown reports whether the
	// answer had a date.
	Skew      time.Duration
	SkewKnown bool
}

// Reach connects to the vendor step by step and stops at the first step that fails. It sends one
// GET of the endpoint and, if that is not found, one WhoAmI, both without a token. It starts
// nothing.
func (c *Client) Reach(ctx context.Context) Reached {
	var r Reached
	u, err := url.Parse(c.endpoint)
	if err != nil { // New has read it
		return Reached{Steps: []Step{{Name: "DNS", Err: err}}}
	}
	if proxy, err := c.transport.ProxyOf(); err != nil || proxy != nil {
		// Behind a proxy, names are resolved and certificates are seen by the proxy.
		r.add("proxy", redacted(proxy), err)
		if err != nil {
			return r
		}
	} else if !r.dial(ctx, c.transport, u) {
		return r
	}
	before := time.Now()
	resp, err := c.do(ctx, call{op: "Probe", method: http.MethodGet, accept: "*/*"})
	after := time.Now()
	if err != nil {
		r.add("HTTP", "", err)
		return r
	}
	seen := fmt.Sprintf("GET %s: %d", redacted(u), resp.Status)
	if target := redirectTarget(resp); target != "" {
		seen += ", " + target
	}
	if resp.Status == http.StatusNotFound {
		if seen, err = c.reachOperation(ctx, seen); err != nil {
			r.add("HTTP", "", err)
			return r
		}
	}
	r.add("HTTP", seen, nil)
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		ours := before.Add(after.Sub(before) / 2)
		r.Skew, r.SkewKnown = date.Add(time.Second/2).Sub(ours), true // it has whole seconds
	}
	return r
}

// reachOperation calls an operation if the base of the API is not found: a gateway may answer only
// at its operations. Without a token the call has no effect. The error wraps an [*EndpointError] if
// the operation does not exist either. seen is the result so far.
func (c *Client) reachOperation(ctx context.Context, seen string) (string, error) {
	resp, err := c.do(ctx, call{op: opWhoAmI, method: http.MethodPost, path: "/WhoAmI", accept: "application/json"})
	if err != nil {
		return "", err
	}
	if code, _ := wordsOf(resp); code == "" && noOperation(opWhoAmI, resp) {
		return "", fmt.Errorf("%s: %w", seen, c.endpointError())
	}
	return fmt.Sprintf("%s, POST WhoAmI: %d", seen, resp.Status), nil
}

func (r *Reached) add(name, detail string, err error) {
	r.Steps = append(r.Steps, Step{name, detail, err})
}

// dial resolves the name, connects and makes the TLS handshake. It reports whether all of them
// succeeded.
func (r *Reached) dial(ctx context.Context, transport *http1.Transport, u *url.URL) bool {
	host := u.Hostname()
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	r.add("DNS", host+" is "+strings.Join(addresses, ", "), err)
	if err != nil {
		return false
	}
	conn, err := transport.DialContext(ctx, "tcp", http1.Address(u))
	if err != nil {
		r.add("TCP", "", err)
		return false
	}
	defer func() { _ = conn.Close() }()
	r.add("TCP", "connected to "+conn.RemoteAddr().String(), nil)
	if u.Scheme != "https" {
		return true
	}
	secured, err := transport.Handshake(ctx, conn, host)
	if err != nil {
		r.add("TLS", "", err)
		return false
	}
	state := secured.ConnectionState()
	r.CertificateEnds = state.PeerCertificates[0].NotAfter
	r.add("TLS", fmt.Sprintf("%s, certificate valid until %s", tls.VersionName(state.Version), r.CertificateEnds.UTC().Format(time.DateOnly)), nil)
	return true
}

// LogIn gets a token if there is none yet. The error is an [*Error], which wraps a [*LoginError] if
// the credentials were refused.
func (c *Client) LogIn(ctx context.Context) error {
	_, err := c.session.token(ctx)
	return err
}

// CanListJobs returns an error unless the vendor lists jobs for this user. Without the list, a job
// behind a lost answer cannot be found.
func (c *Client) CanListJobs(ctx context.Context) error {
	_, err := c.listJobsPage(ctx, 0, lookupMargin)
	if unanswered(err) {
		_, err = c.searchJobsPage(ctx, 0, lookupMargin)
	}
	return err
}

// Description reads the text that a job was started with from the vendor, "" if the vendor does not
// show it. It does not use what this client knows of jobs that it started.
func (c *Client) Description(ctx context.Context, jobID string) (string, error) {
	id := positive(jobID)
	if id == "" {
		return "", &Error{Op: opTaskDetails, Verdict: NotSent, Message: fmt.Sprintf("job id %.40q must be a number above 0", jobID)}
	}
	return c.readDescription(ctx, id)
}
