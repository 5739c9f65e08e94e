package vendorapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

// transportFault is a way in which the exchange itself goes wrong, what must be
// said of it, and how many jobs the vendor has then.
type transportFault struct {
	name string
	// client is a client of the simulator with the fault between them. What goes
	// wrong goes wrong once, if it can: afterwards the client can look for jobs.
	client func(t *testing.T, sim *simulator.Simulator) *Client
	// hangs: no answer comes, and the call is given up once the vendor has the job.
	hangs bool
	want  Verdict
	jobs  int
	says  string // part of the error, for the person who has to fix it
}

// Nothing has been written when these happen: there is no job, and it is safe to
// send again.
var beforeTheFirstByte = []transportFault{
	{name: "connection refused", client: toNobody, want: NotSent, says: "connection refused"},
	{name: "no such host", client: toUnknownHost, want: NotSent, says: "no name server"},
	{name: "connection hangs", client: toSilence, want: NotSent, says: "deadline exceeded"},
	{name: "no connection free", client: toCrowd, want: NotSent, says: "deadline exceeded"},
	{name: "token that cannot be a header", client: withBrokenToken, want: NotSent, says: "invalid header"},
	{name: "no TLS there", client: tlsToPlain, want: NotSent, says: "does not look like a TLS handshake"},
	{name: "certificate of another CA", client: overTLS(false, unchanged), want: NotSent, says: "unknown authority"},
	{name: "expired certificate", client: overTLS(true, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), want: NotSent, says: "certificate has expired"},
	{name: "certificate of the future", client: overTLS(true, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), want: NotSent, says: "not yet valid"},
	{name: "certificate of another host", client: overTLS(true, func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = []string{"other.example"} }), want: NotSent, says: "127.0.0.1"},
	{name: "closed in the TLS handshake", client: overTLSBehind(func(client, _ net.Conn) { read(client, 5) }), want: NotSent},
	{name: "reset in the TLS handshake", client: overTLSBehind(func(client, _ net.Conn) { read(client, 5); hardReset(client) }), want: NotSent, says: "reset"},
	{name: "proxy that does not connect", client: behindProxy, want: NotSent, says: "Proxy Authentication Required"},
}

// Something has been written when these happen, so there may be a job. The
// simulator's count says that both are true in practice.
var afterTheFirstByte = []transportFault{
	{name: "reset after the first byte", client: behind(func(client, _ net.Conn) { read(client, 1); hardReset(client) }), want: Unknown, says: "reset"},
	{name: "broken in the headers", client: brokenAfter(64), want: Unknown, says: "broken pipe"},
	{name: "closed before the start", client: scripted(simulator.CutBeforeStart), want: Unknown, says: "EOF"},
	{name: "closed after the start", client: scripted(simulator.CutAfterStart), want: Unknown, jobs: 1, says: "EOF"},
	{name: "reset after the start", client: scripted(simulator.ResetAfterStart), want: Unknown, jobs: 1, says: "reset"},
	{name: "reset between, in place of the answer", client: behind(func(client, vendor net.Conn) { exchange(client, vendor); hardReset(client) }), want: Unknown, jobs: 1, says: "reset"},
	{name: "hangs after the start", client: scripted(simulator.HangAfterStart), hangs: true, want: Unknown, jobs: 1, says: "canceled"},
	{name: "slow loris", client: scripted(simulator.Trickle), hangs: true, want: Unknown, jobs: 1, says: "canceled"},
	{name: "half a body", client: scripted(simulator.HalfBody), want: Unknown, jobs: 1, says: "unexpected EOF"},
	{name: "half a body over TLS", client: scriptedOverTLS(simulator.HalfBody), want: Unknown, jobs: 1, says: "unexpected EOF"},
	{name: "TLS error in the answer", client: overTLSBehind(breakAnswer), want: Unknown, jobs: 1, says: "bad record MAC"},
	{name: "answer that is not HTTP", client: instead("SSH-2.0-x\r\n"), want: Unknown, jobs: 1, says: "malformed HTTP"},
	{name: "answer that cannot be unpacked", client: instead("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone"), want: Unknown, jobs: 1, says: "read the answer"},
	// The server offers HTTP/2 and would end it with GOAWAY, after which net/http
	// sends a POST again by itself (TestNetHTTP_goAwayRepeatsAPOST). The client does not
	// take the offer: it speaks HTTP/1.1, where a cut ends the call.
	{name: "server that offers HTTP/2, and GOAWAY", client: toGoAway, want: Unknown, jobs: 1, says: "EOF"},
}

