package http1

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"
)

// FuzzAnswer reads arbitrary bytes from a server. Each exchange ends, with what was
// read whole or an error, and leaves its place to the next one.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nTrailer: x\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nx",
		"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b",
		"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		tr := &Transport{Config: Config{
			Server: &url.URL{Scheme: "http", Host: "vendor.invalid"}, MaxConns: 1,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				client, vendor := net.Pipe()
				go func() {
					defer func() { _ = vendor.Close() }()
					_, _ = vendor.Read(make([]byte, 4096))
					_, _ = vendor.Write(answer)
				}()
				return client, nil
			},
		}}
		defer tr.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a, err := tr.Do(ctx, &Request{Method: "POST", Target: "/", Limit: 1000})
		switch e, failed := err.(*Error); { //nolint:errorlint // not wrapped
		case err == nil && (a.Status < 101 || len(a.Body) > 1000):
			t.Errorf("answer %d with %d bytes", a.Status, len(a.Body))
		case err != nil && (!failed || !e.Written):
			t.Errorf("error %#v", err)
		}
		if len(tr.slots) != 0 {
			t.Error("the place is not free")
		}
	})
}
