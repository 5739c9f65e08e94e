package vendorapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

var discard = log.New(io.Discard, "", 0)

// TestClient_aKeptConnectionIsClosed: it starts over on a new connection only because
// nothing was written on the old one.
func TestClient_aKeptConnectionIsClosed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		refuse bool // the new connection
		want   Verdict
		jobs   int
	}{
		{"and a new one", false, started, 1},
		{"and no new one", true, NotSent, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim, c := onLoopback(t, simulator.Config{})
			broken := new(atomic.Bool)
			d := (&dials{wrap: func(conn net.Conn) net.Conn { return &brokenConn{Conn: conn, broken: broken} }}).on(c)
			if _, err := c.session.token(t.Context()); err != nil {
				t.Fatal(err)
			}
			broken.Store(true)
			d.refuse.Store(tt.refuse)
			job, err := c.CreateTask(t.Context(), testTask())
			if tt.want == started {
				wantJob(t, job, err)
			} else {
				wantVerdict(t, err, tt.want)
			}
			if a := sim.Account(); a.JobsStarted != tt.jobs {
				t.Errorf("%d jobs, want %d", a.JobsStarted, tt.jobs)
			}
			if n := d.made.Load(); n != int32(1+tt.jobs) {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// brokenConn was closed by its other end, which the first write finds out.
type brokenConn struct {
	net.Conn
	broken *atomic.Bool
}

func (c *brokenConn) Write(b []byte) (int, error) {
	if c.broken.Swap(false) {
		return 0, errors.New("broken pipe")
	}
	return c.Conn.Write(b)
}

// TestClient_halfOfTheHeadersSent: a long token does not fit into one write, so that
// bytes leave before all headers are written.
func TestClient_halfOfTheHeadersSent(t *testing.T) {
	_, c := onLoopback(t, simulator.Config{}, withAuth(tokenAuth(Secret(strings.Repeat("5ec7e7", 5_000)))))
	(&dials{wrap: func(conn net.Conn) net.Conn { return &cutConn{Conn: conn, left: 4096} }}).on(c)
	_, err := c.CreateTask(t.Context(), testTask())
	wantVerdict(t, err, Unknown)
}

// TestClient_theVendorClosesAnIdleConnection is the same with a real server, which
// closes what it keeps.
func TestClient_theVendorClosesAnIdleConnection(t *testing.T) {
	sim := simulator.New(simulator.Config{})
	server := httptest.NewServer(sim)
	defer server.Close()
	c := newTestClient(t, server.URL+"/webconsole/api")
	for i := range 20 {
		job, err := c.CreateTask(t.Context(), loadTask(i))
		// The close may cross the request, which then may have been read, or come
		// before its first byte.
		if VerdictOf(err) == NotSent {
			wantVerdict(t, err, NotSent)
		} else if err != nil {
			wantVerdict(t, err, Unknown)
		} else {
			wantJob(t, job, err)
		}
		server.CloseClientConnections()
	}
	for marker, jobs := range sim.Account().JobsByMarker {
		if len(jobs) > 1 {
			t.Errorf("%s has jobs %q", marker, jobs)
		}
	}
}

// TestCreateTask_hasNoIdempotencyKey shows why requests have none, and one more reason for a transport
// of our own: with it, net/http sends a POST a second time by itself when a kept
// connection breaks before the answer, and Commvault does not know the header.
func TestCreateTask_hasNoIdempotencyKey(t *testing.T) {
	cutOnce := func(t *testing.T) (*simulator.Simulator, *Client) {
		sim, c := onLoopback(t, simulator.Config{})
		if _, err := c.session.token(t.Context()); err != nil {
			t.Fatal(err)
		}
		sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
		return sim, c
	}
	t.Run("with it and net/http, two jobs", func(t *testing.T) {
		sim, c := cutOnce(t)
		transport := new(http.Transport)
		defer transport.CloseIdleConnections()
		token, err := c.session.token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/WhoAmI", "/CreateTask"} { // on the same connection
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.endpoint+path, bytes.NewReader(xmlOf(t, testTask())))
			if err != nil {
				t.Fatal(err)
			}
			auth := token.header()
			req.Header.Set(auth.Name, auth.Value)
			req.Header.Set("Content-Type", "application/xml")
			req.Header.Set("Idempotency-Key", "1")
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if n := sim.Account().JobsStarted; n != 2 {
			t.Errorf("%d jobs: net/http does not send again any more, and this test has lost its reason", n)
		}
	})
	t.Run("without it, one", func(t *testing.T) {
		sim, c := cutOnce(t)
		_, err := c.CreateTask(t.Context(), testTask())
		wantVerdict(t, err, Unknown)
		if a := sim.Account(); a.JobsStarted != 1 || a.CreateTaskCalls != 1 {
			t.Errorf("%d jobs by %d calls", a.JobsStarted, a.CreateTaskCalls)
		}
	})
	t.Run("headers", func(t *testing.T) {
		seen := make(chan http.Header, 1)
		v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": func(w http.ResponseWriter, r *http.Request) {
			seen <- r.Header
			reply(w, 200, `{"jobIds":["1"]}`)
		}})
		c := newTestClient(t, v.url)
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
		var names []string
		for name := range <-seen {
			names = append(names, name)
		}
		slices.Sort(names)
		want := []string{"Accept", "Accept-Encoding", "Authtoken", "Content-Length", "Content-Type", "User-Agent"}
		if !slices.Equal(names, want) {
			t.Errorf("headers %q, want %q", names, want)
		}
	})
}

