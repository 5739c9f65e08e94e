package telemetry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"backhaul/cmd/internal/protection"
	"backhaul/cmd/internal/protection/watch"
	"backhaul/cmd/internal/queue"
	"backhaul/consumer"
	"backhaul/consumer/budget"
	"backhaul/consumer/follower"
	"backhaul/consumer/scope"
	"backhaul/consumer/trigger"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/schemas/schemastest"
	"backhaul/vendorapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// page is the reference of metrics, spans and fields.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "OBSERVABILITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// watched is every metric that a running service has.
func watched(t *testing.T, nc *nats.Conn) *Metrics {
	t.Helper()
	m := NewMetrics(Build{Version: "v1.2.3", Commit: "abc"})
	if err := m.WatchQueue(nc); err != nil {
		t.Fatal(err)
	}
	client, err := vendorapi.New(vendorapi.Config{Endpoint: "https://vendor.invalid/api", Auth: vendorapi.Auth{
		Mode: vendorapi.AuthToken, Token: func() (vendorapi.Secret, error) { return "t", nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	well := func() error { return nil }
	m.WatchProcess(client, well, well)
	m.WatchScopes(func() []scope.Pause { return nil })
	m.WatchFollower(func() follower.State { return follower.State{Reading: true} })
	m.WatchProtection(func() watch.View {
		o := protection.Objective{Name: "gold", Owner: "team", RPO: time.Hour}
		return watch.View{At: time.Now(), Promises: []protection.Objective{o}, Groups: []watch.Standing{{Objective: o, Promised: true, Status: watch.Breached, Broken: []protection.Broken{{}}}}}
	})
	m.WatchBudget(func() (budget.View, error) { return budget.View{Limit: 100}, nil })
	m.WatchConditions(map[string]func() error{"ledger": well, "ledger writes": func() error { return errors.New("full") }})
	return m
}

// scrape is what a metrics server reads.
func scrape(t *testing.T, m *Metrics, accept string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, " ")
			t.Errorf("no line %q, but %q", line, regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+` .*$`).FindString(text))
		}
	}
}

func TestMetrics_followTheConventions(t *testing.T) {
	m := watched(t, natstest.Start(t).Connect(t))
	use(Consumer{Metrics: m}, &Vendor{Metrics: m})
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// use is one request of each sort.
func use(c Consumer, v *Vendor) {
	ctx, _ := c.Begin(context.Background(), consumer.Received{Source: "billing", Stored: time.Now()})
	c.Wrote(ctx, consumer.Write{Kind: schemas.KindJobSubmitting, Step: consumer.StepClaim, Began: time.Now()})
	attemptCtx, answered := v.Attempt(ctx, vendorapi.Task{}, 1)
	_, end := v.Call(attemptCtx, vendorapi.Call{Op: "CreateTask", Method: "POST", URL: "https://vendor.invalid/api/CreateTask"})
	end(http.StatusOK, nil)
	answered(vendorapi.Job{ID: "1"}, nil)
	c.Wrote(ctx, consumer.Write{Kind: schemas.KindJobStarted, Step: consumer.StepRecord, Began: time.Now()})
	c.Settled(ctx, consumer.Settled{Outcome: &schemas.JobStarted{Attempts: 1}, Stored: time.Now()})
}

var descForm = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// everyMetric is every metric of ours with its labels.
func everyMetric(t *testing.T, m *Metrics) map[string][]string {
	t.Helper()
	all := everyMetricOf(t, m.registry)
	if len(all) < 30 {
		t.Fatalf("only %d metrics", len(all))
	}
	return all
}

func everyMetricOf(t *testing.T, registry *prometheus.Registry) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		registry.Describe(descs)
	}()
	for d := range descs {
		found := descForm.FindStringSubmatch(d.String())
		if found == nil {
			t.Fatalf("cannot read %s", d)
		}
		if strings.HasPrefix(found[1], namespace+"_") {
			all[found[1]] = strings.FieldsFunc(found[2], func(r rune) bool { return r == ',' || r == ' ' })
		}
	}
	return all
}

