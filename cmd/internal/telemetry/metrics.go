package telemetry

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"
)

// namespace begins the name of every metric of ours.
const namespace = "backhaul"

// Metrics are a registry and what is counted in it.
type Metrics struct {
	registry *prometheus.Registry
	requests requestMetrics
	ledger   ledgerMetrics
	vendor   vendorMetrics
	jobs     jobMetrics
	exports  *prometheus.CounterVec
	// protection counts protection events.
	protection *prometheus.CounterVec
}

// requestMetrics are about requests and their deliveries.
type requestMetrics struct {
	results      *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	attempts     prometheus.Histogram
	inFlight     prometheus.Gauge
	postponed    *prometheus.CounterVec
	redeliveries prometheus.Counter
	duplicates   prometheus.Counter
	adopted      prometheus.Counter
}

// ledgerMetrics are about writes to the events stream.
type ledgerMetrics struct {
	writes   *prometheus.CounterVec
	duration prometheus.Histogram
	events   *prometheus.CounterVec
}

// vendorMetrics are about calls of the vendor.
type vendorMetrics struct {
	calls    *prometheus.HistogramVec
	attempts *prometheus.CounterVec
	inFlight prometheus.Gauge
	retries  *prometheus.CounterVec
	waits    *prometheus.CounterVec
	waited   *prometheus.CounterVec
}

// Build is what is running.
type Build struct{ Version, Commit string }

var (
	// A request waits for milliseconds, or through an outage for a day.
	requestBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400}
	vendorBuckets  = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	ledgerBuckets  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30}
)

// NewMetrics returns a registry with the collectors for Go and the process.
func NewMetrics(build Build) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
		m.registry.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(h)
		return h
	}
	m.requests = requestMetrics{
		results:      counter("requests_total", "Requests that came to their outcome here, by result.", "result"),
		duration:     histogram("request_duration_seconds", "From the moment that JetStream stored a request to its outcome on record.", requestBuckets, "kind"),
		attempts:     histogram("request_attempts", "Attempts that a request took in the delivery that came to its outcome.", []float64{0, 1, 2, 3, 5, 8, 13}).WithLabelValues().(prometheus.Histogram),
		inFlight:     gauge("requests_in_flight", "Requests that this process works on."),
		postponed:    counter("postponements_total", "Deliveries that ended without an outcome and are to be repeated, by reason.", "reason"),
		redeliveries: counter("redeliveries_total", "Deliveries that were not the first of their message.").WithLabelValues(),
		duplicates:   counter("duplicates_total", "Deliveries of requests whose outcome was on record already.").WithLabelValues(),
		adopted:      counter("jobs_adopted_total", "Jobs whose answer was lost and that were found at the vendor.").WithLabelValues(),
	}
	m.ledger = ledgerMetrics{
		writes:   counter("ledger_writes_total", "Writes to the ledger by step and result: a conflict is another owner's earlier write.", "step", "result"),
		duration: histogram("ledger_write_duration_seconds", "A write to the ledger with its repetitions.", ledgerBuckets).WithLabelValues().(prometheus.Histogram),
		events:   counter("events_published_total", "Events on record by kind.", "kind"),
	}
	m.vendor = vendorMetrics{
		calls:    histogram("vendor_request_duration_seconds", "HTTP exchanges with the vendor by operation and class of status.", vendorBuckets, "operation", "code"),
		attempts: counter("vendor_attempts_total", "Attempts to start a job by verdict. Each unknown one is an answer that was lost.", "verdict"),
		inFlight: gauge("vendor_attempts_in_flight", "Attempts to start a job that are under way."),
		retries:  counter("retries_total", "Attempts that were repeated within a delivery, by class of the failure.", "class"),
		waits:    counter("vendor_waits_total", "Waits before an attempt by reason.", "reason"),
		waited:   counter("vendor_wait_seconds_total", "Time that attempts had to wait by reason.", "reason"),
	}
	m.jobs = jobMetrics{
		finished:   counter("jobs_finished_total", "Ends of jobs that this process has recorded, by outcome.", "outcome"),
		changed:    counter("jobs_changed_total", "Changes of jobs that this process has recorded, by the state that they went to.", "state"),
		unfollowed: counter("jobs_unfollowed_total", "Jobs that are no longer followed although no end was seen.").WithLabelValues(),
		lag:        histogram("job_end_lag_seconds", "From the end of a job, by the vendor's clock, to its event on record.", lagBuckets).WithLabelValues().(prometheus.Histogram),
		reads:      counter("follow_reads_total", "Calls of the vendor that follow jobs, by call and result.", "call", "result"),
		sessions:   counter("follow_sessions_total", "Times that this process began to follow jobs.").WithLabelValues(),
	}
	m.protection = counter("protection_events_total", "Events about the protection of content groups that this process has published, by state.", "state")
	m.exports = counter("trace_exports_total", "Batches of spans that were sent to the OTLP receiver, by result.", "result")
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "What is running; always 1.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "goversion": runtime.Version()},
	})
	info.Set(1)
	m.registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.appear()
	return m
}

// appear makes the series whose labels are known exist before they are first
// counted: a series that begins with 1 has no increase in Prometheus.
func (m *Metrics) appear() {
	for vec, values := range map[*prometheus.CounterVec][]string{
		m.requests.results: results, m.requests.postponed: reasons, m.ledger.events: kinds,
		m.vendor.attempts: verdicts, m.vendor.retries: classes, m.vendor.waits: waits, m.vendor.waited: waits,
		m.jobs.finished: outcomes, m.jobs.changed: jobStates,
		m.exports: {resultOK, resultError}, m.protection: protectionStates,
	} {
		for _, value := range values {
			vec.WithLabelValues(value)
		}
	}
	for _, call := range readCalls {
		m.jobs.reads.WithLabelValues(call, resultOK)
		m.jobs.reads.WithLabelValues(call, resultError)
	}
	for _, step := range steps {
		for _, result := range []string{resultOK, resultConflict, resultError} {
			m.ledger.writes.WithLabelValues(step, result)
		}
	}
}

// Handler returns the handler of scrapes. A scrape in OpenMetrics gets exemplars.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: m.registry})
}

// observe records a duration, with its trace as exemplar if the trace is recorded.
func observe(o prometheus.Observer, took time.Duration, span trace.SpanContext) {
	seconds := max(took, 0).Seconds() // two clocks may differ
	if with, ok := o.(prometheus.ExemplarObserver); ok && span.IsSampled() {
		with.ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": span.TraceID().String()})
		return
	}
	o.Observe(seconds)
}