// TestClient_followsNoRedirect: none is followed, so that the token stays where it belongs and
// a POST does not become a GET.
func TestClient_followsNoRedirect(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		reply(w, 200, `{"jobIds":["1"],"token":"QSDK x"}`)
	}))
	defer other.Close()
	for status, want := range map[int]Verdict{301: Unknown, 302: Unknown, 303: Unknown, 307: NotSent, 308: NotSent} {
		for _, op := range []string{"CreateTask", "Login"} {
			v := startVendor(t, map[string]http.HandlerFunc{op: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other.URL+"/api/"+op+";jsessionid=5ec7e7?token=5ec7e7", status)
			}})
			c := newTestClient(t, v.url)
			_, err := c.CreateTask(t.Context(), testTask())
			if op == "Login" {
				wantVerdict(t, err, NotSent)
			} else if e := wantVerdict(t, err, want); e.Message != "redirected to "+other.URL+"/api/CreateTask" {
				t.Errorf("the target is not named: %v", err)
			}
			if n := v.count(op); n != 1 {
				t.Errorf("%d: %s was called %d times", status, op, n)
			}
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d calls went to the other host", n)
	}
}

func TestClient_honoursDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{})
		sim.Script(simulator.Fault{Kind: simulator.Delay, For: time.Minute}) // no job, because the caller has gone
		begin := time.Now()
		_, err := c.CreateTask(within(t, 7*time.Second), testTask())
		wantVerdict(t, err, Unknown)
		if took := time.Since(begin); took != 7*time.Second {
			t.Errorf("returned after %s", took)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v does not say that its time was over", err)
		}
		if a := sim.Account(); a.CreateTaskCalls != 1 || a.JobsStarted != 0 {
			t.Errorf("%d calls, %d jobs", a.CreateTaskCalls, a.JobsStarted)
		}

		over, cancel := context.WithDeadline(t.Context(), time.Now())
		defer cancel()
		_, err = c.CreateTask(over, testTask())
		wantVerdict(t, err, NotSent)
		if n := sim.Account().CreateTaskCalls; n != 1 {
			t.Error("sent after the deadline")
		}

		// Config.Timeout bounds calls without a deadline and calls with a later one.
		for _, ctx := range []context.Context{t.Context(), within(t, time.Hour)} {
			sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
			begin = time.Now()
			_, err = c.CreateTask(ctx, testTask())
			wantVerdict(t, err, Unknown)
			if took := time.Since(begin); took != 30*time.Second {
				t.Errorf("returned after %s", took)
			}
		}
	})
}

// TestCreateTask_inAFrozenProcess: a process that is stopped between the lease and the write
// must not send when it wakes up. Closing the connection may come too late then;
// the write deadline does not.
func TestCreateTask_inAFrozenProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{}, byToken)
		(&dials{wrap: func(conn net.Conn) net.Conn { return &frozenConn{Conn: conn, woken: make(chan struct{})} }}).on(c)
		_, err := c.CreateTask(within(t, 5*time.Second), testTask())
		wantVerdict(t, err, NotSent) // the connection did not take any of it
		synctest.Wait()
		if a := sim.Account(); a.CreateTaskCalls != 0 || a.JobsStarted != 0 {
			t.Errorf("%d calls, %d jobs after the deadline", a.CreateTaskCalls, a.JobsStarted)
		}
	})
}

// frozenConn writes a minute late, and is closed later still.
type frozenConn struct {
	net.Conn
	woken chan struct{}
}

func (c *frozenConn) Write(b []byte) (int, error) {
	<-time.After(time.Minute)
	defer close(c.woken)
	return c.Conn.Write(b)
}

func (c *frozenConn) Close() error {
	<-c.woken
	return c.Conn.Close()
}

// TestClient_writeDeadlineDoesNotLeak: a connection is used again long after the
// deadline of the call before.
func TestClient_writeDeadlineDoesNotLeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, endpoint, transport := simulatortest.StartPipe(t, simulator.Config{})
		c := newTestClient(t, endpoint, byToken)
		transportOf(c).DialContext = transport.DialContext
		transportOf(c).IdleConnTimeout = 0
		d := new(dials).on(c)
		for i, timeout := range []time.Duration{time.Second, time.Minute, time.Millisecond, time.Hour} {
			job, err := c.CreateTask(within(t, timeout), loadTask(i))
			wantJob(t, job, err)
			<-time.After(5 * time.Minute)
		}
		if n := d.made.Load(); n != 1 {
			t.Errorf("%d connections: none was used again", n)
		}
		if n := sim.Account().JobsStarted; n != 4 {
			t.Errorf("%d jobs", n)
		}
	})
}
