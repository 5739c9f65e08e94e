package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// breaking fails after so many bytes, once.
type breaking struct {
	net.Conn
	after *atomic.Int32 // below 0 for never
}

func (c breaking) Write(p []byte) (int, error) {
	n := int(c.after.Swap(-1))
	if n < 0 {
		return c.Conn.Write(p)
	}
	n, _ = c.Conn.Write(p[:min(n, len(p))])
	return n, errors.New("broken")
}

// TestAnswer_written: what was not written is sent again if the connection was a kept one;
// what was written in part is not.
func TestAnswer_written(t *testing.T) {
	for _, kept := range []bool{false, true} {
		for bytes, sent := range map[int32]bool{0: false, 10: true} {
			var exchanges atomic.Int32
			s := serve(t, false, func(http.ResponseWriter, *http.Request) { exchanges.Add(1) })
			tr := s.to(t)
			after := new(atomic.Int32)
			after.Store(-1)
			tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				return breaking{conn, after}, err
			}
			want := int32(0)
			if kept {
				mustDo(t, tr, post(""))
				want++
			}
			after.Store(bytes)
			if _, err := tr.Do(t.Context(), post("")); kept && !sent {
				if want++; err != nil {
					t.Error(err)
				}
			} else {
				wantError(t, err, sent, "broken")
			}
			mustDo(t, tr, post(""))
			if n := exchanges.Load(); n != want+1 {
				t.Errorf("kept %t, %d bytes: %d exchanges, want %d", kept, bytes, n, want+1)
			}
		}
	}
}

// untimed has no deadlines, as in a process that was frozen and whose timers come late.
type untimed struct{ net.Conn }

func (untimed) SetDeadline(time.Time) error { return nil }

// TestLate: nothing is sent when the time is over, whatever the connection does.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := toPipe("http://vendor.invalid", func(conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				t.Error("sent late")
			}
			_ = conn.Close()
		})
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			return untimed{conn}, err
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := post("")
		r.Permit = func() error {
			<-ctx.Done()
			return nil
		}
		_, err := tr.Do(ctx, r)
		wantError(t, err, false, "deadline exceeded")
	})
}

// lateContext ends later than its deadline.
type lateContext struct {
	context.Context //nolint:containedctx // it is a context
	deadline        time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.deadline, true }

// TestTransport_deadlineOfTheConnection: it ends a write also when the context is late.
func TestTransport_deadlineOfTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := toPipe("http://vendor.invalid", func(conn net.Conn) {
			<-time.After(2 * time.Second)
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				t.Error("sent late")
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := tr.Do(lateContext{ctx, time.Now().Add(time.Second)}, post(""))
		wantError(t, err, false, "deadline exceeded")
	})
}

// toPipe is a transport whose connections lead to serve.
func toPipe(server string, serve func(net.Conn)) *Transport {
	u, _ := url.Parse(server)
	return &Transport{Config: Config{
		Server: u, MaxConns: 2, TLSClientConfig: new(tls.Config), TLSHandshakeTimeout: 5 * time.Second,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, vendor := net.Pipe()
			go serve(vendor)
			return client, nil
		},
	}}
}

// TestTransport_theEndOfAnotherContext: an exchange ends with its own context, not with that of an
// earlier one on the connection.
func TestTransport_theEndOfAnotherContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := toPipe("http://vendor.invalid", func(conn net.Conn) {
			in := bufio.NewReader(conn)
			for {
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				<-time.After(time.Second)
				if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
					return
				}
			}
		})
		defer tr.CloseIdleConnections()
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := tr.Do(ctx, post("")); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second/2, cancel)
		mustDo(t, tr, post(""))
	})
}

// TestTransport_handshakeEnds: a server that does not answer a handshake is given up.
func TestTransport_handshakeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := toPipe("https://vendor.invalid", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		begin := time.Now()
		_, err := tr.Do(t.Context(), post(""))
		wantError(t, err, false, "deadline exceeded")
		if took := time.Since(begin); took != tr.TLSHandshakeTimeout {
			t.Errorf("took %s", took)
		}
	})
}