// watchedTrigger is every metric that a running trigger has.
func watchedTrigger(t *testing.T, nc *nats.Conn) *Trigger {
	t.Helper()
	m := NewTrigger(Build{Version: "v1.2.3", Commit: "abc"})
	if err := m.Watch(nc, func() trigger.State { return trigger.State{} }, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	m.WatchConditions(map[string]func() error{"directives": func() error { return nil }})
	return m
}

// Each check of /readyz?verbose is a gauge, under its name as a label has it.
func TestWatchConditions_ShowsEachCheck(t *testing.T) {
	nc := natstest.Start(t).Connect(t)
	has(t, scrape(t, watched(t, nc), ""), `backhaul_condition_ok{condition="ledger"} 1`, `backhaul_condition_ok{condition="ledger_writes"} 0`)
}

func TestTriggerMetrics_followTheConventions(t *testing.T) {
	nc := natstest.Start(t).Connect(t)
	natstest.ProvisionTrigger(t, nc)
	m := watchedTrigger(t, nc)
	m.Change(trigger.FormatMinIO, trigger.ReasonNoRoute)
	m.Requested(3, time.Second, "")
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	has(t, w.Body.String(), "backhaul_trigger_pending 0", "backhaul_trigger_request_changes_sum 3",
		`backhaul_trigger_requests_total{directive="none"} 1`, `backhaul_trigger_changes_total{format="minio",reason="no-route"} 1`)
}

// A row of the page is: | `name` | `label`, `label` | what it says |
func TestMetrics_areDocumented(t *testing.T) {
	nc := natstest.Start(t).Connect(t)
	all, text := everyMetric(t, watched(t, nc)), page(t)
	maps.Copy(all, everyMetricOf(t, watchedTrigger(t, nc).registry))
	maps.Copy(all, everyMetricOf(t, watchedArchiver(nc).registry))
	rows := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `(backhaul_[a-z_]+)` \\| ([^|]*)\\|").FindAllStringSubmatch(text, -1) {
		rows[row[1]] = row[2]
	}
	for name, labels := range all {
		row, ok := rows[name]
		if !ok {
			t.Errorf("deploy/OBSERVABILITY.md has no row for %s", name)
			continue
		}
		var listed []string
		for _, l := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row, -1) {
			listed = append(listed, l[1])
		}
		slices.Sort(listed)
		slices.Sort(labels)
		if name != "backhaul_build_info" && !slices.Equal(listed, labels) {
			t.Errorf("%s has the labels %q, the page says %q", name, labels, listed)
		}
	}
	for name := range rows {
		if _, ok := all[name]; !ok {
			t.Errorf("deploy/OBSERVABILITY.md has %s, which does not exist", name)
		}
	}
	for _, values := range [][]string{results, kinds, reasons, steps, verdicts, classes, waits, states, outcomes, jobStates, readCalls, triggerFormats, triggerReasons, directiveResults, refusals, protectionStates, protectionStatuses, {resultOK, resultConflict, resultError}} {
		for _, value := range values {
			if !strings.Contains(text, "`"+value+"`") {
				t.Errorf("deploy/OBSERVABILITY.md does not explain the label value %s", value)
			}
		}
	}
}