func TestCreateTask_transportFaults(t *testing.T) {
	for _, group := range [][]transportFault{beforeTheFirstByte, afterTheFirstByte} {
		for _, tt := range group {
			t.Run(tt.name, tt.check)
		}
	}
}

func (f transportFault) check(t *testing.T) {
	sim := simulator.New(simulator.Config{})
	c := f.client(t, sim)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	if f.hangs {
		go func() {
			for sim.Account().JobsStarted == 0 && ctx.Err() == nil {
				<-time.After(time.Millisecond)
			}
			giveUp()
		}()
	}
	since := time.Now()
	job, err := c.CreateTask(ctx, testTask())
	e := wantVerdict(t, err, f.want)
	if job.ID != "" || e.Op != opCreateTask {
		t.Errorf("job %+v beside %+v", job, e)
	}
	if !strings.Contains(err.Error(), f.says) {
		t.Errorf("error %q does not say %q", err, f.says)
	}
	if a := sim.Account(); a.JobsStarted != f.jobs || a.CreateTaskCalls > 1 {
		t.Errorf("%d jobs by %d calls, want %d by one at most", a.JobsStarted, a.CreateTaskCalls, f.jobs)
	}
	if f.want != Unknown {
		return
	}
	// What Unknown asks for: a look.
	found, err := c.Find(t.Context(), testTask(), since)
	if err != nil {
		t.Fatal(err)
	}
	if (found.Job.ID != "") != (f.jobs == 1) || len(found.Candidates) > 0 {
		t.Errorf("found %+v with %d jobs", found, f.jobs)
	}
}

// TestNetHTTP_goAwayRepeatsAPOST is why the client speaks HTTP/1.1 only: over HTTP/2 a
// server's word that it has not begun with a request is enough for net/http to
// send it a second time, and here that word is not true.
func TestNetHTTP_goAwayRepeatsAPOST(t *testing.T) {
	sim := simulator.New(simulator.Config{})
	server := goAwayServer(t, sim)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = true
	defer transport.CloseIdleConnections()
	body := strings.NewReader(string(xmlOf(t, testTask())))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+base+"/CreateTask", body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatalf("an answer: %s", resp.Status)
	}
	noSecrets(t, err)
	if n := sim.Account().JobsStarted; n != 2 {
		t.Errorf("%d jobs: net/http does not send again any more, and HTTP/1.1 only has lost one of its reasons", n)
	}
}

// toGoAway is a client of a server that offers HTTP/2 and ends it with GOAWAY.
// Taking the offer would show in a second job.
func toGoAway(t *testing.T, sim *simulator.Simulator) *Client {
	server := goAwayServer(t, sim)
	sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
	return newTestClient(t, server.URL+base, byToken, trusted(t, server.Certificate()))
}

// goAwayServer serves a simulator over TLS by HTTP/1.1. To who takes its offer of
// HTTP/2 it answers a request, having carried it out, by GOAWAY with no stream as
// the last that it has begun with.
func goAwayServer(t *testing.T, sim *simulator.Simulator) *httptest.Server {
	server := httptest.NewUnstartedServer(sim)
	server.Config.ErrorLog = discard
	server.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	var carriedOut atomic.Int32
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
			stream, body, err := readHTTP2(conn)
			if err != nil {
				return
			}
			r := httptest.NewRequest(http.MethodPost, base+"/CreateTask", strings.NewReader(string(body)))
			r.Header.Set("Authtoken", worldToken)
			sim.ServeHTTP(httptest.NewRecorder(), r)
			end := []byte{0, 0, 8, 7, 0, 0, 0, 0, 0 /* last stream */, 0, 0, 0, 0 /* no error */, 0, 0, 0, 0}
			if carriedOut.Add(1) > 1 { // RST_STREAM, INTERNAL_ERROR: or it would go on
				end = []byte{0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, 2}
			}
			_, _ = conn.Write(end)
			_, _ = io.Copy(io.Discard, conn) // until the client has read it and closed
		},
	}
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// readHTTP2 reads one request with a body, as far as it is needed here.
func readHTTP2(conn net.Conn) (stream byte, body []byte, err error) {
	if _, err := io.CopyN(io.Discard, conn, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return 0, nil, err
	}
	settings := []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
	if _, err := conn.Write(settings); err != nil {
		return 0, nil, err
	}
	const data, endOfStream = 0, 1
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(conn, head); err != nil {
			return 0, nil, err
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(conn, payload); err != nil {
			return 0, nil, err
		}
		if head[3] != data {
			continue
		}
		if body = append(body, payload...); head[4]&endOfStream != 0 {
			return head[8], body, nil
		}
	}
}
