package natstest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Action is what a [Proxy] does with one protocol message of a client.
type Action int

const (
	// Forward forwards it.
	Forward Action = iota
	// Deafen forwards it, but drops all further answers to the client: the
	// acknowledgement of this message is lost.
	Deafen
	// Swallow drops this message, all later ones and all further answers to the client:
	// the message never arrives.
	Swallow
)

// Proxy forwards connections of clients to a server and breaks them at a chosen protocol
// message, as a network failure or a crash does.
type Proxy struct {
	// URL is the address for clients.
	URL string

	t      testing.TB
	server string
	listen net.Listener

	mu     sync.Mutex
	decide func(op string) Action
	down   bool
	conns  map[net.Conn]struct{}
}

// StartProxy runs a proxy for the server until the test ends.
func StartProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("natstest: proxy: %v", err)
	}
	p := &Proxy{
		URL: "nats://" + listen.Addr().String(), t: t, server: strings.TrimPrefix(s.URL, "nats://"),
		listen: listen, conns: make(map[net.Conn]struct{}),
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listen.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listen.Close()
		p.Cut(true)
		running.Wait()
	})
	return p
}

// Connect returns a connection through the proxy with the options of [Server.Connect].
func (p *Proxy) Connect(t testing.TB) *nats.Conn {
	t.Helper()
	return connect(t, p.URL)
}

// On sets the function that decides about the clients' messages. It is called with the
// first line of each message, such as "HPUB backup.event.job-started.billing.x 12 34", by
// one goroutine at a time.
func (p *Proxy) On(decide func(op string) Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = decide
}

// Once applies the action to the first message whose first line contains text, and then
// closes the returned channel.
func (p *Proxy) Once(text string, action Action) (met <-chan struct{}) {
	done := make(chan struct{})
	over := false
	p.On(func(op string) Action {
		if over || !strings.Contains(op, text) {
			return Forward
		}
		over = true
		close(done)
		return action
	})
	return done
}

// Cut closes every connection. If down is true, new connections are refused until the next
// call.
func (p *Proxy) Cut(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *Proxy) action(op string) Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.decide == nil {
		return Forward
	}
	return p.decide(op)
}

// track records connections for Cut. It reports whether connections are allowed.
func (p *Proxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = struct{}{}
	}
	return !p.down
}

func (p *Proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.DialTimeout("tcp", p.server, time.Second)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
		delete(p.conns, server)
	}()
	if !p.track(client, server) {
		return
	}
	answers := &valve{to: client}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(answers, server)
		_ = client.Close()
	})
	p.forward(bufio.NewReader(client), server, answers)
	_ = server.Close()
	back.Wait()
}

// forward forwards a client's protocol messages until one of the connections ends.
func (p *Proxy) forward(client *bufio.Reader, server io.Writer, answers *valve) {
	for {
		op, err := client.ReadString('\n')
		if err != nil {
			return
		}
		payload, err := readPayload(client, op)
		if err != nil {
			return
		}
		switch p.action(strings.TrimSpace(op)) {
		case Deafen:
			answers.close()
		case Swallow:
			answers.close()
			server = io.Discard
		}
		if _, err := fmt.Fprintf(server, "%s%s", op, payload); err != nil {
			return
		}
	}
}

// readPayload returns the payload after the first line of a PUB or HPUB, nil for others.
func readPayload(r io.Reader, op string) ([]byte, error) {
	fields := strings.Fields(op)
	if len(fields) < 3 || fields[0] != "PUB" && fields[0] != "HPUB" {
		return nil, nil
	}
	size, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		return nil, err
	}
	payload := make([]byte, size+len("\r\n"))
	_, err = io.ReadFull(r, payload)
	return payload, err
}

// valve is a writer that discards everything after it is closed.
type valve struct {
	mu     sync.Mutex
	to     io.Writer
	closed bool
}

func (v *valve) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
}

func (v *valve) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return len(b), nil
	}
	return v.to.Write(b)
}
