package trigger

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
	"backhaul/schemas"
)

func TestTrigger_requestsOnceForAWindow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publish(put("a", "1.pdf"), put("a", "2.pdf"), put("a", "1.pdf"), put("a", "note.txt"), put("other", "3.pdf"))
	notified := b.stored(publisher.StorageStream)
	b.run("routes:\n- {container: a, suffix: .pdf, clientName: c, subclientName: g, storagePolicyName: p, labels: {team: x}, window: {" + soon + "}}\n")
	req := b.requested(1)[0]
	b.settled()
	if req.ClientName != "c" || req.SubclientName != "g" || req.StoragePolicyName != "p" || req.BackupLevel != "INCREMENTAL" || req.AdHocBackup {
		t.Errorf("the request is %s", req.JSON())
	}
	if l := req.Labels; l["team"] != "x" || l[LabelChanges] != "2" || l[LabelFirst] != "1" || l[LabelLast] != "3" || l[LabelDirective] != "" {
		t.Errorf("its labels are %v", l)
	}
	for label, n := range map[string]int{LabelSince: 0, LabelUntil: 2} {
		if want := notified[n].Time.UTC().Format(time.RFC3339Nano); req.Labels[label] != want {
			t.Errorf("%s is %s, and the notification was stored at %s", label, req.Labels[label], want)
		}
	}
	if n := len(b.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestTrigger_listsWhatChanged(t *testing.T) {
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

func TestTrigger_requestsNothingForADeletedCreation(t *testing.T) {
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

func TestTrigger_endsAWindowByItsPaths(t *testing.T) {
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
	if text := b.log.String(); strings.Contains(text, "another replica reads") {
		t.Error("its own decisions are in its way")
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

func TestTrigger_requestsAPlainIncremental(t *testing.T) {
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

func TestTrigger_splitsADirectory(t *testing.T) {
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

func TestTrigger_setsAsideWhatCannotBeDecoded(t *testing.T) {
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
	deadLetters := b.stored(publisher.DeadLetterStream)
	if len(deadLetters) != 2 {
		t.Fatalf("%d dead letters, want 2", len(deadLetters))
	}
	for n, want := range []string{"no notification at all", whole} {
		d := publisher.ReadDeadLetter(deadLetters[n].Subject, deadLetters[n].Header, deadLetters[n].Data)
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
func TestTrigger_manyNotifications(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(routesFor("quiet: 500ms, maxPaths: 100000", "a"))
	var want []string
	for n := range 2*reader.Batch + 1 {
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
