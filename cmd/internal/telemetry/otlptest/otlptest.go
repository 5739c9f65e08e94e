// Package otlptest is a receiver of OTLP over HTTP for tests: it keeps every span
// that it is sent.
package otlptest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Receiver keeps what it is sent. Its methods may be called at any time.
type Receiver struct {
	// URL is for OTEL_EXPORTER_OTLP_ENDPOINT.
	URL string

	mu       sync.Mutex
	spans    []Span
	requests int
	raw      []byte
	header   http.Header
}

// Span is one span with what it belongs to.
type Span struct {
	*trace.Span
	Trace, ID, Parent string // in hexadecimal
	Attributes        map[string]any
	Resource          map[string]any
}

// Start receives until the test ends.
func Start(t testing.TB) *Receiver {
	t.Helper()
	r := new(Receiver)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// ServeHTTP takes a batch.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := readBody(req)
	var batch collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &batch)
	}
	if err != nil || req.URL.Path != "/v1/traces" {
		http.Error(w, "no batch of spans", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	r.raw = append(r.raw, body...)
	r.header = req.Header
	for _, resource := range batch.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				r.spans = append(r.spans, Span{
					Span: s, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
					Attributes: values(s.Attributes), Resource: values(resource.GetResource().GetAttributes()),
				})
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func readBody(req *http.Request) ([]byte, error) {
	if req.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(req.Body)
	}
	unzipped, err := gzip.NewReader(req.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unzipped)
}

func values(attributes []*common.KeyValue) map[string]any {
	all := make(map[string]any)
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = v.IntValue
		case *common.AnyValue_BoolValue:
			all[a.Key] = v.BoolValue
		case *common.AnyValue_DoubleValue:
			all[a.Key] = v.DoubleValue
		default:
			all[a.Key] = a.GetValue().String()
		}
	}
	return all
}

// Spans are those that came so far, with this name, or all.
func (r *Receiver) Spans(name string) (spans []Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans {
		if name == "" || s.Name == name {
			spans = append(spans, s)
		}
	}
	return spans
}

// Sent is all bytes that came, and the headers of the last batch.
func (r *Receiver) Sent() (raw []byte, header http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]byte(nil), r.raw...), r.header.Clone()
}
