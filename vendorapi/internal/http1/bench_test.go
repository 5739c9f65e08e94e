//go:build unix

package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkExchange compares the transport with net/http's, which is made to report
// whether a request was written. The package documentation has the figures. The
// server is the same for both, reads little and answers a constant. cpu-µs/op is the
// CPU time of both sides.
func BenchmarkExchange(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1900) // as long as a CreateTask in XML
	for _, bench := range []struct {
		name string
		do   func(*testing.B, *url.URL) func(context.Context) error
	}{
		{"http1", func(b *testing.B, server *url.URL) func(context.Context) error {
			transport := &Transport{Config: Config{Server: server, DialContext: new(net.Dialer).DialContext, MaxConns: 64}}
			b.Cleanup(transport.CloseIdleConnections)
			return func(ctx context.Context) error {
				_, err := transport.Do(ctx, &Request{
					Method: http.MethodPost, Target: "/CreateTask", Body: body, Limit: 1 << 20,
					Header: []Field{{Name: "Content-Type", Value: "application/xml"}, {Name: "Authtoken", Value: "QSDK token"}},
				})
				return err
			}
		}},
		{"net-http", func(b *testing.B, server *url.URL) func(context.Context) error {
			transport := &http.Transport{MaxConnsPerHost: 64, MaxIdleConnsPerHost: 64}
			b.Cleanup(transport.CloseIdleConnections)
			return func(ctx context.Context) error { return roundTrip(ctx, transport, server, body) }
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			do := bench.do(b, constantServer(b))
			began := cpuTime(b)
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
					err := do(ctx)
					cancel()
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64((cpuTime(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// roundTrip is what Do guarantees, as far as net/http allows it.
func roundTrip(ctx context.Context, transport *http.Transport, server *url.URL, body []byte) error {
	var written atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { written.Store(false) },
		GotConn: func(info httptrace.GotConnInfo) {
			deadline, _ := ctx.Deadline()
			_ = info.Conn.SetWriteDeadline(deadline)
		},
		WroteHeaderField: func(string, []string) { written.Store(true) },
		WroteHeaders:     func() { written.Store(true) },
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.String()+"/CreateTask", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/xml")
	request.Header["Authtoken"] = []string{"QSDK token"}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return &Error{Written: written.Load(), Err: err}
	}
	defer func() { _ = answer.Body.Close() }()
	_, err = io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return err
}

// constantServer answers each request with the same bytes. It takes from a request
// only its Content-Length.
func constantServer(b *testing.B) *url.URL {
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	const content = `<TMMsg_CreateTaskResp taskId="4038"><jobIds val="5976"/></TMMsg_CreateTaskResp>`
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Sat, 28 Nov 2026 00:00:00 GMT\r\nContent-Type: application/xml\r\nContent-Length: " +
		strconv.Itoa(len(content)) + "\r\n\r\n" + content)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				if err := answerAll(conn, answer); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
					b.Error(err)
				}
			}()
		}
	}()
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}
}

func answerAll(conn net.Conn, answer []byte) error {
	buffer := make([]byte, 8192)
	for have := 0; ; {
		n, err := conn.Read(buffer[have:])
		if err != nil {
			return err
		}
		have += n
		head, _, whole := bytes.Cut(buffer[:have], []byte("\r\n\r\n"))
		if !whole {
			continue
		}
		_, after, _ := bytes.Cut(head, []byte("Content-Length: "))
		length, _, _ := bytes.Cut(after, []byte("\r\n"))
		size, err := strconv.Atoi(string(length))
		if err != nil {
			return err
		}
		if have < len(head)+4+size {
			continue
		}
		if _, err := conn.Write(answer); err != nil {
			return err
		}
		have = 0
	}
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
