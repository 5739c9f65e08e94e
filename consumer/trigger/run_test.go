package trigger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/trigger/objectstore"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
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
	log   *logged
}

func newBench(t *testing.T, changes ...natstest.Change) *bench {
	t.Helper()
	b := &bench{T: t, nats: natstest.StartBare(t), files: objectstoretest.Start(t, "lists"), log: &logged{}}
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

type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// worker is a trigger that runs.
type worker struct {
	*Trigger
	nc   *nats.Conn
	stop context.CancelFunc
	done chan struct{}
}

// kill ends it as a crash would: nothing that it still wants to say is heard.
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
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			b.Fatalf("not within a minute: %s", what)
		}
	}
}

func (b *bench) wait(what string, done <-chan struct{}) {
	b.Helper()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		b.Fatalf("not within 60 s: %s", what)
	}
}

// stored is every message of a stream.
func (b *bench) stored(stream string) []*jetstream.RawStreamMsg {
	b.Helper()
	s, err := b.js.Stream(b.Context(), stream)
	if err != nil {
		b.Fatal(err)
	}
	state := s.CachedInfo().State
	var all []*jetstream.RawStreamMsg
	for n := state.FirstSeq; n <= state.LastSeq && state.Msgs > 0; n++ {
		msg, err := s.GetMsg(b.Context(), n)
		if err == nil {
			all = append(all, msg)
		}
	}
	return all
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
	s, err := b.js.Stream(b.Context(), publisher.StorageStream)
	if err != nil {
		b.Fatal(err)
	}
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

// exactlyOnce holds the directive files of all requests against what changed.
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

func TestChangesBecomeOneRequest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publish(put("a", "1.pdf"), put("a", "2.pdf"), put("a", "1.pdf"), put("a", "note.txt"), put("other", "3.pdf"))
	b.run("routes:\n- {container: a, suffix: .pdf, clientName: c, subclientName: g, storagePolicyName: p, labels: {team: x}, window: {" + soon + "}}\n")
	req := b.requested(1)[0]
	b.settled()
	if req.ClientName != "c" || req.SubclientName != "g" || req.StoragePolicyName != "p" || req.BackupLevel != "INCREMENTAL" || req.AdHocBackup {
		t.Errorf("the request is %s", req.JSON())
	}
	if l := req.Labels; l["team"] != "x" || l[LabelChanges] != "2" || l[LabelFirst] != "1" || l[LabelLast] != "3" || l[LabelDirective] != "" {
		t.Errorf("its labels are %v", l)
	}
	if n := len(b.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestADirectiveListsWhatChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publish(put("a", "z/1 +ü.txt"), put("a", "gone"), put("a", "k"), removed("a", "gone"), put("lists", "backhaul/x.txt"))
	b.run(routesFor(soon, "a"))
	req := b.requested(1)[0]
	b.settled()
	if !req.AdHocBackup || req.OnDemandInputFile != "/lists/backhaul/"+req.RequestID+".txt" || req.Labels[LabelDirective] != DirectiveListed {
		t.Errorf("the request is %s", req.JSON())
	}
	if got := b.listed(req); !slices.Equal(got, []string{"/a/k", "/a/z/1 +ü.txt"}) {
		t.Errorf("the file lists %q", got)
	}
}

func TestWhatIsCreatedAndDeletedAsksForNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publish(put("a", "x"), removed("a", "x"), removed("a", "never seen"))
	b.run(routesFor(soon, "a"))
	b.settled()
	if got := b.requests(); len(got) != 0 {
		t.Errorf("%d requests, want none", len(got))
	}
	b.publish(put("a", "x")) // and the window after it is one as any other
	b.requested(1)
	b.settled()
	b.exactlyOnce([]string{"/a/x"})
}

func TestThePathLimitEndsAWindow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var want []string
	for n := range 25 {
		b.publish(put("a", fmt.Sprint(n)))
		want = append(want, fmt.Sprint("/a/", n))
	}
	b.run(routesFor("quiet: 1s, max: 1h, maxPaths: 10", "a"))
	b.settled()
	b.exactlyOnce(want)
	var sizes []string
	for _, req := range b.requests() {
		sizes = append(sizes, req.Labels[LabelChanges])
	}
	if !slices.Equal(sizes, []string{"10", "10", "5"}) {
		t.Errorf("the requests have %v changes", sizes)
	}
}

