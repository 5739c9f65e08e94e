package trigger

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/trigger/objectstore"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/deploy"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

// bench is a server with notifications, and what became of them.
type bench struct {
	*testing.T
	nats  *natstest.Server
	nc    *nats.Conn
	js    jetstream.JetStream
	files *objectstoretest.Server
	store Store
	log   *waittest.Log
}

func newBench(t *testing.T, changes ...natstest.Change) *bench {
	t.Helper()
	b := &bench{T: t, nats: natstest.StartBare(t), files: objectstoretest.Start(t, "lists"), log: &waittest.Log{}}
	b.nc = b.nats.Connect(t)
	b.js = natstest.JetStream(t, b.nc)
	natstest.Provision(t, b.nc, changes...)
	natstest.ProvisionTrigger(t, b.nc, changes...)
	key := func() (string, error) { return "key", nil }
	store, err := objectstore.New(objectstore.Config{Endpoint: b.files.URL, PathStyle: true, AccessKey: key, SecretKey: key})
	if err != nil {
		t.Fatal(err)
	}
	b.store = store
	return b
}

// worker is a trigger that runs.
type worker struct {
	*Trigger
	nc   *nats.Conn
	stop context.CancelFunc
	done chan struct{}
}

// kill ends it as a crash would: nothing that it still sends arrives.
func (w *worker) kill() {
	w.nc.Close()
	w.stop()
	<-w.done
}

// drain ends it as SIGTERM does.
func (w *worker) drain() {
	w.stop()
	<-w.done
}

func (b *bench) start(routes string, nc *nats.Conn, changes ...func(*Config)) *worker {
	b.Helper()
	cfg := Config{}
	for _, change := range changes {
		change(&cfg)
	}
	t, err := New(b.Context(), cfg, nc, parse(b, routes), b.store, zerolog.New(b.log))
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	w := &worker{Trigger: t, nc: nc, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		t.Run(ctx)
	}()
	b.Cleanup(func() {
		w.drain()
		if b.Failed() {
			b.Logf("log:\n%s", b.log)
		}
	})
	return w
}

func (b *bench) run(routes string, changes ...func(*Config)) *worker {
	return b.start(routes, b.nats.Connect(b), changes...)
}

// put is MinIO's notification of a new object; the sequencers ascend.
func put(container, key string) string { return minioEvent("s3:ObjectCreated:Put", container, key) }

func removed(container, key string) string {
	return minioEvent("s3:ObjectRemoved:Delete", container, key)
}

func minioEvent(event, container, key string) string {
	return fmt.Sprintf(`{"EventName":%q,"Key":"x","Records":[%s]}`, event, minioRecord(event, container, key))
}

func minioRecord(event, container, key string) string {
	return fmt.Sprintf(`{"eventVersion":"2.0","eventSource":"minio:s3","eventName":%q,"eventTime":"2026-11-23T10:00:00Z","s3":{"bucket":{"name":%q},"object":{"key":%q,"size":1,"sequencer":"%016X"}}}`,
		event, container, url.QueryEscape(key), time.Now().UnixNano())
}

func (b *bench) publish(data ...string) {
	b.Helper()
	for _, d := range data {
		if _, err := b.js.Publish(b.Context(), "storage.event.minio", []byte(d)); err != nil {
			b.Fatal(err)
		}
	}
}

// eventually waits for a condition.
func (b *bench) eventually(what string, ok func() bool) {
	b.Helper()
	waittest.Eventually(b, what, ok)
}

func (b *bench) wait(what string, done <-chan struct{}) {
	b.Helper()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		b.Fatalf("not within 60 s: %s", what)
	}
}

// stored returns every message of a stream.
func (b *bench) stored(stream string) []*jetstream.RawStreamMsg {
	b.Helper()
	return natstest.Stored(b, b.js, stream, ">")
}

