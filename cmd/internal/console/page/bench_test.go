package page_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	cancelling "backhaul/cmd/internal/cancel"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/console/page"
	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/protection/watch"
	"backhaul/consumer/scope"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

const token = "geheim-token-4711-von-uns"

// bench is a page on a real listener, and the broker whose events it shows.
type bench struct {
	t       testing.TB
	nats    *natstest.Server
	js      jetstream.JetStream
	pub     *publisher.Publisher
	state   *state.State
	watch   *watch.Watch
	changes int // requests for changes
	url     string
	log     waittest.Log
	// client keeps cookies and does not follow redirects.
	client *http.Client
}

// paused returns the paused scopes that are on record, none while the broker is away.
func (b *bench) paused() []scope.Pause {
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Second)
	defer cancel()
	events, err := b.js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil
	}
	list, _ := scope.Read(ctx, events)
	return list.Pauses
}

func givenToken() (string, error) { return token, nil }

func newBench(t testing.TB, changes ...func(*page.Config)) *bench {
	t.Helper()
	return newPromising(t, nil, changes...)
}

// newPromising is like newBench with objectives, nil for none.
func newPromising(t testing.TB, objectives watch.Objectives, changes ...func(*page.Config)) *bench {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, nats: natstest.Start(t), client: &http.Client{
		Jar: jar, Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	nc := b.nats.Connect(t)
	if b.pub, err = publisher.New(nc); err != nil {
		t.Fatal(err)
	}
	if b.state, err = state.New(nc); err != nil {
		t.Fatal(err)
	}
	watching := watch.Config{Every: 50 * time.Millisecond}
	if objectives != nil {
		watching.Objectives = func() watch.Objectives { return objectives }
	}
	if b.watch, err = watch.New(nc, watching, zerolog.New(&b.log)); err != nil {
		t.Fatal(err)
	}
	log := zerolog.New(&b.log)
	admin, err := console.Start(t.Context(), "127.0.0.1:0", log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	letters, err := deadletter.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	queue, err := page.NewServerQueue(nc)
	if err != nil {
		t.Fatal(err)
	}
	cfg := page.Config{
		Version: "v1.2.3", Owner: "host/7", CommandCenter: "https://cc.example.com/#/jobs/{jobId}", Token: givenToken,
		State: b.state, Letters: letters, Queue: queue, Protection: b.watch, Canceller: cancelling.New(nc), Paused: b.paused,
		Vendor: page.Vendor{Trouble: func() error { return nil }, Cooldown: func() vendorapi.Cooldown { return vendorapi.Cooldown{} }},
	}
	for _, change := range changes {
		change(&cfg)
	}
	b.js = natstest.JetStream(t, nc)
	shown, err := page.New(ctx, cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	admin.Handle("/", shown)
	var reading sync.WaitGroup
	reading.Go(func() { b.state.Run(ctx) })
	reading.Go(func() { b.watch.Run(ctx) })
	b.url = admin.URL()
	t.Cleanup(func() {
		cancel()
		reading.Wait()
		b.client.CloseIdleConnections()
		admin.Stop()
		if strings.Contains(b.log.String(), token) {
			t.Error("the log shows the token")
		}
		if t.Failed() {
			t.Log(b.log.String())
		}
	})
	return b
}

// reply is what was answered, read to its end.
type reply struct {
	StatusCode int
	Header     http.Header
	cookies    []*http.Cookie
}

// do asks with these headers, given in pairs.
func (b *bench) do(method, path string, form url.Values, headers ...string) (reply, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if strings.Contains(string(body), token) {
		b.t.Errorf("%s %s shows the token", method, path)
	}
	return reply{resp.StatusCode, resp.Header, resp.Cookies()}, string(body)
}

func (b *bench) get(path string) string {
	b.t.Helper()
	resp, body := b.do(http.MethodGet, path, nil)
	if resp.StatusCode != http.StatusOK {
		b.t.Fatalf("GET %s: %d\n%s", path, resp.StatusCode, body)
	}
	return body
}

// signIn opens a session and returns its secret for forms.
func (b *bench) signIn() string {
	b.t.Helper()
	resp, body := b.do(http.MethodPost, "/login", url.Values{"actor": {"Ann"}, "token": {token}})
	if resp.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("login: %d\n%s", resp.StatusCode, body)
	}
	return csrfIn(b.t, b.get("/"))
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func csrfIn(t testing.TB, body string) string {
	t.Helper()
	found := csrfField.FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no csrf field in\n%s", body)
	}
	return found[1]
}

// events are those of a request, which a test writes.
type events struct {
	b     *bench
	key   publisher.Key
	claim schemas.JobSubmitting
	last  uint64
}

func (b *bench) request(source, id string, changes ...func(*schemas.JobSubmitting)) *events {
	now := time.Now().UTC()
	s := &events{b: b, key: publisher.NewKey(source, id), claim: schemas.JobSubmitting{
		RequestID: id, Source: source,
		Request: schemas.BackupRequest{
			RequestID: id, ClientName: "s-adhoc-object-storage", InstanceName: "s-adhoc-object-storage", BackupsetName: "defaultBackupSet",
			SubclientName: "stestgroup", StoragePolicyName: "default-plan", AppName: "Cloud Apps", BackupLevel: "INCREMENTAL",
			Labels: map[string]string{"ticket": "CHG-17"},
		},
		Message: schemas.Message{RequestedAt: now.Add(-400 * time.Millisecond), PayloadHash: "5f2a"},
		Claim:   schemas.Claim{Owner: "host/7", Nonce: "n", Epoch: 1, LeaseMillis: 35_000}, SubmittingAt: now,
	}}
	for _, change := range changes {
		change(&s.claim)
	}
	return s
}

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func (s *events) append(e schemas.Event) *events {
	s.b.t.Helper()
	sequence, err := s.b.pub.Append(s.b.t.Context(), s.key, s.last, e, traceparent)
	if err != nil {
		s.b.t.Fatal(err)
	}
	s.last = sequence
	return s
}

func (s *events) submit() *events { s.b.t.Helper(); claim := s.claim; return s.append(&claim) }

func (s *events) start(job string) *events {
	s.b.t.Helper()
	return s.append(&schemas.JobStarted{
		Naming: s.claim.Names(), Message: s.claim.Message, JobID: job, JobIDs: []string{job}, TaskID: "4038", Attempts: 1, StartedAt: time.Now().UTC(),
	})
}

func (s *events) fail(code, text string) *events {
	s.b.t.Helper()
	return s.append(&schemas.JobFailed{
		Naming: s.claim.Names(), Message: s.claim.Message, ErrorCode: code, ErrorLogCode: schemas.LogCode(code), ErrorMessage: text,
		ErrorSource: schemas.ErrorSourceVendor, Attempts: 1, FailedAt: time.Now().UTC(),
	})
}

// keep makes a dead letter of the request and returns its sequence.
func (s *events) keep(code, reason string) uint64 {
	s.b.t.Helper()
	err := s.b.pub.DeadLetter(s.b.t.Context(), publisher.DeadLetter{
		Subject: publisher.RequestSubject(s.key.Source, publisher.Normal), Header: schemas.Header{"X-Team": {"billing"}}, Data: s.claim.Request.JSON(),
		Key: s.key, RequestID: s.claim.RequestID, Sequence: s.last, Time: time.Now(), Code: code, Reason: reason,
	})
	if err != nil {
		s.b.t.Fatal(err)
	}
	js := natstest.JetStream(s.b.t, s.b.nats.Connect(s.b.t))
	stream := natstest.Stream(s.b.t, js, publisher.DeadLetterStream)
	return stream.CachedInfo().State.LastSeq
}

// waitForRow waits until the page has the request.
func (b *bench) waitForRow(id string, words ...string) {
	b.t.Helper()
	waittest.Eventually(b.t, fmt.Sprintf("row of %s with %q", id, words), func() bool {
		for row := range strings.SplitSeq(b.get("/"), "<tr ") {
			if strings.Contains(row, ">"+id+"</a>") {
				for _, word := range words {
					if !strings.Contains(row, word) {
						return false
					}
				}
				return true
			}
		}
		return false
	})
}

// fill writes the claims and outcomes of many requests, many at a time.
func (b *bench) fill(requests int) {
	b.t.Helper()
	nc := b.nats.Connect(b.t)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range requests {
		s := b.request("billing", fmt.Sprintf("many-%d", i))
		for _, e := range []schemas.Event{&s.claim, &schemas.JobStarted{
			Naming: s.claim.Names(), Message: s.claim.Message, JobID: fmt.Sprint(i + 1), JobIDs: []string{fmt.Sprint(i + 1)}, Attempts: 1, StartedAt: time.Now().UTC(),
		}} {
			msg := &nats.Msg{Subject: s.key.Subject(e.Kind()), Data: schemas.EncodeEvent(e), Header: nats.Header(schemas.NewCloudEvent(s.key.EventID(e.Kind()), e, traceparent).BinaryHeader())}
			if _, err := js.PublishMsgAsync(msg); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	<-js.PublishAsyncComplete()
}
