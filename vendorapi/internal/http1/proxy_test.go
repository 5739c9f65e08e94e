package http1

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// proxyServer is a proxy of HTTP with a password.
func proxyServer(t *testing.T, secure bool, asked chan<- string) *server {
	return serve(t, secure, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.RequestURI
		if r.Header.Get("Proxy-Authorization") != "Basic dXNlcjpzZWNyZXQ=" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect {
			_, _ = fmt.Fprint(w, "by proxy")
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
		join(here, buffered, there)
	})
}

func join(here net.Conn, fromHere io.Reader, there net.Conn) {
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(there, fromHere); _ = there.Close() })
	both.Go(func() { _, _ = io.Copy(here, there); _ = here.Close() })
	both.Wait()
}

func TestProxy(t *testing.T) {
	direct := func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "direct") }
	for _, proxySecure := range []bool{false, true} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("TLS to the proxy %t, to the server %t", proxySecure, secure), func(t *testing.T) {
				asked := make(chan string, 10)
				s, p := serve(t, secure, direct), proxyServer(t, proxySecure, asked)
				via, err := url.Parse(p.URL)
				if err != nil {
					t.Fatal(err)
				}
				// The servers of a test all have the same certificate.
				tr := newTransport(t, s.URL, true, trusting(t, s, p))
				tr.Proxy = http.ProxyURL(via)
				_, err = tr.Do(t.Context(), post("x"))
				if secure {
					wantError(t, err, false, "407 Proxy Authentication Required")
				} else if err != nil {
					t.Fatal(err)
				}
				<-asked
				tr.CloseIdleConnections()

				via.User = url.UserPassword("user", "secret")
				for range 2 {
					a := mustDo(t, tr, post("x"))
					want := map[bool]string{false: "by proxy", true: "direct"}[secure]
					if string(a.Body) != want {
						t.Errorf("%d %q, want %q", a.Status, a.Body, want)
					}
				}
				want := "POST " + s.URL + "/do?x=1"
				if secure {
					want = "CONNECT " + s.Listener.Addr().String()
				}
				if got := <-asked; got != want {
					t.Errorf("the proxy was asked %q, want %q", got, want)
				}
				// A tunnel is asked for once.
				if n := len(asked); secure && n != 0 {
					t.Errorf("%d further tunnels", n)
				}
			})
		}
	}
}

// trusting is one of the two servers that has a certificate, or one that is made for it.
func trusting(t *testing.T, servers ...*server) *server {
	for _, s := range servers {
		if s.Certificate() != nil {
			return s
		}
	}
	return serve(t, true, func(http.ResponseWriter, *http.Request) {})
}

func TestProxy_fails(t *testing.T) {
	s := serve(t, true, func(http.ResponseWriter, *http.Request) {})
	for _, tt := range []struct{ proxy, says string }{
		{"ftp://127.0.0.1:1", `unknown scheme "ftp"`},
		{"http://127.0.0.1:1", "connection refused"},
		{"https://127.0.0.1:1", "connection refused"},
		{"socks5://127.0.0.1:1", "connection refused"},
	} {
		via, err := url.Parse(tt.proxy)
		if err != nil {
			t.Fatal(err)
		}
		tr := s.to(t)
		tr.Proxy = http.ProxyURL(via)
		for range tr.MaxConns + 1 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err = tr.Do(ctx, post(""))
			cancel()
			wantError(t, err, false, tt.says)
		}
	}
}

func TestSOCKS(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := serve(t, secure, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "ok") })
		tr := s.to(t)
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "socks5", Host: socksServer(t)})
		for range 2 {
			if a := mustDo(t, tr, post("")); string(a.Body) != "ok" {
				t.Errorf("%q", a.Body)
			}
		}
		if n := s.conns.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
		tr.CloseIdleConnections()
	}
}

// socksServer is a SOCKS5 proxy for addresses of IPv4 without a password.
func socksServer(t *testing.T) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				head := make([]byte, 2) // version, number of methods
				if _, err := io.ReadFull(in, head); err != nil {
					return
				}
				_, _ = in.Discard(int(head[1]))
				_, _ = conn.Write([]byte{5, 0})
				ask := make([]byte, 10) // version, CONNECT, 0, IPv4, address, port
				if _, err := io.ReadFull(in, ask); err != nil || ask[3] != 1 {
					return
				}
				there, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: ask[4:8], Port: int(binary.BigEndian.Uint16(ask[8:]))})
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
				join(conn, in, there)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return listener.Addr().String()
}
