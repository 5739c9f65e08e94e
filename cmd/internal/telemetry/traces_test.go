package telemetry

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/telemetry/otlptest"
	"backhaul/consumer"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/secretstest"
)

const producer = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// startTraces starts with these variables only.
func startTraces(t *testing.T, env map[string]string) (*Traces, *Metrics, *waittest.Log) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	log, m := new(waittest.Log), NewMetrics(Build{})
	traces := StartTraces(t.Context(), Build{Version: "v1.2.3"}, "host/1", m, zerolog.New(log))
	t.Cleanup(traces.Stop)
	return traces, m, log
}

func TestTraces_areOffByDefault(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for name, test := range map[string]struct {
		env  map[string]string
		on   bool
		says string
	}{
		"nothing":           {nil, false, ""},
		"endpoint":          {map[string]string{endpoint: "http://127.0.0.1:1"}, true, "traces are sent"},
		"for traces":        {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, true, "traces are sent"},
		"disabled":          {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, false, ""},
		"no exporter":       {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		"grpc":              {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		"http for traces":   {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, true, "traces are sent"},
		"no URL":            {map[string]string{endpoint: "collector:4317"}, false, endpoint},
		"no URL, a secret":  {map[string]string{endpoint: "http//u:hunter2-secret@h"}, false, endpoint},
		"headers, broken":   {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_HEADERS": "hunter2-secret"}, true, "traces are sent"},
		"a sampler of none": {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER": "sometimes"}, true, "sometimes"},
	} {
		t.Run(name, func(t *testing.T) {
			traces, _, log := startTraces(t, test.env)
			if on := traces != nil; on != test.on {
				t.Errorf("traces on: %t, want %t", on, test.on)
			}
			if text := log.String(); !strings.Contains(text, test.says) || test.says == "" && text != "" {
				t.Errorf("the log is %q, want %q in it", text, test.says)
			}
			secretstest.NotShown(t, []string{"hunter2-secret"}, log.String())
		})
	}
}

func TestTraces_aRequestIsOneTrace(t *testing.T) {
	receiver := otlptest.Start(t)
	traces, m, log := startTraces(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.URL, "OTEL_SERVICE_NAME": "backups", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=hunter2-secret",
	})
	c, v := Consumer{Metrics: m, Traces: traces}, &Vendor{Metrics: m, Traces: traces, Log: zerolog.New(log)}
	ctx, own := c.Begin(t.Context(), consumer.Received{Source: "billing", RequestID: "r-1", Traceparent: producer, Stored: time.Now().Add(-time.Hour)})
	if own == producer || !strings.HasPrefix(own, producer[:36]) || !strings.HasSuffix(own, "-01") {
		t.Errorf("the events carry %s, want another span of the trace of %s", own, producer)
	}
	attempt, answered := v.Attempt(ctx, vendorapi.Task{}, 1)
	_, end := v.Call(attempt, vendorapi.Call{Op: "CreateTask", Method: "POST", URL: "http://vendor.invalid:81/api/CreateTask"})
	end(503, nil)
	answered(vendorapi.Job{}, &vendorapi.Error{Verdict: vendorapi.Throttled, Status: 503, Code: "35:1"})
	v.Wait(ctx, vendorapi.Wait{For: time.Second, Err: &vendorapi.Error{Verdict: vendorapi.Throttled, Status: 503}})
	_, found := v.FindJob(ctx)
	found(vendorapi.Found{Job: vendorapi.Job{ID: "7"}}, nil)
	c.Wrote(ctx, consumer.Write{Kind: schemas.KindJobStarted, Step: consumer.StepRecord, Began: time.Now()})
	c.Settled(ctx, consumer.Settled{Outcome: &schemas.JobStarted{JobID: "7", Adopted: true, Naming: schemas.Naming{ClientName: "c"}}})
	traces.Stop()

	one := func(name string) otlptest.Span {
		t.Helper()
		spans := receiver.Spans(name)
		if len(spans) != 1 {
			t.Fatalf("%d spans %q, want one", len(spans), name)
		}
		if spans[0].Trace != producer[3:35] {
			t.Errorf("%q is of the trace %s", name, spans[0].Trace)
		}
		return spans[0]
	}
	process := one(spanProcess)
	if process.Parent != producer[36:52] || process.ID != own[36:52] {
		t.Errorf("handling is %s under %s", process.ID, process.Parent)
	}
	for name, parent := range map[string]string{spanAttempt: process.ID, "POST CreateTask": one(spanAttempt).ID, spanFind: process.ID, spanPublish: process.ID} {
		if got := one(name).Parent; got != parent {
			t.Errorf("%q is under %s, want %s", name, got, parent)
		}
	}
	for name, want := range map[string]map[string]any{
		spanProcess:       {attrSource: "billing", attrRequestID: "r-1", attrResult: "started", attrJobID: "7", attrAdopted: true, attrClient: "c", attrDestination: "backup.request.billing"},
		spanAttempt:       {attrVerdict: "throttled", attrAttempt: int64(1), attrErrorType: "throttled", attrCode: "35:1"},
		"POST CreateTask": {attrMethod: "POST", attrStatus: int64(503), attrServer: "vendor.invalid", attrPort: int64(81), attrErrorType: "503"},
		spanFind:          {attrFound: true, attrJobID: "7"},
		spanPublish:       {attrKind: "job-started", attrStep: "record", attrResult: "ok"},
	} {
		span := one(name)
		for key, value := range want {
			if got := span.Attributes[key]; got != value {
				t.Errorf("%q has %s %v, want %v", name, key, got, value)
			}
		}
	}
	if queued, _ := process.Attributes[attrQueued].(float64); queued < 3600 {
		t.Errorf("it was queued for %v s, want an hour", queued)
	}
	if len(process.Events) != 1 || process.Events[0].Name != eventWait {
		t.Errorf("the events of the span are %v", process.Events)
	}
	if r := process.Resource; r["service.name"] != "backups" || r["service.version"] != "v1.2.3" || r["service.instance.id"] != "host/1" {
		t.Errorf("the resource is %v", r)
	}
	raw, header := receiver.Sent()
	if header.Get("Authorization") != "hunter2-secret" {
		t.Error("the receiver's header was not sent")
	}
	secretstest.NotShown(t, []string{"hunter2-secret"}, raw, log.String())
	has(t, scrape(t, m, ""), `backhaul_trace_exports_total{result="ok"} 1`)
	if text := scrape(t, m, "application/openmetrics-text; version=1.0.0"); !strings.Contains(text, `# {trace_id="`+producer[3:35]+`"}`) {
		t.Error("no exemplar with the trace")
	}
	if !strings.Contains(log.String(), `"trace_id":"`+producer[3:35]+`"`) {
		t.Errorf("no trace in the log %s", log)
	}
}

// A receiver that hangs, refuses or is gone delays nothing, and is logged once.
func TestTraces_aReceiverFails(t *testing.T) {
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or it is not noticed that the client goes
		<-r.Context().Done()
	}))
	t.Cleanup(hangs.Close)
	refuses := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(refuses.Close)
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = away.Close()
	for name, url := range map[string]string{"hangs": hangs.URL, "refuses": refuses.URL, "is away": "http://" + away.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			traces, m, log := startTraces(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16",
				"OTEL_EXPORTER_OTLP_TIMEOUT": "100", "OTEL_BSP_SCHEDULE_DELAY": "10",
			})
			for range 2000 { // far more than the queue holds
				use(Consumer{Metrics: m, Traces: traces}, &Vendor{Metrics: m, Traces: traces})
			}
			traces.Stop()
			if n := strings.Count(log.String(), "cannot send traces"); n != 1 {
				t.Errorf("complained of %d times, want once: %s", n, log)
			}
		})
	}
}

