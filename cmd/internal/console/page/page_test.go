package page_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/console/page"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/routes"
	"backhaul/consumer/budget"
	"backhaul/consumer/trigger"
	"backhaul/consumer/turn"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

func TestTheListShowsTheBudget(t *testing.T) {
	t.Parallel()
	view, trouble := budget.View{}, errors.New("no <stream>")
	b := newBench(t, func(c *page.Config) {
		c.Vendor = page.Vendor{
			Cooldown: func() vendorapi.Cooldown {
				return vendorapi.Cooldown{For: time.Minute, Reason: vendorapi.CooldownBudget}
			},
			Budget: func() (budget.View, error) { return view, trouble },
		}
	})
	says := func(want ...string) {
		t.Helper()
		body := b.get("/")
		for _, text := range want {
			if !strings.Contains(body, text) {
				t.Errorf("the page does not say %s", text)
			}
		}
	}
	says("<b>not known</b>", "no &lt;stream&gt;", "the budget of writing calls allows none now: no job is started for ")
	view = budget.View{Limit: 100, Left: 60, AsOf: time.Now()}
	says("<b>60 of 100 left</b>", "no &lt;stream&gt;")
	trouble, view.Left, view.Next = nil, 0, time.Date(2026, 11, 28, 16, 45, 12, 0, time.UTC)
	says("<b>0 of 100 left</b>", "the next writing call may be made at 16:45:12 UTC")
}

func TestTheListShowsRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *page.Config) {
		c.Vendor = page.Vendor{
			Trouble: func() error { return errors.New("since 10:00: <connection refused>") },
			Cooldown: func() vendorapi.Cooldown {
				return vendorapi.Cooldown{For: 3 * time.Second, Reason: vendorapi.CooldownOutage}
			},
		}
	})
	if body := b.get("/"); !strings.Contains(body, "No request yet.") {
		t.Error("an empty stream is not said to be empty")
	}
	b.request("billing", "inv-1").submit().start("5976")
	b.request("photos", "inv-2").submit().fail("587207178", "no eligible subclients")
	b.request("photos", "inv-3").submit()
	b.waitForRow("inv-1", "started", `href="https://cc.example.com/#/jobs/5976"`, "billing", "stestgroup", "INCREMENTAL")
	b.waitForRow("inv-2", "failed", "587207178 (35:4618)", "no eligible subclients")
	b.waitForRow("inv-3", "s-claimed")
	body := b.get("/")
	for _, want := range []string{"v1.2.3", "host/7", "in trouble", "since 10:00: &lt;connection refused&gt;", "<b>open</b>", "<b>connected</b>", "<b>running</b>"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %s", want)
		}
	}
	for query, want := range map[string]string{
		"?state=failed": "inv-2", "?source=BILL": "inv-1", "?q=5976": "inv-1", "?q=eligible": "inv-2", "?group=test&state=claimed": "inv-3", "?state=submitting": "inv-3",
		"?client=adhoc&source=photos": "inv-3 inv-2", "?state=nonsense": "inv-3 inv-2 inv-1", "?page=7": "", "?q=%3Cscript%3E": "",
	} {
		var got []string
		for row := range strings.SplitSeq(b.get("/"+query), "<tr ") {
			if _, rest, ok := strings.Cut(row, `scope="row"`); ok {
				_, rest, _ = strings.Cut(rest, `">`)
				_, rest, _ = strings.Cut(rest, `">`)
				id, _, _ := strings.Cut(rest, "<")
				got = append(got, id)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s shows %v, want %s", query, got, want)
		}
	}
	if body := b.get("/?q=inv-2&source=photos"); !strings.Contains(body, `value="inv-2"`) || !strings.Contains(body, `data-live="/live?q=inv-2&amp;source=photos"`) {
		t.Error("the form does not keep what was looked for")
	}
}

// Content groups with requests that wait for each other are shown, with what they wait for.
func TestTheListShowsWhatWaits(t *testing.T) {
	t.Parallel()
	if body := newBench(t).get("/"); strings.Contains(body, "requests that wait") {
		t.Error("something waits on the page of a process without rules")
	}
	b := newBench(t, func(c *page.Config) {
		c.Waits = func() []turn.Waiting {
			wait := turn.Wait{Source: "billing", RequestID: "<inv-1>", JobID: "5976"}
			all := []turn.Waiting{{Group: turn.Group{Client: "files", Subclient: "home"}, Wait: wait, Requests: 1}}
			for i := range 24 {
				all = append(all, turn.Waiting{Group: turn.Group{Client: "files", Subclient: fmt.Sprint("g", i)}, Wait: wait, Requests: 120})
			}
			return all
		}
	})
	body := b.get("/")
	for _, want := range []string{
		"<li>files/home: 1 request waits for job 5976 of request billing/&lt;inv-1&gt;, which runs for the same content group</li>",
		"<li>files/g18: 120 requests wait for job 5976 of", "<li>and 5 content groups more</li>",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %s:\n%s", want, body)
		}
	}
	if strings.Contains(body, "files/g19") {
		t.Error("the page shows more content groups than it may")
	}
}

