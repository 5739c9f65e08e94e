package http1

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a real server, and counts its connections.
type server struct {
	*httptest.Server
	conns atomic.Int32
}

func serve(t *testing.T, secure bool, handle http.HandlerFunc) *server {
	t.Helper()
	s := &server{Server: httptest.NewUnstartedServer(handle)}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// to is a transport to a server.
func (s *server) to(t *testing.T) *Transport {
	t.Helper()
	return newTransport(t, s.URL, s.Certificate() != nil, s)
}

func newTransport(t *testing.T, rawURL string, secure bool, trusted *server) *Transport {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	tr := &Transport{Config: Config{
		Server: u, DialContext: new(net.Dialer).DialContext, TLSClientConfig: new(tls.Config),
		TLSHandshakeTimeout: 5 * time.Second, MaxConns: 4,
	}}
	if secure {
		tr.TLSClientConfig = trusted.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func post(body string) *Request {
	return &Request{Method: http.MethodPost, Target: "/do?x=1", Body: []byte(body), Limit: 1 << 20}
}

func mustDo(t *testing.T, tr *Transport, r *Request) Answer {
	t.Helper()
	a, err := tr.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func wantError(t *testing.T, err error, written bool, says string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Written != written || !strings.Contains(err.Error(), says) {
		t.Fatalf("error %v (%+v), want one with %q, written %t", err, e, says, written)
	}
}

// TestAnswers: every framing of an answer is read whole, and the connection used
// again where that is possible.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("0123456789", 5000)
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		want   string
		conns  int32 // for three exchanges
	}{
		"with a length": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, "ok", 1},
		"in chunks": {func(w http.ResponseWriter, _ *http.Request) {
			for part := range 5 {
				_, _ = io.WriteString(w, long[part*10_000:(part+1)*10_000])
				w.(http.Flusher).Flush()
			}
		}, long, 1},
		"empty":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "", 1},
		"to the end": {raw("HTTP/1.0 200 OK\r\n\r\n" + long), long, 3},
		"and closed": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "ok")
		}, "ok", 3},
		"after others": {raw("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"), "ok", 3},
		"packed": {func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				w.WriteHeader(http.StatusNotAcceptable)
			}
			w.Header().Set("Content-Encoding", "gzip")
			zip := gzip.NewWriter(w)
			_, _ = io.WriteString(zip, long)
			_ = zip.Close()
		}, long, 1},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %t", name, secure), func(t *testing.T) {
				s := serve(t, secure, tt.handle)
				tr := s.to(t)
				for range 3 {
					head := 0
					r := post("body")
					r.Head = func(status int, _ http.Header) { head = status }
					a := mustDo(t, tr, r)
					if string(a.Body) != tt.want || a.Status != head || a.Status/100 != 2 {
						t.Fatalf("%d, head %d, %.40q", a.Status, head, a.Body)
					}
				}
				if n := s.conns.Load(); n != tt.conns {
					t.Errorf("%d connections for three exchanges, want %d", n, tt.conns)
				}
			})
		}
	}
}

// raw answers with these bytes and closes.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, answer)
		_ = conn.Close()
	}
}

func TestRequest(t *testing.T) {
	seen := make(chan string, 1)
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host == r.Context().Value(http.LocalAddrContextKey).(net.Addr).String(), " ", r.Header, " ", r.ContentLength, " ", string(body))
	})
	tr := s.to(t)
	r := post("<body/>")
	r.Header = []Field{{"Content-Type", "application/xml"}}
	mustDo(t, tr, r)
	if got, want := <-seen, "POST /do?x=1 true map[Accept-Encoding:[gzip] Content-Length:[7] Content-Type:[application/xml]] 7 <body/>"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	mustDo(t, tr, &Request{Method: http.MethodPost, Target: "/"})
	if got, want := <-seen, "POST / true map[Accept-Encoding:[gzip] Content-Length:[0]] 0 "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	mustDo(t, tr, &Request{Method: http.MethodGet})
	if got, want := <-seen, "GET / true map[Accept-Encoding:[gzip]] 0 "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, f := range []Field{{"X", "a\r\nY: b"}, {"X: y", "a"}, {"", "a"}} {
		r.Header = []Field{f}
		_, err := tr.Do(t.Context(), r)
		wantError(t, err, false, "invalid header field")
	}
	if len(seen) > 0 {
		t.Error("it was sent")
	}
}

// TestTransport_theServerClosedAKeptConnection: its end is seen before anything is sent.
func TestTransport_theServerClosedAKeptConnection(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := serve(t, secure, func(http.ResponseWriter, *http.Request) {})
		tr := s.to(t)
		for i := range int32(20) {
			mustDo(t, tr, post(""))
			s.CloseClientConnections()
			untilNoticed(t, tr)
			if n := s.conns.Load(); n != i+1 {
				t.Fatalf("%d connections after %d exchanges", n, i+1)
			}
		}
	}
}

