package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"backhaul/consumer/logonce"
	"backhaul/vendorapi"
)

// Vendor implements vendorapi.Observer with metrics, traces and logs.
type Vendor struct {
	Metrics *Metrics
	Traces  *Traces // nil when they are off
	Log     zerolog.Logger

	retried logonce.Last
}

var _ vendorapi.Observer = (*Vendor)(nil)

// Call records an HTTP exchange.
func (v *Vendor) Call(ctx context.Context, c vendorapi.Call) (context.Context, func(int, error)) {
	began := time.Now()
	var span trace.Span
	if v.Traces != nil {
		ctx, span = v.Traces.tracer.Start(ctx, c.Method+" "+c.Op, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(callAttributes(c)...))
	}
	return ctx, func(status int, err error) {
		if e, ok := errors.AsType[*vendorapi.Error](err); ok && status == 0 {
			status = e.Status
		}
		observe(v.Metrics.vendor.calls.WithLabelValues(c.Op, codeOf(status)), time.Since(began), trace.SpanContextFromContext(ctx))
		if span == nil {
			return
		}
		if status != 0 {
			span.SetAttributes(attribute.Int(attrStatus, status))
		}
		switch {
		case err != nil:
			span.SetAttributes(attribute.String(attrErrorType, classOf(err)))
			span.SetStatus(codes.Error, err.Error())
		case status >= 400:
			span.SetAttributes(attribute.String(attrErrorType, strconv.Itoa(status)))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

func callAttributes(c vendorapi.Call) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String(attrMethod, c.Method), attribute.String(attrURL, c.URL), attribute.String(attrOperation, c.Op),
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return all
	}
	all = append(all, attribute.String(attrServer, u.Hostname()))
	port, _ := strconv.Atoi(u.Port())
	switch {
	case port > 0:
	case u.Scheme == "http":
		port = 80
	default:
		port = 443
	}
	return append(all, attribute.Int(attrPort, port))
}

// Attempt records one attempt to start a job.
func (v *Vendor) Attempt(ctx context.Context, _ vendorapi.Task, number int) (context.Context, func(vendorapi.Job, error)) {
	v.Metrics.vendor.inFlight.Inc()
	var span trace.Span
	if v.Traces != nil {
		ctx, span = v.Traces.tracer.Start(ctx, spanAttempt, trace.WithAttributes(attribute.Int(attrAttempt, number)))
	}
	return ctx, func(job vendorapi.Job, err error) {
		v.Metrics.vendor.inFlight.Dec()
		verdict := verdictOf(job, err)
		v.Metrics.vendor.attempts.WithLabelValues(verdict).Inc()
		if span == nil {
			return
		}
		span.SetAttributes(attribute.String(attrVerdict, verdict))
		if job.ID != "" {
			span.SetAttributes(attribute.String(attrJobID, job.ID))
		}
		if err != nil {
			if e, ok := errors.AsType[*vendorapi.Error](err); ok && e.Code != "" {
				span.SetAttributes(attribute.String(attrCode, e.Code))
			}
			span.SetAttributes(attribute.String(attrErrorType, verdict))
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// Wait records a wait before an attempt. It is logged if its reason differs from the
// last one.
func (v *Vendor) Wait(ctx context.Context, w vendorapi.Wait) {
	m, reason := &v.Metrics.vendor, "retry"
	if w.Err == nil {
		reason = w.Reason.String()
	} else {
		m.retries.WithLabelValues(classOf(w.Err)).Inc()
	}
	m.waits.WithLabelValues(reason).Inc()
	m.waited.WithLabelValues(reason).Add(w.For.Seconds())
	if v.Traces != nil {
		trace.SpanFromContext(ctx).AddEvent(eventWait, trace.WithAttributes(
			attribute.String(attrReason, reason), attribute.Float64(attrWait, w.For.Seconds())))
	}
	if w.Err == nil {
		return
	}
	level := zerolog.DebugLevel
	if v.retried.ChangedTo(kindOf(w.Err)) {
		level = zerolog.WarnLevel
	}
	line := v.Log.WithLevel(level)
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		line = line.Str("trace_id", span.TraceID().String())
	}
	line.Err(w.Err).Str("clientName", w.Task.ClientName).Str("subclientName", w.Task.SubclientName).
		Str("requestId", w.Task.RequestID).Dur("delayMs", w.For).Msg("attempt is repeated")
}

// FindJob starts the span of a lookup.
func (v *Vendor) FindJob(ctx context.Context) (context.Context, func(vendorapi.Found, error)) {
	if v.Traces == nil {
		return ctx, func(vendorapi.Found, error) {}
	}
	ctx, span := v.Traces.tracer.Start(ctx, spanFind)
	return ctx, func(found vendorapi.Found, err error) {
		span.SetAttributes(attribute.Bool(attrFound, found.Job.ID != ""), attribute.Int(attrCandidates, len(found.Candidates)))
		if found.Job.ID != "" {
			span.SetAttributes(attribute.String(attrJobID, found.Job.ID))
		}
		if err != nil {
			span.SetAttributes(attribute.String(attrErrorType, classOf(err)))
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// kindOf returns what a failure has in common with others of its kind. Its text has port
// numbers, times and ids.
func kindOf(err error) string {
	kind := classOf(err)
	if e, ok := errors.AsType[*vendorapi.Error](err); ok {
		kind = fmt.Sprint(kind, e.Op, e.Verdict, e.Status, e.Code)
	}
	return kind
}
