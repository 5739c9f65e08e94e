package systemtest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/cmd/internal/telemetry/otlptest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
)

func requestFor(id, members string) []byte {
	return fmt.Appendf(nil, `{"requestId":%q,"clientName":"s-adhoc-object-storage","subclientName":"stestgroup"%s}`, id, members)
}

// Each request ends in the way that it is made for, and the counters say so.
func TestMetricsCountEveryOutcome(t *testing.T) {
	t.Parallel()
	s := programtest.StartEmbedded(t, simulator.Config{}, "BACKHAUL_IN_DOUBT=fail")
	request := func(id, members string) {
		t.Helper()
		s.Publish("backup.request.billing", nil, requestFor(id, members))
		s.WaitForOutcomes()
	}
	for n := range 3 {
		request(fmt.Sprint("started-", n), "")
	}
	request("started-0", "") // a duplicate
	request("started-1", `,"backupLevel":"FULL"`)
	for n := range 2 {
		request(fmt.Sprint("refused-", n), `,"storagePolicyName":"no-such-plan"`)
	}
	request("invalid-0", `,"planName":"x"`)
	request("expired-0", `,"notAfter":"2020-01-01T00:00:00Z"`)
	s.Sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
	request("adopted-0", "")
	s.Sim.Script(simulator.Fault{Kind: simulator.CutBeforeStart})
	request("unknown-0", "")
	s.Sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: time.Second})
	request("throttled-0", "")
	s.Sim.Script(simulator.Fault{Kind: simulator.Status, Status: http.StatusNotFound, Body: "no such page"})
	request("repeated-0", "")

	for series, want := range map[string]float64{
		`backhaul_requests_total{result="started"}`:                                         6,
		`backhaul_requests_total{result="vendor_refused"}`:                                  2,
		`backhaul_requests_total{result="invalid_request"}`:                                 1,
		`backhaul_requests_total{result="expired"}`:                                         1,
		`backhaul_requests_total{result="id_reused"}`:                                       1,
		`backhaul_requests_total{result="outcome_unknown"}`:                                 1,
		`backhaul_requests_total{result="auth_failed"}`:                                     0,
		`backhaul_request_duration_seconds_count{kind="job-started"}`:                       6,
		`backhaul_request_duration_seconds_count{kind="job-failed"}`:                        5,
		`backhaul_duplicates_total`:                                                         1,
		`backhaul_jobs_adopted_total`:                                                       1,
		`backhaul_events_published_total{kind="job-started"}`:                               6,
		`backhaul_events_published_total{kind="job-failed"}`:                                5,
		`backhaul_events_published_total{kind="request-rejected"}`:                          1,
		`backhaul_vendor_attempts_total{verdict="started"}`:                                 5,
		`backhaul_vendor_attempts_total{verdict="refused"}`:                                 2,
		`backhaul_vendor_attempts_total{verdict="unknown"}`:                                 2,
		`backhaul_vendor_attempts_total{verdict="throttled"}`:                               1,
		`backhaul_vendor_attempts_total{verdict="not_sent"}`:                                1,
		`backhaul_retries_total{class="not_sent"}`:                                          1,
		`backhaul_vendor_request_duration_seconds_count{code="429",operation="CreateTask"}`: 1,
		`backhaul_vendor_request_duration_seconds_count{code="2xx",operation="Login"}`:      1,
		`backhaul_requests_in_flight`:                                                       0,
		`backhaul_vendor_attempts_in_flight`:                                                0,
		`backhaul_ready`:                                                                    1,
		`backhaul_nats_connected`:                                                           1,
	} {
		// The acknowledgement, which empties the queue, comes before the count.
		waittest.Eventually(t, fmt.Sprintf("%s %g", series, want), func() bool { return programtest.Metric(t, s, series) == want })
	}
	waittest.Eventually(t, "every dead letter in a gauge", func() bool {
		return programtest.Metric(t, s, "backhaul_dead_letters") == float64(s.Messages(publisher.DeadLetterStream))
	})
	if resp, err := http.Get(programtest.AdminURL(t, s.Run) + "/debug/pprof/"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("profiles without being asked for: %v %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
	_, text := programtest.Probe(t, programtest.AdminURL(t, s.Run)+"/metrics")
	secretstest.NotShown(t, append(s.Sim.Secrets(), programtest.Password, "QSDK "), text)
}

// A request is one trace, from its requester's span to the reader of its event.
func TestTracesReachAReceiver(t *testing.T) {
	t.Parallel()
	receiver := otlptest.Start(t)
	s := programtest.StartEmbedded(t, simulator.Config{}, "OTEL_EXPORTER_OTLP_ENDPOINT="+receiver.URL, "OTEL_BSP_SCHEDULE_DELAY=50",
		"OTEL_EXPORTER_OTLP_HEADERS=x-token=hidden-"+programtest.Password)
	const traceID, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	s.Sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
	s.Publish("backup.request.billing", map[string][]string{"TraceParent": {"00-" + traceID + "-" + parent + "-01"}}, programtest.SampleRequest("trace-1"))
	s.WaitForOutcomes()
	s.OneJob("trace-1")
	s.Publish("backup.request.billing", nil, requestFor("trace-2", `,"storagePolicyName":"no-such-plan"`))
	s.WaitForOutcomes()
	var events []string
	for _, msg := range s.Stored(publisher.EventsStream, "backup.event.*.billing.trace-1") {
		events = append(events, msg.Headers().Get("traceparent"))
	}
	if len(events) < 2 {
		t.Errorf("%d events, want two at least", len(events))
	}
	if code := s.Run.Stop(t); code != programtest.ExitDone {
		t.Fatalf("exit code %d", code)
	}

	byID := make(map[string]otlptest.Span)
	var names []string
	for _, span := range receiver.Spans("") {
		byID[span.ID] = span
		if span.Trace == traceID {
			names = append(names, span.Name)
		}
	}
	for _, want := range []string{
		"process backup.request.{source}", "publish backup.event.{kind}.{source}.{key}", "attempt CreateTask", "POST CreateTask",
		"POST Login", "find job", "GET JobList", "GET TaskDetails",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("the trace of the request has no %q, only %q", want, names)
		}
	}
	var handling otlptest.Span
	for _, span := range receiver.Spans("process backup.request.{source}") {
		switch {
		case span.Trace != traceID: // the second has none of its own: it begins one
			if span.Parent != "" || span.Attributes["backhaul.result"] != "vendor_refused" {
				t.Errorf("the second request is %v under %q", span.Attributes, span.Parent)
			}
		case span.Parent != parent:
			t.Errorf("handling is under %s, want %s", span.Parent, parent)
		default:
			handling = span
		}
	}
	for _, span := range byID {
		if span.Trace == traceID && span.ID != handling.ID && byID[span.Parent].ID == "" {
			t.Errorf("%q is under %s, which was not sent", span.Name, span.Parent)
		}
	}
	if verdict := receiver.Spans("attempt CreateTask")[0].Attributes["backhaul.verdict"]; verdict != "unknown" {
		t.Errorf("the verdict is %v, want unknown", verdict)
	}
	if handling.Attributes["backhaul.job.adopted"] != true || handling.Resource["service.name"] != "backhaul" {
		t.Errorf("handling is %v of %v", handling.Attributes, handling.Resource)
	}
	for _, got := range events {
		if want := "00-" + traceID + "-" + handling.ID + "-01"; got != want {
			t.Errorf("an event carries %s, want %s", got, want)
		}
	}
	if log := s.Run.Output.String(); strings.Count(log, `"trace_id":"`+traceID+`"`) == 0 {
		t.Errorf("no line of the log has the trace: %s", log)
	}
	raw, header := receiver.Sent()
	if header.Get("X-Token") == "" {
		t.Error("the receiver's header was not sent")
	}
	secretstest.NotShown(t, append(s.Sim.Secrets(), programtest.Password, "QSDK "), raw)
}