// untilNoticed waits until the client has noticed that the kept connection cannot be used for
// another exchange.
func untilNoticed(t *testing.T, tr *Transport) {
	t.Helper()
	c := tr.take()
	for limit := time.Now().Add(time.Minute); c.open(); {
		if time.Now().After(limit) {
			t.Fatal("it is not noticed")
		}
	}
	tr.slots <- struct{}{}
	tr.keep(c)
}

// TestTransport_anUnaskedAnswer: bytes that a server sends on an idle connection answer no request.
func TestTransport_anUnaskedAnswer(t *testing.T) {
	hijacked := make(chan net.Conn, 1)
	const forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"+map[string]string{"/more": forged}[r.URL.Path])
		hijacked <- conn
	})
	tr := s.to(t)
	mustDo(t, tr, post(""))
	conn := <-hijacked
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, forged)
	untilNoticed(t, tr)
	mustDo(t, tr, post(""))
	_ = (<-hijacked).Close()
	untilNoticed(t, tr)
	more := post("") // what comes together with an answer
	more.Target = "/more"
	for _, r := range []*Request{more, post("")} {
		if a := mustDo(t, tr, r); string(a.Body) != "ok" {
			t.Fatalf("answer %q", a.Body)
		}
		conn := <-hijacked
		defer func() { _ = conn.Close() }()
	}
}

func TestPermit(t *testing.T) {
	s := serve(t, false, func(http.ResponseWriter, *http.Request) {})
	tr := s.to(t)
	mustDo(t, tr, post(""))
	no := errors.New("no")
	for range 2 * tr.MaxConns {
		r := post("")
		r.Permit = func() error { return no }
		if _, err := tr.Do(t.Context(), r); err != no { //nolint:errorlint // not wrapped
			t.Fatal(err)
		}
	}
	mustDo(t, tr, post(""))
	if n := s.conns.Load(); n != 1 {
		t.Errorf("%d connections, want the one: nothing was sent on it", n)
	}
}

// TestTransport_manyCallers: at most the allowed number of connections, and every caller gets one.
func TestTransport_manyCallers(t *testing.T) {
	var now, most atomic.Int32
	s := serve(t, false, func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
	})
	tr := s.to(t)
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if _, err := tr.Do(t.Context(), post("")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := s.conns.Load(); n > 4 || most.Load() > 4 {
		t.Errorf("%d connections, %d exchanges at once, want 4 at most", n, most.Load())
	}
}

// TestEnd: an exchange ends with its context wherever it is, and does not harm the
// next one.
func TestEnd(t *testing.T) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hang" {
			return
		}
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		arrived <- struct{}{}
		<-release
	})
	defer close(release)
	tr := s.to(t)
	tr.MaxConns = 1
	cause := errors.New("the cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-arrived
		// The one place is taken: this one waits, and ends with its deadline.
		short, end := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer end()
		_, err := tr.Do(short, post(""))
		if e, ok := errors.AsType[*Error](err); !ok || e.Written || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waited got %v", err)
		}
		cancel(cause)
	}()
	r := post("")
	r.Target = "/hang"
	_, err := tr.Do(ctx, r)
	wantError(t, err, true, "the cause")
	if !errors.Is(err, cause) {
		t.Error(err)
	}
	_, err = tr.Do(ctx, post(""))
	wantError(t, err, false, "the cause")
	mustDo(t, tr, post(""))
}

// TestIdle: connections that were idle for long are closed, others are not.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &url.URL{Scheme: "http", Host: "vendor.invalid"}
		var open atomic.Int32
		tr := &Transport{Config: Config{
			Server: u, MaxConns: 2, IdleConnTimeout: time.Minute,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				client, vendor := net.Pipe()
				open.Add(1)
				go func() {
					defer open.Add(-1)
					buf := make([]byte, 4096)
					for {
						if _, err := vendor.Read(buf); err != nil {
							return
						}
						if _, err := io.WriteString(vendor, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
							return
						}
					}
				}()
				return client, nil
			},
		}}
		both := func() {
			var all sync.WaitGroup
			var met sync.WaitGroup
			met.Add(2)
			for range 2 {
				all.Go(func() {
					r := post("")
					r.Permit = func() error {
						met.Done()
						met.Wait()
						return nil
					}
					if _, err := tr.Do(t.Context(), r); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		}
		both()
		for range 3 { // one of the two is used
			<-time.After(40 * time.Second)
			mustDo(t, tr, post(""))
		}
		synctest.Wait()
		if n := open.Load(); n != 1 {
			t.Errorf("%d connections, want the one that is in use", n)
		}
		<-time.After(61 * time.Second)
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("%d connections are kept after their time", n)
		}
	})
}
