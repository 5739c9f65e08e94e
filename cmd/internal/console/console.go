// Package console shows a running process to operators and supervisors, on one HTTP
// listener:
//
//	/livez, /healthz  the process answers; true as long as it runs
//	/readyz           requests are being read; ?verbose returns every check as JSON
//	/                 the operators' page, see package page
//
// The program adds further endpoints with [Console.Handle].
//
// # Ready or not
//
// Ready means that this process does its work: it is connected and its pulls are
// answered. It is not ready while it starts, while it drains, and while JetStream
// is out of reach. An unavailable vendor is a [Check] of the other sort, a condition: it
// is shown and does not change readiness, because the other replicas cannot reach the
// vendor either, and a restart does not help. For the same reason liveness has no
// checks.
//
// # Safety
//
// The endpoints above have no authentication and change nothing. The page asks for a
// token before it changes anything. Everything shown may also be in the log; secrets are
// never shown.
//
// A listener on loopback answers only to the names of loopback. A foreign
// page whose name resolves to this machine (DNS rebinding) gets no answer.
//
// All methods may be called at any time. Stop waits for answers under way.
package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/httplimit"
)

// Console is a listener that answers.
type Console struct {
	listener net.Listener // nil for a console that is off
	server   *http.Server
	mux      *http.ServeMux
	checks   atomic.Pointer[[]Check]
	ledger   atomic.Pointer[func() time.Time]
	served   chan struct{}
	log      zerolog.Logger
}

// ListenError is an address at which the console cannot listen.
type ListenError struct {
	Err error
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("configuration: admin address: %v; set BACKHAUL_ADMIN_ADDR or --admin-addr to another one, such as 127.0.0.1:0 for any free port, or to off", e.Err)
}
func (e *ListenError) Unwrap() error { return e.Err }

const (
	// readTimeout bounds how long a caller may take to ask. There is no bound for
	// the answer here: a page that follows events never ends.
	readTimeout = 5 * time.Second
	idleTimeout = time.Minute
	maxHeader   = 16 << 10
	// maxConnections bounds the memory of idle connections, some 30 KB each. A new one,
	// such as that of a probe, is always served; the oldest idle one is closed for it.
	maxConnections = 256
	// writeTimeout bounds how long a caller may take to read an answer. Pages that
	// follow events set their own deadlines, and a profile lasts as long as it is asked.
	writeTimeout = 30 * time.Second
	// stopTimeout is how long answers under way may take after a stop.
	stopTimeout = 2 * time.Second
)

// Start listens and answers. The console is not ready until [Console.Watch] sets its
// checks. With address "" it does not listen. The error is a [*ListenError].
func Start(ctx context.Context, address string, log zerolog.Logger) (*Console, error) {
	c := &Console{mux: http.NewServeMux(), served: make(chan struct{}), log: log}
	c.Handle("GET /livez", http.HandlerFunc(live))
	c.Handle("GET /healthz", http.HandlerFunc(live))
	c.Handle("GET /readyz", http.HandlerFunc(c.ready))
	c.Watch(Check{Name: "start", Probe: func() error { return errors.New("starting") }})
	if address == "" {
		close(c.served)
		return c, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &ListenError{Err: err}
	}
	c.listener = listener
	c.server = &http.Server{
		Handler: c.handler(), ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
	}
	httplimit.Apply(c.server, maxConnections, log.With().Str("listener", "admin").Logger())
	go c.serve()
	return c, nil
}

func (c *Console) serve() {
	defer close(c.served)
	if err := c.server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
		c.log.Error().Err(err).Msg("the admin listener ended")
	}
}

// URL returns the address of the listener, "" if it is off.
func (c *Console) URL() string {
	if c.listener == nil {
		return ""
	}
	return "http://" + c.listener.Addr().String()
}

// Handle adds an endpoint by a pattern of [http.ServeMux], which answers HEAD as GET
// and other methods by 405. It may be called while the console answers.
func (c *Console) Handle(pattern string, handler http.Handler) { c.mux.Handle(pattern, handler) }

// Watch makes readiness depend on these checks, and on no earlier ones.
func (c *Console) Watch(checks ...Check) { c.checks.Store(&checks) }

// Name makes /readyz?verbose name the ledger that this process works on: when its stream was made. It
// tells one installation from another on the same machine.
func (c *Console) Name(ledger func() time.Time) { c.ledger.Store(&ledger) }

// Stop ends the listener and, soon, answers under way.
func (c *Console) Stop() {
	if c.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if c.server.Shutdown(ctx) != nil {
			_ = c.server.Close()
		}
	}
	<-c.served
}

// Exposed reports whether other machines can reach the listener.
func (c *Console) Exposed() bool {
	return c.listener != nil && !c.listener.Addr().(*net.TCPAddr).IP.IsLoopback()
}

func (c *Console) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		if !c.Exposed() && !loopbackName(r.Host) {
			answer(w, http.StatusMisdirectedRequest, "this listener answers to localhost and 127.0.0.1 only; a proxy in front has to ask for one of them")
			return
		}
		deadline := time.Now().Add(writeTimeout)
		if strings.HasPrefix(r.URL.Path, "/debug/") {
			deadline = time.Time{}
		}
		_ = http.NewResponseController(w).SetWriteDeadline(deadline)
		c.mux.ServeHTTP(w, r)
	})
}

// loopbackName reports whether the host of a request is a name of loopback, which a
// foreign DNS server cannot control.
func loopbackName(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	ip := net.ParseIP(name)
	return ip.IsLoopback() || ip == nil && strings.EqualFold(strings.TrimSuffix(name, "."), "localhost")
}