// Several content groups in one notification: it is let go when each has asked.
func TestANotificationForSeveralGroups(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.files.Fail(func(r *http.Request) int {
		if strings.Contains(r.URL.Path, "/slow/") {
			return failPuts(r)
		}
		return 0
	})
	b.run(routesFor(soon, "a", "b") + "- {container: slow, clientName: c, subclientName: slow, window: {" + soon + "}, directive: {container: lists, prefix: slow/}}\n")
	b.publish("[" + put("a", "1") + "," + put("slow", "2") + "," + put("b", "3") + "]")
	b.requested(2)
	if n := b.pending(); n != 1 {
		t.Errorf("%d notifications are left while one of its groups has not asked, want 1", n)
	}
	b.files.Fail(nil)
	b.settled()
	b.exactlyOnce([]string{"/a/1", "/b/3", "/slow/2"})
}

func TestWhatCannotBeListed(t *testing.T) {
	t.Parallel()
	var many []string
	for n := range 6 {
		many = append(many, minioRecord("s3:ObjectCreated:Put", "a", fmt.Sprint(n)))
	}
	for want, data := range map[string][]string{
		DirectiveUnlistable: {put("a", "1"), put("a", "line\nbreak")},
		DirectiveDeletion:   {put("a", "1"), removed("a", "2")},
		DirectiveTooMany:    {`{"Records":[` + strings.Join(many, ",") + `]}`},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.publish(data...)
			b.run("routes:\n- {container: a, events: [created, deleted], clientName: c, subclientName: g, window: {quiet: 300ms, maxPaths: 5}, directive: {container: lists, prefix: backhaul/}}\n")
			req := b.requested(1)[0]
			b.settled()
			if req.AdHocBackup || req.OnDemandInputFile != "" || req.Labels[LabelDirective] != want {
				t.Errorf("the request is %s", req.JSON())
			}
			if n := len(b.files.Written()); n != 0 {
				t.Errorf("%d files", n)
			}
		})
	}
}

func TestAWholeDirectoryForSeveralRoutes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(`routes:
- {container: data, prefix: a/x/, clientName: c, subclientName: x, window: {quiet: 300ms}, directive: {container: lists, prefix: backhaul/}}
- {container: data, prefix: a/y/, clientName: c, subclientName: y, window: {quiet: 300ms}, directive: {container: lists, prefix: backhaul/}}
- {container: data, prefix: a/z/, clientName: c, subclientName: y, window: {quiet: 300ms}, directive: {container: lists, prefix: backhaul/}}
`)
	b.publish(`{"topic":"/storageAccounts/acc","subject":"/blobServices/default/containers/data/blobs/a","eventType":"Microsoft.Storage.DirectoryRenamed",
		"eventTime":"2026-11-23T10:00:00Z","id":"1","data":{"api":"RenameDirectory","sequencer":"01"},"dataVersion":"","metadataVersion":"1"}`)
	b.requested(2)
	b.settled()
	b.exactlyOnce([]string{"/data/a/x/", "/data/a/y/", "/data/a/z/"})
}

func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ended, err := b.nc.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED." + publisher.StorageStream + "." + publisher.StorageConsumer)
	if err != nil {
		t.Fatal(err)
	}
	b.run(routesFor(soon, "a"))
	whole := "[" + put("a", "1") + `,{"some":"thing"}]`
	b.publish("no notification at all", whole)
	b.requested(1)
	b.settled()
	b.exactlyOnce([]string{"/a/1"})
	for range 2 { // an operator sees that they were not understood
		if msg, err := ended.NextMsg(time.Minute); err != nil || !strings.Contains(string(msg.Data), "unknown format") {
			t.Errorf("the server says %+v, %v", msg, err)
		}
	}
	letters := b.stored(publisher.DeadLetterStream)
	if len(letters) != 2 {
		t.Fatalf("%d dead letters, want 2", len(letters))
	}
	for n, want := range []string{"no notification at all", whole} {
		d := publisher.ReadDeadLetter(letters[n].Subject, letters[n].Header, letters[n].Data)
		if string(d.Data) != want || d.Key.Source != "storage" || d.Subject != "storage.event.minio" || d.Code != schemas.CodeInvalidRequest ||
			d.Sequence != uint64(n+1) || !strings.Contains(d.Reason, "unknown format") {
			t.Errorf("dead letter %d is %+v", n, d)
		}
	}
	if text := b.log.String(); !strings.Contains(text, `it begins with \"no notification at all\"`) {
		t.Error("the log does not show how it begins")
	}
}

