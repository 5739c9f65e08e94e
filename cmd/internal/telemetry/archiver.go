package telemetry

import (
	"net/http"
	"runtime"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"backhaul/consumer/archiver"
)

// Archiver are the metrics of `backhaul archive`, on a registry of their own.
type Archiver struct {
	registry *prometheus.Registry
	events   prometheus.Counter
	bytes    prometheus.Counter
	gaps     prometheus.Counter
	failures prometheus.Counter
	writes   prometheus.Histogram
}

var _ archiver.Observer = (*Archiver)(nil)

// NewArchiver returns a registry with the collectors for Go and the process.
func NewArchiver(build Build) *Archiver {
	a := &Archiver{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: "archive", Name: name, Help: help})
		a.registry.MustRegister(c)
		return c
	}
	a.events = counter("events_total", "Events that this replica has archived.")
	a.bytes = counter("bytes_total", "Bytes of these events, headers and payload.")
	a.gaps = counter("missing_events_total", "Events that the stream no longer had when they were to be archived.")
	a.failures = counter("failures_total", "Times that archiving ended with an error, and began again.")
	a.writes = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Subsystem: "archive", Name: "write_duration_seconds",
		Help: "Time to write and sign the events that are archived at once.", Buckets: ledgerBuckets,
	})
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "What is running; always 1.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "goversion": runtime.Version()},
	})
	info.Set(1)
	a.registry.MustRegister(a.writes, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return a
}

// Handler returns the handler of scrapes.
func (a *Archiver) Handler() http.Handler {
	return promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: a.registry})
}

// Archived implements archiver.Observer.
func (a *Archiver) Archived(events int, bytes int64, took time.Duration) {
	a.events.Add(float64(events))
	a.bytes.Add(float64(bytes))
	a.writes.Observe(took.Seconds())
}

// Gap implements archiver.Observer.
func (a *Archiver) Gap(sequences uint64) { a.gaps.Add(float64(sequences)) }

// Failed implements archiver.Observer.
func (a *Archiver) Failed(error) { a.failures.Inc() }

// Watch adds what the archiver is doing.
func (a *Archiver) Watch(nc *nats.Conn, state func() archiver.State, ready func() error) {
	a.registry.MustRegister(&archiverLook{nc: nc, state: state, ready: ready})
}

// archiverLook looks when it is scraped.
type archiverLook struct {
	nc    *nats.Conn
	state func() archiver.State
	ready func() error
}

var (
	archiveActive = desc("archive_active", "1 while this replica archives; 0 while it stands by or cannot.")
	archiveLag    = desc("archive_lag_events", "Events of the stream that are not archived yet, as the replica that archives sees it.")
	archiveUntil  = desc("archive_until_timestamp_seconds", "When the last archived event was stored, 0 while this replica knows of none.")
	archiveSigned = desc("archive_checkpoint_timestamp_seconds", "When this replica signed its last checkpoint, 0 before its first one.")

	archiverDescs = []*prometheus.Desc{ready, natsConnected, natsReconnects, archiveActive, archiveLag, archiveUntil, archiveSigned}
)

// Describe implements prometheus.Collector.
func (*archiverLook) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range archiverDescs {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (l *archiverLook) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	s := l.state()
	gauge(ready, number(l.ready() == nil))
	gauge(natsConnected, number(l.nc.IsConnected()))
	metrics <- prometheus.MustNewConstMetric(natsReconnects, prometheus.CounterValue, float64(l.nc.Stats().Reconnects))
	gauge(archiveActive, number(s.Active))
	if s.Active {
		gauge(archiveLag, float64(s.Lag))
	}
	gauge(archiveUntil, seconds(s.Until))
	gauge(archiveSigned, seconds(s.Signed))
}

// seconds returns a time as a metric has it.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}