// A label must never have a value for each request.
func TestMetrics_labelsAreBounded(t *testing.T) {
	for name, labels := range everyMetric(t, watched(t, natstest.Start(t).Connect(t))) {
		for _, l := range labels {
			if strings.HasPrefix(name, "backhaul_protection_") && slices.Contains([]string{"objective", "owner", "status", "client", "group", "id"}, l) {
				continue // bounded by the file of objectives, and by maxBreaches: TestProtection_gauges
			}
			if !slices.Contains([]string{"result", "kind", "reason", "step", "operation", "code", "verdict", "class", "state", "condition", "outcome", "call"}, l) {
				t.Errorf("%s has the label %s", name, l)
			}
		}
	}
	m := NewMetrics(Build{})
	c, v := Consumer{Metrics: m}, &Vendor{Metrics: m}
	use(c, v)
	series := func() int {
		n, err := testutil.GatherAndCount(m.registry)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := series()
	for n := range 500 {
		ctx, _ := c.Begin(t.Context(), consumer.Received{Source: fmt.Sprint("s", n), RequestID: fmt.Sprint("r", n)})
		_, answered := v.Attempt(ctx, vendorapi.Task{Marker: fmt.Sprint(n)}, n)
		answered(vendorapi.Job{ID: fmt.Sprint(n)}, nil)
		c.Settled(ctx, consumer.Settled{Outcome: &schemas.JobFailed{ErrorCode: fmt.Sprint(n), ErrorSource: schemas.ErrorSourceVendor}})
		c.Settled(ctx, consumer.Settled{Outcome: &schemas.JobFailed{ErrorCode: fmt.Sprint("NEW_", n), ErrorSource: schemas.ErrorSourceBackhaul}})
	}
	if after := series(); after > before+1 { // the histogram of job-failed
		t.Errorf("500 requests made %d series of %d", after, before)
	}
}

func TestResults(t *testing.T) {
	for want, outcome := range map[string]schemas.Event{
		"started":            &schemas.JobStarted{},
		"vendor_refused":     &schemas.JobFailed{ErrorCode: "587207178", ErrorSource: schemas.ErrorSourceVendor},
		"invalid_request":    &schemas.JobFailed{ErrorCode: schemas.CodeInvalidRequest, ErrorSource: schemas.ErrorSourceBackhaul},
		"expired":            &schemas.JobFailed{ErrorCode: schemas.CodeExpired, ErrorSource: schemas.ErrorSourceBackhaul},
		"vendor_unavailable": &schemas.JobFailed{ErrorCode: schemas.CodeVendorUnavailable, ErrorSource: schemas.ErrorSourceBackhaul},
		"auth_failed":        &schemas.JobFailed{ErrorCode: schemas.CodeAuthFailed, ErrorSource: schemas.ErrorSourceVendor},
		"outcome_unknown":    &schemas.JobFailed{ErrorCode: schemas.CodeOutcomeUnknown, ErrorSource: schemas.ErrorSourceBackhaul},
		"not_allowed":        &schemas.JobFailed{ErrorCode: "NOT_ALLOWED", ErrorSource: schemas.ErrorSourceBackhaul},
		"cancelled":          &schemas.JobFailed{ErrorCode: schemas.CodeCancelled, ErrorSource: schemas.ErrorSourceBackhaul},
		"id_reused":          &schemas.RequestRejected{},
		"other":              &schemas.JobFailed{ErrorCode: "SOMETHING_NEW", ErrorSource: schemas.ErrorSourceBackhaul},
	} {
		if got := resultOf(outcome); got != want || !slices.Contains(results, got) {
			t.Errorf("%+v is %s, want %s", outcome, got, want)
		}
	}
}

// Every class and verdict that the vendor's client can tell of is one that is
// listed, and therefore exists from the start.
func TestLabels_listVerdictsAndClasses(t *testing.T) {
	for v := vendorapi.Unknown; v <= vendorapi.NotSent; v++ {
		if got := verdictOf(vendorapi.Job{}, &vendorapi.Error{Verdict: v}); !slices.Contains(verdicts, got) {
			t.Errorf("%s is not listed", got)
		}
	}
	for want, err := range map[string]error{
		"unreachable":   &vendorapi.Error{Verdict: vendorapi.NotSent},
		"login_refused": &vendorapi.Error{Verdict: vendorapi.NotSent, Err: &vendorapi.LoginError{}},
		"throttled":     &vendorapi.Error{Verdict: vendorapi.Throttled, Status: 429},
		"not_sent":      &vendorapi.Error{Verdict: vendorapi.NotSent, Status: 404},
	} {
		if got := classOf(err); got != want || !slices.Contains(classes, got) {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
	for status, want := range map[int]string{0: "none", 200: "2xx", 302: "3xx", 404: "4xx", 429: "429", 503: "5xx", 777: "none"} {
		if got := codeOf(status); got != want {
			t.Errorf("%d is %s, want %s", status, got, want)
		}
	}
}

func TestQueueLook(t *testing.T) {
	s := natstest.Start(t)
	nc := s.Connect(t)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := pub.Request(t.Context(), "test", schemas.BackupRequest{ClientName: "c", SubclientName: "s"}); err != nil {
			t.Fatal(err)
		}
	}
	m := watched(t, nc)
	js := natstest.JetStream(t, nc)
	waittest.Eventually(t, "three requests", func() bool {
		state, err := queue.Look(t.Context(), js)
		return err == nil && state.Waiting == 3
	})
	text := scrape(t, m, "")
	has(t, text, "backhaul_queue_up 1", "backhaul_queue_pending 3", "backhaul_queue_ack_pending 0", "backhaul_queue_paused 0",
		"backhaul_dead_letters 0", "backhaul_nats_connected 1", "backhaul_ready 1", "backhaul_vendor_up 1",
		`backhaul_vendor_breaker_state{state="closed"} 1`, `backhaul_vendor_breaker_state{state="open"} 0`)
	if regexp.MustCompile(`(?m)^backhaul_queue_oldest_request_age_seconds 0$`).MatchString(text) {
		t.Error("the oldest request has no age")
	}
	if strings.Contains(text, "backhaul_vendor_token_expiry") {
		t.Error("a token that never ends has an end")
	}

	// Without a server there is everything else, and nothing stale.
	s.Stop()
	waittest.Eventually(t, "a connection that is down", func() bool { return !nc.IsConnected() })
	text = scrape(t, m, "")
	has(t, text, "backhaul_queue_up 0", "backhaul_nats_connected 0", "backhaul_requests_in_flight 0")
	if strings.Contains(text, "backhaul_queue_pending ") {
		t.Error("the queue's length is shown although nobody knows it")
	}
}

// A server that does not answer is asked once for many scrapes, and each of them ends.
func TestQueueLook_withoutAnAnswer(t *testing.T) {
	m, asked := NewMetrics(Build{}), 0
	m.registry.MustRegister(&queueLook{nc: natstest.Start(t).Connect(t), look: func(ctx context.Context) (view, error) {
		asked++
		<-ctx.Done()
		return view{}, ctx.Err()
	}})
	for range 5 {
		has(t, scrape(t, m, ""), "backhaul_queue_up 0", "backhaul_nats_connected 1")
	}
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
}

func TestCounts(t *testing.T) {
	m := NewMetrics(Build{Version: "v1"})
	c, v := Consumer{Metrics: m}, &Vendor{Metrics: m}
	use(c, v)
	ctx, traceparent := c.Begin(t.Context(), consumer.Received{})
	if traceparent != "" {
		t.Errorf("without traces a request gets the trace context %q", traceparent)
	}
	has(t, scrape(t, m, ""), "backhaul_requests_in_flight 1")
	c.Settled(ctx, consumer.Settled{Result: consumer.ResultPostponed, Class: consumer.ClassCapacity, Delivered: 2, Err: errors.New("x")})
	c.Settled(ctx, consumer.Settled{Result: consumer.ResultAttached, Delivered: 3})
	c.Settled(ctx, consumer.Settled{Result: consumer.ResultCopy, Delivered: 3}) // was reported when it attached
	c.Wrote(ctx, consumer.Write{Kind: schemas.KindJobStarted, Step: consumer.StepRecord, Err: errors.New("x"), Conflict: true})
	c.Wrote(ctx, consumer.Write{Kind: schemas.KindJobSubmitting, Step: consumer.StepTakeOver})
	v.Wait(ctx, vendorapi.Wait{For: 2 * time.Second, Reason: vendorapi.CooldownRate})
	v.Wait(ctx, vendorapi.Wait{For: time.Second, Err: &vendorapi.Error{Verdict: vendorapi.NotSent}})
	has(t, scrape(t, m, ""),
		"backhaul_requests_in_flight 0", "backhaul_redeliveries_total 2", "backhaul_duplicates_total 1",
		`backhaul_postponements_total{reason="no_room"} 1`, `backhaul_ledger_writes_total{result="conflict",step="record"} 1`,
		`backhaul_ledger_writes_total{result="ok",step="take_over"} 1`, `backhaul_events_published_total{kind="job-started"} 1`,
		`backhaul_vendor_waits_total{reason="rate"} 1`, `backhaul_vendor_wait_seconds_total{reason="rate"} 2`,
		`backhaul_retries_total{class="unreachable"} 1`, `backhaul_vendor_attempts_total{verdict="started"} 1`)
}

func BenchmarkARequestIsCounted(b *testing.B) {
	m := NewMetrics(Build{})
	c, v := Consumer{Metrics: m}, &Vendor{Metrics: m}
	b.ReportAllocs()
	for b.Loop() {
		use(c, v)
	}
}

// What ends a request counts under a label of its own; "other" is for codes of a later
// version.
func TestResultOf_everyOutcome(t *testing.T) {
	t.Parallel()
	for _, kind := range schemas.Kinds {
		ends := kind.Terminal() || kind == schemas.KindRequestRejected
		for _, e := range schemastest.Events(t, kind) {
			if got := resultOf(e); ends && (got == "other" || !slices.Contains(results, got)) {
				t.Errorf("%s counts as %s, want one of %v", kind, got, results)
			}
		}
	}
}