func TestTraces_repeatsErrorsEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(waittest.Log)
		c := &complaints{log: zerolog.New(log)}
		for range 10 {
			c.about(errors.New("no receiver"))
		}
		time.Sleep(complainEvery) //nolint:forbidigo // the bubble's time
		c.about(errors.New("no receiver"))
		if n := strings.Count(log.String(), "\n"); n != 2 {
			t.Errorf("%d lines, want 2: %s", n, log)
		}
	})
}

// A retry is loud when it is for another reason.
func TestVendor_logsRetriesThatChange(t *testing.T) {
	log := new(waittest.Log)
	v := &Vendor{Metrics: NewMetrics(Build{}), Log: zerolog.New(log)}
	for n, err := range []error{
		&vendorapi.Error{Op: "CreateTask", Verdict: vendorapi.NotSent, Err: errors.New("dial from port 1")},
		&vendorapi.Error{Op: "CreateTask", Verdict: vendorapi.NotSent, Err: errors.New("dial from port 2")},
		&vendorapi.Error{Op: "CreateTask", Verdict: vendorapi.NotSent, Status: 404},
		&vendorapi.Error{Op: "Login", Verdict: vendorapi.NotSent, Status: 404},
	} {
		before := strings.Count(log.String(), `"level":"warn"`)
		v.Wait(t.Context(), vendorapi.Wait{For: time.Second, Err: err, Task: vendorapi.Task{BackupRequest: schemas.BackupRequest{RequestID: "r"}}})
		if loud := strings.Count(log.String(), `"level":"warn"`) > before; loud != (n != 1) {
			t.Errorf("%d: loud %t", n, loud)
		}
	}
	if !strings.Contains(log.String(), `"requestId":"r"`) || !strings.Contains(log.String(), `"delayMs":1000`) {
		t.Errorf("the log is %s", log)
	}
}

func TestCarrier_ignoresCase(t *testing.T) {
	c := carrier{"TraceParent": {producer}}
	if got := c.Get("traceparent"); got != producer {
		t.Errorf("read %q", got)
	}
	if c.Set("traceparent", "x"); len(c["traceparent"]) != 1 {
		t.Errorf("written as %v", c)
	}
}

// Every constant of spans.go is the name of a span, attribute or event.
func TestTraces_areDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "spans.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text, n := page(t), 0
	named := func(name string) {
		if n++; !strings.Contains(text, "`"+name+"`") {
			t.Errorf("deploy/OBSERVABILITY.md does not name %q", name)
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING && !strings.HasSuffix(literal.Value, ` "`) {
			name, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			named(name)
		}
		return true
	})
	for _, name := range []string{spanProcess, spanPublish, spanAttempt, spanFind, spanJob, "POST CreateTask"} {
		named(name)
	}
	if n < 35 {
		t.Errorf("only %d names", n)
	}
}

func BenchmarkARequestIsTraced(b *testing.B) {
	m := NewMetrics(Build{})
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlptest.Start(b).URL)
	traces := StartTraces(b.Context(), Build{}, "host/1", m, zerolog.Nop())
	b.Cleanup(traces.Stop)
	c, v := Consumer{Metrics: m, Traces: traces}, &Vendor{Metrics: m, Traces: traces}
	b.ReportAllocs()
	for b.Loop() {
		use(c, v)
	}
}
