package telemetry

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"backhaul/consumer/trigger"
	"backhaul/publisher"
)

// Trigger are the metrics of `backhaul trigger`, on a registry of their own.
type Trigger struct {
	registry  *prometheus.Registry
	changes   *prometheus.CounterVec
	refused   *prometheus.CounterVec
	requests  *prometheus.CounterVec
	size      prometheus.Histogram
	waited    prometheus.Histogram
	cancelled prometheus.Counter
	uploads   *prometheus.CounterVec
	sessions  prometheus.Counter
}

var _ trigger.Observer = (*Trigger)(nil)

// The values that the trigger's labels may have.
var (
	triggerFormats = texts(trigger.Formats)
	triggerReasons = []string{
		string(trigger.ReasonRouted), string(trigger.ReasonNoChange), string(trigger.ReasonDirective),
		string(trigger.ReasonIgnored), string(trigger.ReasonNoRoute),
	}
	directiveResults = append([]string{directiveNone}, trigger.DirectiveResults...)
	refusals         = []string{"unknown", "damaged"}
)

// directiveNone is the directive of a route that has none.
const directiveNone = "none"

// NewTrigger returns a registry with the collectors for Go and the process.
func NewTrigger(build Build) *Trigger {
	t := &Trigger{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: "trigger", Name: name, Help: help}, labels)
		t.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Subsystem: "trigger", Name: name, Help: help, Buckets: buckets})
		t.registry.MustRegister(h)
		return h
	}
	t.changes = counter("changes_total", "Changes in notifications, by format and why they start a backup or none. Counted again after a restart.", "format", "reason")
	t.refused = counter("dead_letters_total", "Notifications that were set aside: of unknown format, or damaged.", "reason")
	t.requests = counter("requests_total", "Requests that were published, by what became of their directive file.", "directive")
	t.size = histogram("request_changes", "Changes that became one request.", []float64{1, 2, 5, 10, 50, 100, 500, 1000, 5000, 10_000, 100_000})
	t.waited = histogram("request_wait_seconds", "From the first change of a window to its request.", []float64{1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 86400})
	t.cancelled = counter("windows_cancelled_total", "Windows in which nothing was left to ask for.").WithLabelValues()
	t.uploads = counter("directive_uploads_total", "Attempts to write a directive file.", "result")
	t.sessions = counter("sessions_total", "Times that this replica began to read.").WithLabelValues()
	for _, format := range triggerFormats {
		t.changes.WithLabelValues(format, string(trigger.ReasonRouted))
	}
	for vec, values := range map[*prometheus.CounterVec][]string{t.refused: refusals, t.requests: directiveResults, t.uploads: {resultOK, resultError}} {
		for _, value := range values {
			vec.WithLabelValues(value)
		}
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "What is running; always 1.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "goversion": runtime.Version()},
	})
	info.Set(1)
	t.registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return t
}

// Handler returns the handler of scrapes.
func (t *Trigger) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: t.registry})
}

// Change implements trigger.Observer.
func (t *Trigger) Change(format trigger.Format, reason trigger.Reason) {
	t.changes.WithLabelValues(string(format), string(reason)).Inc()
}

// Refused implements trigger.Observer.
func (t *Trigger) Refused(unknown bool) {
	reason := "damaged"
	if unknown {
		reason = "unknown"
	}
	t.refused.WithLabelValues(reason).Inc()
}

// Requested implements trigger.Observer.
func (t *Trigger) Requested(changes int, waited time.Duration, directive string) {
	if directive == "" {
		directive = directiveNone
	}
	t.requests.WithLabelValues(directive).Inc()
	t.size.Observe(float64(changes))
	t.waited.Observe(max(waited, 0).Seconds())
}

// Cancelled implements trigger.Observer.
func (t *Trigger) Cancelled() { t.cancelled.Inc() }

// Uploaded implements trigger.Observer.
func (t *Trigger) Uploaded(_ int, err error) {
	result := resultOK
	if err != nil {
		result = resultError
	}
	t.uploads.WithLabelValues(result).Inc()
}

// Activated implements trigger.Observer.
func (t *Trigger) Activated() { t.sessions.Inc() }

// Watch adds what the trigger holds and what waits in the stream.
func (t *Trigger) Watch(nc *nats.Conn, state func() trigger.State, ready func() error) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	t.registry.MustRegister(&triggerLook{nc: nc, js: js, state: state, ready: ready})
	return nil
}

// triggerLook looks when it is scraped.
type triggerLook struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	state func() trigger.State
	ready func() error

	mu   sync.Mutex
	at   time.Time
	info *jetstream.ConsumerInfo
}

var (
	triggerReading = desc("trigger_reading", "1 while this replica reads; 0 while it stands by.")
	triggerWindows = desc("trigger_windows", "Windows that collect, or whose request is on its way.")
	triggerHeld    = desc("trigger_held_notifications", "Notifications that this replica holds, not acknowledged.")
	triggerObjects = desc("trigger_held_changes", "Changed objects in all windows.")
	triggerOldest  = desc("trigger_oldest_change_age_seconds", "Age of the oldest change that is held and not asked for, except in windows that wait for a job or the end of a blackout; 0 without one.")
	triggerPending = desc("trigger_pending", "Notifications in the stream that were not delivered.")

	triggerDescs = []*prometheus.Desc{
		ready, natsConnected, natsReconnects, triggerReading, triggerWindows, triggerHeld, triggerObjects, triggerOldest, triggerPending,
	}
)

// Describe implements prometheus.Collector.
func (*triggerLook) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range triggerDescs {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (l *triggerLook) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	s := l.state()
	age := 0.0
	if !s.OldestFree.IsZero() {
		age = max(time.Since(s.OldestFree), 0).Seconds()
	}
	gauge(ready, number(l.ready() == nil))
	gauge(natsConnected, number(l.nc.IsConnected()))
	metrics <- prometheus.MustNewConstMetric(natsReconnects, prometheus.CounterValue, float64(l.nc.Stats().Reconnects))
	gauge(triggerReading, number(s.Reading))
	gauge(triggerWindows, float64(s.Windows))
	gauge(triggerHeld, float64(s.Notifications))
	gauge(triggerObjects, float64(s.Changes))
	gauge(triggerOldest, age)
	if info := l.look(); info != nil {
		gauge(triggerPending, float64(info.NumPending))
	}
}

// look returns the consumer as it was a few seconds ago at most, nil if it did not
// answer.
func (l *triggerLook) look() *jetstream.ConsumerInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.nc.IsConnected() {
		l.at, l.info = time.Time{}, nil
		return nil
	}
	if time.Since(l.at) >= lookEvery {
		ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
		defer cancel()
		l.info = nil
		if consumer, err := l.js.Consumer(ctx, publisher.StorageStream, publisher.StorageConsumer); err == nil {
			l.info = consumer.CachedInfo()
		}
		l.at = time.Now()
	}
	return l.info
}
