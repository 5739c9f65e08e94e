package natsconn

import (
	"cmp"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// connectTimeout bounds a try to connect to one address.
	connectTimeout = 2 * time.Second
	// reconnectWait is the least pause before an address is tried again, and the most
	// that is added to it so that clients do not come all at once.
	reconnectWait = 250 * time.Millisecond
)

// reconnecting chooses the server to reconnect to. A cluster may advertise addresses
// that this client has no way to, and a try to connect to one lasts as long as it may.
// nats.go comes back to the server that it lost after it has tried all of them. Here
// every second try is one of a server that the client was connected to before.
type reconnecting struct {
	mu      sync.Mutex
	reached map[string]bool // hosts with their ports
	lost    string          // the one of the last connection
	other   bool            // the next try is one of a server that was never reached
}

// note remembers the server that nc is connected to.
func (r *reconnecting) note(nc *nats.Conn) {
	connected, err := url.Parse(nc.ConnectedUrl())
	if err != nil || connected.Host == "" { // lost again
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reached == nil {
		r.reached = make(map[string]bool)
	}
	r.reached[connected.Host] = true
	r.lost, r.other = connected.Host, false
}

// choose implements [nats.ReconnectToServerHandler]. It must not call the connection,
// which holds its lock.
func (r *reconnecting) choose(servers []nats.Server, _ nats.ServerInfo) (*nats.Server, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var reached, others []*nats.Server
	for i := range servers {
		if s := &servers[i]; r.reached[s.URL.Host] {
			reached = append(reached, s)
		} else {
			others = append(others, s)
		}
	}
	from := reached
	if len(reached) == 0 || r.other && len(others) > 0 {
		from = others
	}
	r.other = !r.other
	if len(from) == 0 {
		return nil, 0
	}
	chosen := slices.MinFunc(from, func(a, b *nats.Server) int { return cmp.Compare(r.tried(a), r.tried(b)) })
	if r.tried(chosen) == 0 {
		return chosen, 0
	}
	return chosen, reconnectWait + rand.N(reconnectWait)
}

// tried returns how often a server was tried since it was reached. The server whose
// connection was lost counts as tried.
func (r *reconnecting) tried(s *nats.Server) int {
	if s.URL.Host == r.lost {
		return s.Reconnects + 1
	}
	return s.Reconnects
}
