package vendorapi

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/vendorapi/internal/http1"
	"backhaul/vendorapi/simulator"
)

// How the faults of transport_test.go are made: each is a client of a simulator
// over real sockets with something wrong between the two.

// base is the simulator's base path.
const base = "/webconsole/api"

// byToken lets CreateTask be the first thing that is sent.
var byToken = withAuth(tokenAuth(worldToken))

// serve serves a simulator until the test ends.
func serve(t *testing.T, sim *simulator.Simulator) *httptest.Server {
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		server.CloseClientConnections() // a handler may hang on purpose
		server.Close()
	})
	return server
}

// closedAddress returns an address without a listener.
func closedAddress(t *testing.T) string {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	return nobody.Addr().String()
}

func toNobody(t *testing.T, _ *simulator.Simulator) *Client {
	return newTestClient(t, "http://"+closedAddress(t)+base, byToken)
}

func toUnknownHost(t *testing.T, _ *simulator.Simulator) *Client {
	c := newTestClient(t, "http://vendor.invalid"+base, byToken)
	noServer := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no name server") }
	transportOf(c).DialContext = (&net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: noServer}}).DialContext
	return c
}

func toSilence(t *testing.T, sim *simulator.Simulator) *Client {
	c := newTestClient(t, serve(t, sim).URL+base, byToken)
	c.timeout = 20 * time.Millisecond
	transportOf(c).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return c
}

func toCrowd(t *testing.T, sim *simulator.Simulator) *Client {
	server := serve(t, sim)
	c := newTestClient(t, server.URL+base, byToken)
	c.timeout = 20 * time.Millisecond
	transportOf(c).MaxConns = 1
	held, release := make(chan struct{}), make(chan struct{})
	var holding sync.WaitGroup
	holding.Go(func() { // the one connection
		_, _ = c.transport.Do(t.Context(), &http1.Request{Method: http.MethodGet, Target: "/", Permit: func() error {
			close(held)
			<-release
			return errors.New("only held")
		}})
	})
	t.Cleanup(func() {
		close(release)
		holding.Wait()
	})
	<-held
	return c
}

func withBrokenToken(t *testing.T, sim *simulator.Simulator) *Client {
	return newTestClient(t, serve(t, sim).URL+base, withAuth(tokenAuth(testSecret+"\r\nX: y")))
}

func tlsToPlain(t *testing.T, sim *simulator.Simulator) *Client {
	return newTestClient(t, "https://"+serve(t, sim).Listener.Addr().String()+base, byToken)
}

// behindProxy is a client that may not pass the proxy it has to.
func behindProxy(t *testing.T, _ *simulator.Simulator) *Client {
	proxy := httptest.NewServer(always(http.StatusProxyAuthRequired, ""))
	t.Cleanup(proxy.Close)
	c := newTestClient(t, "https://vendor.invalid"+base, byToken)
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	transportOf(c).Proxy = http.ProxyURL(address)
	return c
}

// scripted is a client of a simulator with a fault of its own.
func scripted(kind simulator.Kind) func(*testing.T, *simulator.Simulator) *Client {
	return func(t *testing.T, sim *simulator.Simulator) *Client {
		sim.Script(simulator.Fault{Kind: kind})
		return newTestClient(t, serve(t, sim).URL+base, byToken)
	}
}

// brokenAfter is a client whose first connection breaks after so many bytes.
func brokenAfter(n int) func(*testing.T, *simulator.Simulator) *Client {
	return func(t *testing.T, sim *simulator.Simulator) *Client {
		c := newTestClient(t, serve(t, sim).URL+base, byToken)
		var first atomic.Bool
		(&dials{wrap: func(conn net.Conn) net.Conn {
			if first.Swap(true) {
				return conn
			}
			return &cutConn{Conn: conn, left: n}
		}}).on(c)
		return c
	}
}

// cutConn breaks after so many bytes.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b[:min(len(b), c.left)])
	c.left -= n
	if err == nil && n < len(b) {
		err = errors.New("broken pipe")
	}
	return n, err
}

// trusted makes a client trust one certificate.
func trusted(t *testing.T, cert *x509.Certificate) func(*Config) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(cfg *Config) { cfg.CAFile = file }
}

