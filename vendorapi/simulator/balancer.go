package simulator

import "net/http"

// stickyCookie names the cookie by which the load balancer knows a caller's server.
const stickyCookie = "SERVERID"

// balancer distributes calls over web servers. Assumed: only the server that issued a
// login token knows it, as without a shared session store.
type balancer struct {
	servers int
	sticky  bool
	next    int            // the server of the next caller without a cookie
	callers map[string]int // server by the cookie's value
}

func newBalancer(servers int, sticky bool) balancer {
	return balancer{servers: max(servers, 1), sticky: sticky, callers: make(map[string]int)}
}

// serverOf returns the server that answers a call: the one that its cookie names, or the
// next in rotation. With sticky cookies a new caller gets a cookie.
func (s *Simulator) serverOf(w http.ResponseWriter, r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.balancer
	if cookie, err := r.Cookie(stickyCookie); err == nil && b.sticky {
		if server, known := b.callers[cookie.Value]; known {
			return server
		}
	}
	server := b.next
	b.next = (b.next + 1) % b.servers
	if b.sticky {
		value := randomHex()
		b.callers[value] = server
		http.SetCookie(w, &http.Cookie{Name: stickyCookie, Value: value, Path: "/", HttpOnly: true})
	}
	return server
}