// While starts are limited, the page says of which sources and priorities requests wait, which
// place the next one has and when about the last one is started.
func TestTheListShowsWhoIsNext(t *testing.T) {
	t.Parallel()
	unlimited, b := newBench(t), newBench(t, func(c *page.Config) { c.Vendor.StartsPerHour = 30 })
	for _, one := range []*bench{unlimited, b} {
		js := natstest.JetStream(t, one.nats.Connect(t))
		for range 60 {
			if _, err := js.Publish(t.Context(), "backup.request.billing", []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 25 {
			if _, err := js.Publish(t.Context(), fmt.Sprintf("backup.request.s-%02d.high", i), []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
	waittest.Eventually(t, "the queue on the page", func() bool { return strings.Contains(b.get("/"), "s-00, high") })
	body := b.get("/")
	for _, want := range []string{
		"<li>s-00, high: 1 in the queue; the next one has place ", "<li>s-19, high: 1 in the queue", "<li>and 6 sources and priorities more</li>",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %s:\n%s", want, body)
		}
	}
	if strings.Contains(body, "s-20, high") {
		t.Error("the page shows more sources than it may")
	}
	waittest.Eventually(t, "the queue on the other page", func() bool { return strings.Contains(unlimited.get("/"), "<dd>85</dd>") })
	if strings.Contains(unlimited.get("/"), "s-00, high") {
		t.Error("the page shows an order while starts are not limited")
	}
}

// Until when events are archived is shown where there is an archiver, and only there.
func TestTheListShowsTheArchive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	nc := b.nats.Connect(t)
	if body := b.get("/"); strings.Contains(body, "<dt>Archive</dt>") {
		t.Error("the page shows an archive where there is none")
	}
	natstest.ProvisionArchive(t, nc)
	b.request("billing", "r-1").submit()
	shows := func(texts ...string) {
		t.Helper()
		waittest.Eventually(t, texts[0], func() bool {
			_, light, _ := strings.Cut(b.get("/"), "<dt>Archive</dt>")
			light, _, _ = strings.Cut(light, "</div>")
			for _, text := range texts {
				if !strings.Contains(light, text) {
					return false
				}
			}
			return true
		})
	}
	shows("nothing archived yet", "1 events are not archived yet; no replica archives")
	c, err := natstest.JetStream(t, nc).Consumer(t.Context(), publisher.EventsStream, publisher.ArchiverConsumer)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	meta, err := msg.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	shows("until " + meta.Timestamp.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// What waits for the trigger is shown where there is one, and only there.
func TestTheListShowsTheTrigger(t *testing.T) {
	t.Parallel()
	with, without := newBench(t), newBench(t)
	nc := with.nats.Connect(t)
	natstest.ProvisionTrigger(t, nc)
	for range 3 {
		if _, err := natstest.JetStream(t, nc).Publish(t.Context(), "storage.event.minio", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	waittest.Eventually(t, "notifications on the page", func() bool {
		return strings.Contains(with.get("/"), "<dt>Storage notifications</dt><dd>3</dd>")
	})
	if body := with.get("/"); strings.Contains(body, "<dt>Oldest change</dt><dd>–") || !strings.Contains(body, "<dt>Being collected</dt><dd class=\"zero\">0</dd>") {
		t.Errorf("the page says of the trigger:\n%s", body)
	}
	if body := with.get("/"); !strings.Contains(body, "<dt>Open windows</dt><dd>–</dd>") || !strings.Contains(body, "no replica of the trigger says that it reads") {
		t.Errorf("the page says of a trigger that nobody runs:\n%s", body)
	}
	rs, err := routes.Parse("routes.yaml", []byte("routes:\n- {container: a, clientName: c, subclientName: s, window: {quiet: 1h, max: 2h, maxPaths: 2}, directive: {container: lists, prefix: backhaul/}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	worker, err := trigger.New(t.Context(), trigger.Config{}, with.nats.Connect(t), rs, anyStore{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { worker.Run(ctx) })
	defer running.Wait()
	defer stop()
	for i := range 3 {
		data := fmt.Appendf(nil, `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"a"},"object":{"key":"k%d"}}}]}`, i)
		if _, err := natstest.JetStream(t, nc).Publish(t.Context(), "storage.event.minio", data); err != nil {
			t.Fatal(err)
		}
	}
	waittest.Eventually(t, "what the trigger does on the page", func() bool {
		body := with.get("/")
		return strings.Contains(body, "<dt>Open windows</dt><dd>1</dd>") && strings.Contains(body, "windows hold 1 changes. 1 requests of 2 changes were asked for") &&
			strings.Contains(body, `: 2 changes of c/s are <a href="/?q=changes-`)
	})
	without.request("billing", "inv-1").submit()
	without.waitForRow("inv-1", "s-claimed")
	if body := without.get("/"); strings.Contains(body, "Storage notifications") {
		t.Error("a trigger that is not there is shown")
	}
}

// anyStore takes every file.
type anyStore struct{}

func (anyStore) Put(context.Context, string, string, []byte) error { return nil }

func TestPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 120 {
		b.request("billing", fmt.Sprintf("p-%03d", i)).start("1")
	}
	b.waitForRow("p-119")
	for query, want := range map[string][]string{
		"": {"1–50 of 120", "p-119", "p-070"}, "?page=2&source=bill": {"51–100 of 120", "p-069", "/?page=3&amp;source=bill", `href="/?source=bill"`},
		"?page=3": {"101–120 of 120", "p-000", `href="/?page=2"`},
	} {
		body := b.get("/" + query)
		for _, text := range want {
			if !strings.Contains(body, text) {
				t.Errorf("%s lacks %s", query, text)
			}
		}
		if live := strings.Contains(body, "data-live"); live != (query == "") {
			t.Errorf("%q is live: %t", query, live)
		}
	}
}

func TestRequest_showsItsHistory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.request("billing", "inv-1").submit()
	again := s.claim
	s.append(&again)
	again.LeaseMillis = 0
	s.append(&again)
	again.LeaseMillis, again.Owner, again.Epoch, again.DoubtSequence, again.DoubtTaskID = 35_000, "other/8", 2, s.last, "77"
	s.append(&again)
	over := again
	over.Owner, over.Epoch = "third/9", 3
	s.append(&over)
	s.append(&schemas.JobStarted{
		Naming: s.claim.Names(), Message: s.claim.Message, JobID: "5976", JobIDs: []string{"5976", "5977"}, Adopted: true, StartedAt: time.Now(),
	})
	b.waitForRow("inv-1", "started")
	rejected := b.request("billing", "inv-1")
	rejected.key = publisher.SequenceKey("billing", 99, time.Now())
	rejected.append(&schemas.RequestRejected{Naming: s.claim.Names(), Message: rejected.claim.Message, First: s.claim.Message, Reason: "used before", RejectedAt: time.Now()})
	b.waitForRow("inv-1", "rejected")
	body := b.get("/requests/billing/inv-1")
	for _, want := range []string{
		"<b>claimed</b> by host/7, epoch 1, lease 35s; renewed once until 2", "<b>released</b> by host/7",
		"<b>claimed</b> by other/8, epoch 2, lease 35s, in doubt since ", ": a call may have started a job of task 77",
		"<b>taken-over</b> by third/9", "<b>adopted</b> job 5976, 5977, found at the vendor after a lost answer",
		"4bf92f3577b34da6a3ce929d0e0e4736", "CHG-17", "default-plan", "&#34;subclientName&#34;: &#34;stestgroup&#34;", "/requests/billing/seq-99", `data-live="/live/requests/billing/inv-1"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the history lacks %s", want)
		}
	}
	for _, path := range []string{"/requests/billing/inv-9", "/requests/%2A/inv-1", "/requests/billing/%3E", "/requests/billing/" + strings.Repeat("x", 4000)} {
		if resp, _ := b.do(http.MethodGet, path, nil); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%.60s: %d, want 404", path, resp.StatusCode)
		}
	}
}

func TestARequestThatIsNoLongerHeld(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.request("billing", "old one").start("5")
	b.waitForRow("old one")
	body := b.get("/?q=old+one&state=failed") // held, but left out by the filter
	if !strings.Contains(body, "in the stream") || !strings.Contains(body, "old one</a> of billing") {
		t.Error("the stream was not asked for the request")
	}
}

// hostile is text that would do something if it were let to.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>'{{.}}` + "\r\n\u2028data: x\n\nevent: parts\ndata: <script>alert(3)</script>"

var (
	// tag is an element as our templates write it, attribute one of its attributes.
	tag       = regexp.MustCompile(`<(/?[a-z][a-z0-9]*|!doctype)((?:\s+[a-zA-Z][a-zA-Z0-9-]*(?:="[^"<>]*")?)*)\s*/?>`)
	attribute = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9-]*)(?:="([^"]*)")?`)
)

// inert fails if there is an element or an attribute that we did not put there.
// Every "<" has to begin a tag that is written as we write them.
func inert(t testing.TB, where, body string) {
	t.Helper()
	if rest := tag.ReplaceAllString(body, ""); strings.ContainsAny(rest, "<>") {
		t.Errorf("%s: there is an odd tag in %q", where, rest[max(0, strings.IndexAny(rest, "<>")-100):])
	}
	for _, found := range tag.FindAllStringSubmatch(body, -1) {
		src := ""
		for _, a := range attribute.FindAllStringSubmatch(found[2], -1) {
			name, value := a[1], html.UnescapeString(a[2])
			if strings.HasPrefix(name, "on") || name == "style" || name == "srcdoc" {
				t.Errorf("%s: %s", where, found[0])
			}
			leads := name == "href" || name == "action" || name == "src"
			if leads && (!strings.HasPrefix(value, "/") || strings.HasPrefix(value, "//")) && !strings.HasPrefix(value, "#") && !strings.HasPrefix(value, "https://cc.example.com/#/jobs/") {
				t.Errorf("%s: %s leads to %q", where, found[0], value)
			}
			if name == "src" {
				src = value
			}
		}
		switch found[1] {
		case "script", "img":
			if !strings.HasPrefix(src, "/assets/") {
				t.Errorf("%s: %s", where, found[0])
			}
		case "style", "iframe", "object", "embed", "base":
			t.Errorf("%s: %s", where, found[0])
		}
	}
}

func TestHostileTextIsInert(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	source := `a"<b&'/?#%`
	s := b.request(source, hostile, func(c *schemas.JobSubmitting) {
		r := &c.Request
		r.ClientName, r.SubclientName, r.InstanceName, r.BackupsetName, r.StoragePolicyName = hostile, hostile, hostile, hostile, hostile
		r.BackupLevel, r.OnDemandInputFile, r.Labels = hostile, hostile, map[string]string{hostile: hostile}
		c.Owner, c.DoubtSequence, c.DoubtTaskID = hostile, 1, hostile
	}).submit()
	sequence := s.keep(hostile, hostile)
	failed := b.request(source, hostile+"2").fail(hostile, hostile)
	failed.key = publisher.SequenceKey(source, 1, time.Now())
	started := b.request("billing", hostile+"3").submit()
	started.append(&schemas.JobStarted{Naming: s.claim.Names(), Message: s.claim.Message, JobID: "javascript:alert(1)" + hostile, JobIDs: []string{hostile, hostile}, TaskID: hostile, StartedAt: time.Now()})
	if _, err := b.pub.Request(t.Context(), "billing", schemas.BackupRequest{ClientName: "c", SubclientName: "s"}); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "three rows", func() bool { return strings.Count(b.get("/"), `scope="row"`) == 3 })
	b.signIn()
	q := url.QueryEscape(hostile)
	for _, path := range []string{
		"/", "/?state=" + q + "&source=" + q + "&client=" + q + "&group=" + q + "&q=" + q + "&page=" + q,
		"/requests/" + url.PathEscape(source) + "/" + s.key.Name, "/requests/billing/" + started.key.Name, "/requests/" + q + "/" + q,
		"/dead-letters", "/dead-letters?source=" + q + "&before=" + q, fmt.Sprintf("/dead-letters/%d?replayed=%s&source=%s", sequence, q, q),
		"/login?next=" + q, "/login?next=javascript:alert(1)", "/login?next=//evil.example/", "/login?next=%2F%5Cevil.example", "/" + q,
	} {
		resp, body := b.do(http.MethodGet, path, nil)
		inert(t, path, body)
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; style-src 'self';") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the content security policy is %q", path, csp)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", path, resp.Header)
		}
	}
	for _, path := range []string{"/live", "/live/requests/" + url.PathEscape(source) + "/" + s.key.Name, "/live?q=" + q} {
		name, data := b.firstEvent(path)
		if name != "parts" {
			t.Errorf("%s: the first event is %q", path, name)
		}
		inert(t, path, data)
	}
	_, body := b.do(http.MethodPost, "/login", url.Values{"actor": {hostile}, "token": {hostile}, "next": {hostile}})
	inert(t, "a wrong login", body)
}

// firstEvent opens a stream and reads its first event as a browser does.
func (b *bench) firstEvent(path string) (name, data string) {
	b.t.Helper()
	resp, err := b.client.Get(b.url + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		b.t.Fatalf("%s: %d, %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return readEvent(b.t, bufio.NewReader(resp.Body))
}

// readEvent reads up to the end of one event that has data.
func readEvent(t testing.TB, r *bufio.Reader) (name, data string) {
	t.Helper()
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended: %v", err)
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case strings.ContainsRune(value, '\r'):
			t.Fatalf("a line is broken by a carriage return: %q", line)
		case field == "event":
			name = value
		case field == "data":
			lines = append(lines, value)
		case field == "" && len(lines) > 0:
			return name, strings.Join(lines, "\n")
		}
	}
}

// A stream has what changes, and only what has changed.
func TestAStreamTellsChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.get("/")
	resp, err := b.client.Get(b.url + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	reader := bufio.NewReader(resp.Body)
	_, first := readEvent(t, reader)
	for _, part := range []string{"lights", "counts", "plot", "rows", "pager"} {
		if !strings.Contains(first, `id="`+part+`"`) {
			t.Errorf("the first event lacks %s:\n%s", part, first)
		}
	}
	b.request("billing", "live-1").start("1")
	for {
		if _, data := readEvent(t, reader); strings.Contains(data, "live-1") {
			break
		}
	}
	b.nats.Stop()
	for {
		if _, data := readEvent(t, reader); strings.Contains(data, "not connected") {
			if strings.Contains(data, "live-1") {
				t.Error("rows that have not changed are sent again")
			}
			break
		}
	}
}

func TestStreamsAreLimited(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	open := func() (status int, header http.Header, leave func()) {
		resp, err := b.client.Get(b.url + "/live") //nolint:bodyclose // leave closes it
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header, func() { _ = resp.Body.Close() }
	}
	var leave []func()
	for i := range 32 {
		status, _, bye := open()
		if status != http.StatusOK {
			t.Fatalf("viewer %d: %d", i, status)
		}
		leave = append(leave, bye)
	}
	status, header, bye := open()
	bye()
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("viewer 33: %d, %v", status, header)
	}
	for _, bye := range leave {
		bye()
	}
	waittest.Eventually(t, "room again", func() bool {
		status, _, bye := open()
		bye()
		return status == http.StatusOK
	})
}

// What is asked while the broker is away is answered, with what is known.
func TestThePageWithoutABroker(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.request("billing", "inv-1").start("1")
	b.waitForRow("inv-1")
	b.nats.Stop()
	waittest.Eventually(t, "word of it", func() bool { return strings.Contains(b.get("/"), "not connected") })
	if body := b.get("/"); !strings.Contains(body, "inv-1") {
		t.Error("what was known is gone")
	}
	for _, path := range []string{"/requests/billing/inv-1", "/dead-letters", "/dead-letters/1"} {
		if resp, body := b.do(http.MethodGet, path, nil); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "could not be read") && !strings.Contains(body, "cannot be read") {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestAssetsAreKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := b.get("/")
	for _, name := range []string{"style.css", "live.js", "icon.svg"} {
		_, rest, ok := strings.Cut(body, "/assets/"+name)
		version, _, _ := strings.Cut(rest, `"`)
		resp, _ := b.do(http.MethodGet, "/assets/"+name+version, nil)
		if !ok || resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s%s: %d, %v", name, version, resp.StatusCode, resp.Header)
		}
		if resp, _ := b.do(http.MethodGet, "/assets/"+name+"?v=other", nil); resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s of another version may be kept", name)
		}
	}
	for _, path := range []string{"/assets/", "/assets/../page.go", "/nothing", "/debug/pprof/"} {
		if resp, _ := b.do(http.MethodGet, path, nil); resp.StatusCode == http.StatusOK {
			t.Errorf("%s is there", path)
		}
	}
}

// A status has its colours, in the list and in the timeline.
func TestStyle_hasEveryStatus(t *testing.T) {
	t.Parallel()
	style, err := os.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range history.Statuses {
		for _, class := range []string{".s-" + string(s), ".t-" + string(s) + "::before"} {
			if !regexp.MustCompile(regexp.QuoteMeta(class) + `[ ,]`).Match(style) {
				t.Errorf("style.css has no rule for %s", class)
			}
		}
	}
}

// A page that has read nothing yet, because NATS is away, does not call the stream empty.
func TestList_beforeItIsRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.nats.Stop()
	body := b.get("/")
	for _, want := range []string{"nothing can be shown yet", "The events stream is not read yet.", "No request is read yet."} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
}