// A store that takes no files is waited for, nothing is let go, and in the end
// the backup matters more than its list.
func TestAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		comesBack bool
		want      string
	}{"for a while": {true, DirectiveListed}, "for too long": {false, DirectiveUnavailable}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.files.Fail(failPuts)
			patience := time.Hour
			if !test.comesBack {
				patience = time.Nanosecond
			}
			w := b.run(routesFor("quiet: 100ms", "a"), func(cfg *Config) { cfg.StoreGivesUp = patience })
			b.publish(put("a", "1"))
			if test.comesBack {
				b.eventually("the trouble is told", func() bool { return w.StoreTrouble() != nil })
				if n := b.pending(); n != 1 {
					t.Errorf("%d notifications are left", n)
				}
				b.files.Fail(nil)
			}
			req := b.requested(1)[0]
			b.settled()
			if err := w.StoreTrouble(); (err == nil) != test.comesBack {
				t.Errorf("the trouble is %v", err)
			}
			if req.Labels[LabelDirective] != test.want {
				t.Errorf("the request is %s", req.JSON())
			}
		})
	}
}

// More than one pull brings.
func TestManyNotifications(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(routesFor("quiet: 500ms, maxPaths: 100000", "a"))
	var want []string
	for n := range 2*pullBatch + 1 {
		if _, err := b.js.PublishAsync("storage.event.minio", []byte(put("a", fmt.Sprint(n)))); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprint("/a/", n))
	}
	<-b.js.PublishAsyncComplete() // or the stream is settled because nothing is in it yet
	b.settled()
	b.exactlyOnce(want)
	if text := b.log.String(); strings.Contains(text, "cannot read") {
		t.Error("a pull that has brought everything is no trouble")
	}
}

func TestDecisionsAreAboutOneStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.run(routesFor("quiet: 100ms", "a"))
	b.publish(put("a", "1"), put("a", "2"))
	b.settled()
	w.drain()
	if err := b.js.DeleteStream(t.Context(), publisher.StorageStream); err != nil {
		t.Fatal(err)
	}
	provisionAgain(b)
	b.run(routesFor("quiet: 100ms", "a"))
	b.publish(put("a", "3")) // its place is one that was decided before
	b.settled()
	b.exactlyOnce([]string{"/a/1", "/a/2", "/a/3"})
}

func provisionAgain(b *bench) {
	b.Helper()
	var s jetstream.StreamConfig
	var c jetstream.ConsumerConfig
	for file, into := range map[string]any{"STORAGE_EVENTS.json": &s, "STORAGE_EVENTS.consumer.trigger.json": &c} {
		if err := json.Unmarshal(shipped(b, file), into); err != nil {
			b.Fatal(err)
		}
	}
	s.Replicas = 1
	if _, err := b.js.CreateStream(b.Context(), s); err != nil {
		b.Fatal(err)
	}
	if _, err := b.js.CreateConsumer(b.Context(), s.Name, c); err != nil {
		b.Fatal(err)
	}
}

// Messages that wait for one content group belong to another when the routes are
// changed: what that one has decided is not about them.
func TestRoutesAreChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publish(put("a", "1"), put("b", "1"))
	const both = `routes:
- {container: a, clientName: c, subclientName: %s, window: {quiet: %s, max: 1h}, directive: {container: lists, prefix: backhaul/}}
- {container: b, clientName: c, subclientName: b, window: {quiet: 300ms, max: 1h}, directive: {container: lists, prefix: backhaul/}}
`
	first := b.run(fmt.Sprintf(both, "a", "30m"))
	b.requested(1)
	b.eventually("acknowledgement", func() bool { return b.pending() == 1 })
	first.drain()
	b.run(fmt.Sprintf(both, "b", "300ms"))
	b.requested(2)
	b.settled()
	b.exactlyOnce([]string{"/a/1", "/b/1"})
}