func TestProfilesStayOnThisMachine(t *testing.T) {
	t.Parallel()
	s := programtest.StartEmbedded(t, simulator.Config{}, "BACKHAUL_ADMIN_PPROF=true")
	for _, path := range []string{"", "goroutine?debug=1", "cmdline", "symbol"} {
		if status, text := programtest.Probe(t, programtest.AdminURL(t, s.Run)+"/debug/pprof/"+path); status != http.StatusOK || text == "" {
			t.Errorf("%s: %d", path, status)
		}
	}
	for _, address := range []string{":9090", "0.0.0.0:9090", "192.0.2.1:9090", "host.example.com:9090", "off"} {
		code, _, stderr := programtest.Once(t, s.Env, "", "run", "--admin-pprof", "--admin-addr", address)
		if code != programtest.ExitUsage || !strings.Contains(stderr, "--admin-pprof: profiles are served on a loopback address only") {
			t.Errorf("%s: exit code %d, %s", address, code, stderr)
		}
	}
}

// programFiles are the sources of the program.
func programFiles(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, dir := range dirs {
		err := filepath.WalkDir(programtest.InRepository(t, dir), func(path string, _ os.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "simulator") {
				return err
			}
			text, err := os.ReadFile(path)
			files[path] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// Every endpoint and log field is documented in deploy/OBSERVABILITY.md.
func TestEndpointsAndLogFieldsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(programtest.InRepository(t, "deploy", "OBSERVABILITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	endpoint := regexp.MustCompile(`"(?:GET|POST|PUT|DELETE) (/[^"]*)"`)
	field := regexp.MustCompile(`\.(?:Str|Strs|Int|Int64|Uint64|Bool|Dur|Time|Float64|Any|Stringer)\("([A-Za-z_]+)"`)
	endpoints, fields := 0, 0
	for path, text := range programFiles(t, "cmd", "consumer", "publisher", "vendorapi") {
		for _, found := range endpoint.FindAllStringSubmatch(text, -1) {
			if endpoints++; !strings.Contains(string(page), "`"+found[1]+"`") {
				t.Errorf("%s: deploy/OBSERVABILITY.md does not have the endpoint %s", path, found[1])
			}
		}
		if !strings.Contains(text, "zerolog") {
			continue
		}
		for _, found := range field.FindAllStringSubmatch(text, -1) {
			if fields++; !strings.Contains(string(page), "`"+found[1]+"`") {
				t.Errorf("%s: deploy/OBSERVABILITY.md does not have the log field %s", path, found[1])
			}
		}
	}
	if endpoints < 9 || fields < 20 {
		t.Errorf("only %d endpoints and %d fields were found", endpoints, fields)
	}
}
