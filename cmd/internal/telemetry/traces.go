package telemetry

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"backhaul/schemas"
)

const (
	// flushTimeout bounds the sending of the last spans after the drain.
	flushTimeout = 3 * time.Second
	// complainEvery is how often the log says that spans cannot be sent.
	complainEvery = time.Minute
)

// Traces makes spans and sends them.
type Traces struct {
	tracer   api.Tracer
	provider *trace.TracerProvider
	exporter trace.SpanExporter
}

// StartTraces begins to send spans if the environment sets a destination. A problem in
// that environment is logged; traces stay off or use the default, and backups
// continue.
func StartTraces(ctx context.Context, build Build, instance string, metrics *Metrics, log zerolog.Logger) *Traces {
	wanted, err := tracesWanted()
	if err != nil {
		log.Warn().Err(err).Msg("no traces are sent")
	}
	if !wanted || err != nil {
		return nil
	}
	// The library can report only to the whole process. Its own log would show the
	// value of a variable that it cannot read, and headers are secrets.
	complaints := &complaints{log: log}
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(complaints.about))

	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		log.Warn().Err(err).Msg("no traces are sent")
		return nil
	}
	// In this order: the environment has the last word.
	about, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", "backhaul"), attribute.String("service.version", build.Version),
			attribute.String("service.instance.id", instance)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		complaints.about(err) // it has what could be read
	}
	// The sampler and the queue's size are read from the environment by the SDK. A
	// span that the queue has no place for is dropped.
	provider := trace.NewTracerProvider(trace.WithResource(about), trace.WithBatcher(&quietExporter{exporter, metrics, complaints}))
	log.Info().Msg("traces are sent")
	return &Traces{tracer: provider.Tracer("backhaul", api.WithInstrumentationVersion(build.Version)), provider: provider, exporter: exporter}
}

// Stop sends the remaining spans within a bound.
func (t *Traces) Stop() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
		_ = t.exporter.Shutdown(ctx) // it would go on with what is under way
	}
}

// tracesWanted reads what the SDK's exporter does not: whether there is to be one.
func tracesWanted() (bool, error) {
	get := func(name string) string { return strings.TrimSpace(os.Getenv(name)) }
	name := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	if get(name) == "" {
		name = "OTEL_EXPORTER_OTLP_ENDPOINT"
	}
	if get(name) == "" || strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") || get("OTEL_TRACES_EXPORTER") == "none" {
		return false, nil
	}
	// No error shows a value: a URL may have a password in it.
	if u, err := url.Parse(get(name)); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false, fmt.Errorf("%s must be a URL such as http://127.0.0.1:4318", name)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch protocol := get(name); protocol {
		case "":
			continue
		case "http/protobuf":
			return true, nil
		default:
			return false, fmt.Errorf("%s is %.20q; only http/protobuf is spoken, usually on port 4318", name, protocol)
		}
	}
	return true, nil
}

// quietExporter counts what became of each batch, and keeps its failure from the
// SDK, which would report every one.
type quietExporter struct {
	trace.SpanExporter
	metrics    *Metrics
	complaints *complaints
}

func (e *quietExporter) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	result := resultOK
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		result = resultError
		e.complaints.about(err)
	}
	e.metrics.exports.WithLabelValues(result).Inc()
	return nil
}

// complaints logs now and then what is wrong with traces.
type complaints struct {
	log  zerolog.Logger
	mu   sync.Mutex
	last time.Time
}

func (c *complaints) about(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || !c.last.IsZero() && time.Since(c.last) < complainEvery {
		return
	}
	c.last = time.Now()
	c.log.Warn().Err(err).Msg("cannot send traces")
}

// parents reads and writes the W3C trace context.
var parents propagation.TraceContext

// carrier is a message's headers. nats.Header is case-sensitive, and
// propagation.HeaderCarrier would write "Traceparent", which readers do not find.
type carrier schemas.Header

func (c carrier) Get(name string) string { return schemas.Header(c).Get(name) }
func (c carrier) Set(name, value string) { c[name] = []string{value} }
func (c carrier) Keys() (names []string) {
	for name := range c {
		names = append(names, name)
	}
	return names
}

// withParent makes a trace context the parent of spans.
func withParent(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return parents.Extract(ctx, carrier{schemas.HeaderTraceparent: {traceparent}})
}

// traceparent returns a span as the header of an event.
func traceparent(span api.SpanContext) string {
	c := make(carrier)
	parents.Inject(api.ContextWithSpanContext(context.Background(), span), c)
	return c.Get(schemas.HeaderTraceparent)
}
