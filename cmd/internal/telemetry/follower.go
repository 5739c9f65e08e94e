package telemetry

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"backhaul/consumer/follower"
	"backhaul/schemas"
)

// jobMetrics are about started jobs and the reads that follow them.
type jobMetrics struct {
	finished, changed *prometheus.CounterVec
	unfollowed        prometheus.Counter
	lag               prometheus.Histogram
	reads             *prometheus.CounterVec
	sessions          prometheus.Counter
}

// An end is on record within seconds to minutes, after an outage within hours.
var lagBuckets = []float64{5, 15, 30, 60, 90, 120, 300, 600, 1800, 3600, 21600, 86400}

// Values of labels.
var (
	outcomes  = append(texts(schemas.Outcomes), outcomeOther)
	jobStates = texts([]schemas.State{schemas.StateQueued, schemas.StateWaiting, schemas.StatePending, schemas.StateSuspended, schemas.StateInterrupted, schemas.StateRunning, outcomeOther})
	readCalls = []string{"list", "job", "events", "details"}
)

const outcomeOther = "other"

// bounded returns the value of a label, "other" if it is not one of those.
func bounded(value string, values []string) string {
	if slices.Contains(values, value) {
		return value
	}
	return outcomeOther
}

// Follower implements follower.Observer with metrics and traces.
type Follower struct {
	Metrics *Metrics
	Traces  *Traces // nil when they are off
}

var _ follower.Observer = Follower{}

// Finished counts an end that this process has recorded, and adds the job to the trace of
// its request.
func (f Follower) Finished(e *schemas.JobFinished, traceparent string) {
	m := &f.Metrics.jobs
	f.Metrics.ledger.events.WithLabelValues(string(e.Kind())).Inc()
	m.finished.WithLabelValues(bounded(string(e.Outcome), outcomes)).Inc()
	parent := withParent(context.Background(), traceparent)
	if !e.EndedAt.IsZero() {
		observe(m.lag, time.Since(e.EndedAt), trace.SpanContextFromContext(parent))
	}
	if f.Traces == nil {
		return
	}
	end := e.EndedAt
	if end.IsZero() {
		end = e.ObservedAt
	}
	begin := e.StartedAt
	if begin.IsZero() || begin.After(end) {
		begin = end
	}
	names := e.Names()
	_, span := f.Traces.tracer.Start(parent, spanJob, trace.WithSpanKind(trace.SpanKindInternal), trace.WithTimestamp(begin),
		trace.WithAttributes(
			attribute.String(attrSource, names.Source),
			attribute.String(attrRequestID, names.RequestID),
			attribute.String(attrClient, names.ClientName),
			attribute.String(attrSubclient, names.SubclientName),
			attribute.String(attrJobID, e.JobID),
			attribute.String(attrOutcome, string(e.Outcome)),
		))
	if !e.Outcome.KeptAll() {
		span.SetAttributes(attribute.String(attrErrorType, string(e.Outcome)))
		span.SetStatus(codes.Error, e.VendorStatus)
	}
	span.End(trace.WithTimestamp(end))
}

// Changed counts a change that this process has recorded.
func (f Follower) Changed(e *schemas.JobChanged, _ string) {
	f.Metrics.ledger.events.WithLabelValues(string(e.Kind())).Inc()
	f.Metrics.jobs.changed.WithLabelValues(bounded(string(e.State), jobStates)).Inc()
}

// Unfollowed counts a job that is given up.
func (f Follower) Unfollowed(e *schemas.JobUnfollowed, _ string) {
	f.Metrics.ledger.events.WithLabelValues(string(e.Kind())).Inc()
	f.Metrics.jobs.unfollowed.Inc()
}

// Read counts a call at the vendor.
func (f Follower) Read(call string, err error) {
	result := resultOK
	if err != nil {
		result = resultError
	}
	f.Metrics.jobs.reads.WithLabelValues(bounded(call, readCalls), result).Inc()
}

// Activated counts that this process begins to follow.
func (f Follower) Activated() { f.Metrics.jobs.sessions.Inc() }

// following collects what the follower of this process is doing.
type following struct{ state func() follower.State }

// WatchFollower adds what the follower of this process is doing to the metrics.
func (m *Metrics) WatchFollower(state func() follower.State) {
	m.registry.MustRegister(following{state})
}

var (
	followReading  = desc("follow_reading", "1 while this process follows the jobs; 0 while another one does, or none can.")
	followBudget   = desc("follow_reads_left", "Reads that are left of BACKHAUL_FOLLOW_READS_PER_HOUR in this hour.")
	followCovered  = desc("follow_uncovered_seconds", "How far back the end of a followed job may not be known yet, 0 without a job.")
	jobsFollowed   = desc("jobs_followed", "Started jobs whose end is looked for.")
	oldestFollowed = desc("job_oldest_followed_age_seconds", "Age of the oldest followed job, 0 without one.")

	followDescs = []*prometheus.Desc{followReading, followBudget, followCovered, jobsFollowed, oldestFollowed}
)

// Describe implements prometheus.Collector.
func (following) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range followDescs {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (f following) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	since := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return max(time.Since(t), 0).Seconds()
	}
	s := f.state()
	gauge(followReading, number(s.Reading))
	gauge(jobsFollowed, float64(s.Followed))
	gauge(oldestFollowed, since(s.Oldest))
	gauge(followCovered, since(s.Covered))
	if s.Reading { // another process does not know what this one has left
		gauge(followBudget, float64(max(s.Budget-s.Reads, 0)))
	}
}
