package vendorapi

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of the kept cookies, so that no answer can fill the memory or the head of the next
// request. Browsers allow 4 KiB for a cookie.
const (
	maxCookies = 20
	maxCookie  = 4 << 10 // of name and value, in bytes
	// shortestHidden is the length in bytes from which a cookie may be a secret.
	shortestHidden = 16
)

// cookies keeps the cookies of the vendor's host for its next calls. A load balancer in front of
// several web servers identifies a caller by a cookie, and only the server that issued a token
// knows it. Cookies stay in memory, are never shown and are sent to no other host: a client has one
// host, and does not follow redirects.
type cookies struct {
	host   string
	path   string // of the endpoint, without a slash at the end
	secure bool

	mu   sync.Mutex
	kept []cookie // in the order in which they were set
}

type cookie struct {
	name    string
	value   *Secret
	expires time.Time // zero is never
}

func newCookies(endpoint *url.URL) *cookies {
	return &cookies{host: endpoint.Hostname(), path: strings.TrimRight(endpoint.Path, "/"), secure: endpoint.Scheme == "https"}
}

// keep stores the cookies of an answer.
func (c *cookies) keep(h http.Header) {
	for _, line := range h.Values("Set-Cookie") {
		if set, err := http.ParseSetCookie(line); err == nil && c.isOurs(set) {
			c.set(set)
		}
	}
}

// isOurs reports whether a cookie applies to every call of the endpoint.
func (c *cookies) isOurs(set *http.Cookie) bool {
	domain := strings.ToLower(strings.TrimPrefix(set.Domain, "."))
	host := strings.ToLower(c.host)
	sameHost := domain == "" || domain == host || strings.HasSuffix(host, "."+domain) && net.ParseIP(host) == nil
	path := strings.TrimRight(set.Path, "/")
	covers := !strings.HasPrefix(set.Path, "/") || c.path == path || strings.HasPrefix(c.path, path+"/")
	return sameHost && covers && (c.secure || !set.Secure) && len(set.Name)+len(set.Value) <= maxCookie
}

func (c *cookies) set(set *http.Cookie) {
	expires := set.Expires
	if set.MaxAge != 0 {
		expires = time.Now().Add(time.Duration(min(set.MaxAge, 1<<30)) * time.Second)
	}
	value := Secret(set.Value)
	if set.Quoted {
		value = Secret(`"` + set.Value + `"`)
	}
	next := cookie{set.Name, &value, expires}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.kept, func(old cookie) bool { return old.name == set.Name })
	switch {
	case next.isOver() && at >= 0:
		c.kept = slices.Delete(c.kept, at, at+1)
	case next.isOver():
	case at >= 0:
		c.kept[at] = next
	default:
		if len(c.kept) == maxCookies {
			c.kept = slices.Delete(c.kept, 0, 1)
		}
		c.kept = append(c.kept, next)
	}
}

func (c cookie) isOver() bool { return !c.expires.IsZero() && !time.Now().Before(c.expires) }

// header returns the value of the Cookie header, "" without cookies.
func (c *cookies) header() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) == 0 {
		return ""
	}
	var pairs []string
	for _, one := range c.kept {
		if !one.isOver() {
			pairs = append(pairs, one.name+"="+string(*one.value))
		}
	}
	return strings.Join(pairs, "; ")
}

// hide removes the cookies from an answer, as [token.hide] does with a token. A short cookie names
// a server, and may be part of a job id.
func (c *cookies) hide(body []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.kept {
		if len(*one.value) >= shortestHidden {
			body = hidden(body, string(*one.value))
		}
	}
	return body
}