// requests returns the requests that wait, all of the source storage. A request may be
// stored several times, with the same id and content: for the service it is one.
func (b *bench) requests() []schemas.BackupRequest {
	b.Helper()
	var all []schemas.BackupRequest
	first := make(map[string][]byte)
	for _, msg := range b.stored(publisher.RequestsStream) {
		m, err := schemas.DecodeRequest(schemas.Header(msg.Header), msg.Data)
		if err != nil || msg.Subject != "backup.request.storage" {
			b.Fatalf("request %s on %s: %v", msg.Data, msg.Subject, err)
		}
		if before, again := first[m.Request.RequestID]; again {
			if !bytes.Equal(before, msg.Data) {
				b.Errorf("request %s was stored with other content: %s, then %s", m.Request.RequestID, before, msg.Data)
			}
			continue
		}
		first[m.Request.RequestID] = msg.Data
		all = append(all, m.Request)
	}
	return all
}

func (b *bench) requested(n int) []schemas.BackupRequest {
	b.Helper()
	b.eventually(fmt.Sprint(n, " requests"), func() bool { return len(b.requests()) >= n })
	return b.requests()
}

// pending is how many notifications are in their stream.
func (b *bench) pending() uint64 {
	b.Helper()
	s := natstest.Stream(b, b.js, publisher.StorageStream)
	return s.CachedInfo().State.Msgs
}

func (b *bench) settled() {
	b.Helper()
	b.eventually("every notification is acknowledged", func() bool { return b.pending() == 0 })
}

// listed are the paths in the directive file of a request.
func (b *bench) listed(req schemas.BackupRequest) []string {
	b.Helper()
	bucket, name, _ := strings.Cut(strings.TrimPrefix(req.OnDemandInputFile, "/"), "/")
	content := b.files.Get(bucket, name)
	if !strings.HasSuffix(content, "\n") || strings.Contains(content, "\r") {
		b.Errorf("the directive file is %q", content)
	}
	if got, want := req.Labels[LabelDirectiveSHA256], schemas.HashBytes([]byte(content)); got != want {
		b.Errorf("the request has the hash %s of its file, want %s", got, want)
	}
	if got, want := req.Labels[LabelDirectiveSize], fmt.Sprint(len(content)); got != want {
		b.Errorf("the request has the size %s of its file, want %s", got, want)
	}
	paths := strings.Split(strings.TrimSuffix(content, "\n"), "\n")
	if got, want := req.Labels[LabelDirectivePaths], fmt.Sprint(len(paths)); got != want {
		b.Errorf("the request has %s paths in its file, want %s", got, want)
	}
	return paths
}

// exactlyOnce compares the directive files of all requests with what changed.
func (b *bench) exactlyOnce(want []string) {
	b.Helper()
	var got []string
	for _, req := range b.requests() {
		got = append(got, b.listed(req)...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.Errorf("the requests cover\n%q, want\n%q", got, want)
	}
}

func routesFor(window string, groups ...string) string {
	var text strings.Builder
	text.WriteString("routes:\n")
	for _, g := range groups {
		fmt.Fprintf(&text, "- {container: %s, clientName: c, subclientName: %s, window: {%s}, directive: {container: lists, prefix: backhaul/}}\n", g, g, window)
	}
	return text.String()
}

// soon is a window for what was published before the reader starts. What comes
// later comes later than the window lasts, if the machine is busy enough.
const soon = "quiet: 300ms, max: 1h"

func failPuts(r *http.Request) int {
	if r.Method == http.MethodPut {
		return http.StatusServiceUnavailable
	}
	return 0
}

func shipped(t testing.TB, file string) []byte {
	t.Helper()
	data, err := deploy.TriggerStreams.ReadFile("streams/trigger/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// full lets a stream take nothing.
func full(stream string) natstest.Change {
	return func(cfg *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if cfg != nil && cfg.Name == stream {
			cfg.Discard, cfg.MaxBytes = jetstream.DiscardNew, 100
		}
	}
}

// limit sets how many bytes a stream may have.
func (b *bench) limit(stream string, most int64) {
	b.Helper()
	s := natstest.Stream(b, b.js, stream)
	cfg := s.CachedInfo().Config
	cfg.Discard, cfg.MaxBytes = jetstream.DiscardNew, most
	if _, err := b.js.UpdateStream(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
}