// serveTLS serves a simulator over TLS with a certificate of its own.
func serveTLS(t *testing.T, sim *simulator.Simulator, change func(*x509.Certificate)) *httptest.Server {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(2 * time.Hour),
	}
	change(template)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(sim)
	server.Config.ErrorLog = discard
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// overTLS is a client of a simulator whose certificate is changed, and trusted or not.
func overTLS(trust bool, change func(*x509.Certificate)) func(*testing.T, *simulator.Simulator) *Client {
	return func(t *testing.T, sim *simulator.Simulator) *Client {
		server := serveTLS(t, sim, change)
		roots := func(*Config) {}
		if trust {
			roots = trusted(t, server.Certificate())
		}
		return newTestClient(t, server.URL+base, byToken, roots)
	}
}

func unchanged(*x509.Certificate) {}

func scriptedOverTLS(kind simulator.Kind) func(*testing.T, *simulator.Simulator) *Client {
	return func(t *testing.T, sim *simulator.Simulator) *Client {
		sim.Script(simulator.Fault{Kind: kind})
		return overTLS(true, unchanged)(t, sim)
	}
}

// behind is a client of a simulator with something between that has the first
// connection, and lets all others pass.
func behind(first func(client, vendor net.Conn)) func(*testing.T, *simulator.Simulator) *Client {
	return func(t *testing.T, sim *simulator.Simulator) *Client {
		return newTestClient(t, "http://"+between(t, serve(t, sim).Listener.Addr().String(), first)+base, byToken)
	}
}

// overTLSBehind is the same with TLS from end to end.
func overTLSBehind(first func(client, vendor net.Conn)) func(*testing.T, *simulator.Simulator) *Client {
	return func(t *testing.T, sim *simulator.Simulator) *Client {
		server := serveTLS(t, sim, unchanged)
		c := newTestClient(t, "https://"+between(t, server.Listener.Addr().String(), first)+base, byToken, trusted(t, server.Certificate()))
		transportOf(c).TLSClientConfig.MaxVersion = tls.VersionTLS12 // in which breakAnswer can tell the records apart
		return c
	}
}

// instead is a client that gets another answer than the one that was given.
func instead(answer string) func(*testing.T, *simulator.Simulator) *Client {
	return behind(func(client, vendor net.Conn) {
		exchange(client, vendor)
		_, _ = client.Write([]byte(answer))
	})
}

// between listens for connections to the target until the test ends.
func between(t *testing.T, target string, first func(client, vendor net.Conn)) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for n := 0; ; n++ {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = client.Close() }()
				vendor, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer func() { _ = vendor.Close() }()
				if n == 0 {
					first(client, vendor)
					return
				}
				serving.Go(func() {
					_, _ = io.Copy(client, vendor)
					_ = client.Close()
				})
				_, _ = io.Copy(vendor, client)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return listener.Addr().String()
}

// read takes n bytes. What fails shows in the verdict.
func read(conn net.Conn, n int64) { _, _ = io.CopyN(io.Discard, conn, n) }

// hardReset closes a connection with a reset.
func hardReset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// exchange forwards a request and keeps its answer.
func exchange(client, vendor net.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(client))
	if err != nil {
		return
	}
	if err := req.Write(vendor); err != nil {
		return
	}
	resp, err := http.ReadResponse(bufio.NewReader(vendor), req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// breakAnswer forwards everything except for one bit of the first TLS record with
// data that the vendor sends.
func breakAnswer(client, vendor net.Conn) {
	var asking sync.WaitGroup
	asking.Go(func() { _, _ = io.Copy(vendor, client) })
	defer asking.Wait()
	const data = 23
	for head := make([]byte, 5); ; {
		if _, err := io.ReadFull(vendor, head); err != nil {
			return
		}
		record := make([]byte, int(head[3])<<8|int(head[4]))
		if _, err := io.ReadFull(vendor, record); err != nil {
			return
		}
		if head[0] == data {
			record[len(record)-1] ^= 1
		}
		if _, err := client.Write(append(head, record...)); err != nil {
			return
		}
	}
}
