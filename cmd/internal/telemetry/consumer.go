package telemetry

import (
	"cmp"
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"backhaul/cmd/internal/history"
	"backhaul/consumer"
	"backhaul/publisher"
)

// Consumer implements consumer.Observer with metrics and traces.
type Consumer struct {
	Metrics *Metrics
	Traces  *Traces // nil when they are off
}

var _ consumer.Observer = Consumer{}

// Begin starts the span of a delivery.
func (c Consumer) Begin(ctx context.Context, r consumer.Received) (context.Context, string) {
	c.Metrics.requests.inFlight.Inc()
	if c.Traces == nil {
		return ctx, ""
	}
	ctx, span := c.Traces.tracer.Start(withParent(ctx, r.Traceparent), spanProcess,
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			attribute.String(attrSystem, "nats"),
			attribute.String(attrOperationName, "process"),
			attribute.String(attrOperationType, "process"),
			attribute.String(attrDestination, publisher.RequestSubject(r.Source, publisher.Normal)),
			attribute.String(attrDestinationTemplate, requestTemplate),
			attribute.String(attrGroup, publisher.RequestsConsumer),
			attribute.Int64(attrMessageID, int64(r.Sequence)),
			attribute.Int(attrBodySize, r.Size),
			attribute.String(attrSource, r.Source),
			attribute.String(attrRequestID, r.RequestID),
			attribute.Int64(attrDelivered, int64(r.Delivered)),
			attribute.Float64(attrQueued, max(time.Since(r.Stored), 0).Seconds()),
		))
	return ctx, traceparent(span.SpanContext())
}

// Settled counts and ends the span.
func (c Consumer) Settled(ctx context.Context, s consumer.Settled) {
	m := &c.Metrics.requests
	if s.Delivered > 1 && s.Result != consumer.ResultCopy {
		m.redeliveries.Inc()
	}
	switch s.Result {
	case consumer.ResultAttached:
		return
	case consumer.ResultCopy:
		m.duplicates.Inc()
		return
	case consumer.ResultDuplicate:
		m.duplicates.Inc()
	case consumer.ResultPostponed:
		m.postponed.WithLabelValues(string(s.Class)).Inc()
	case consumer.ResultOutcome:
		c.outcome(ctx, s)
	}
	m.inFlight.Dec()
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		describe(span, s)
		span.End()
	}
}

func (c Consumer) outcome(ctx context.Context, s consumer.Settled) {
	m := &c.Metrics.requests
	result := resultOf(s.Outcome)
	m.results.WithLabelValues(result).Inc()
	if result == resultCancelled {
		return // it took as long as the operator did
	}
	observe(m.duration.WithLabelValues(string(s.Outcome.Kind())), time.Since(s.Stored), trace.SpanContextFromContext(ctx))
	if !s.Outcome.Kind().Terminal() {
		return
	}
	r := history.ResultOf(s.Outcome)
	m.attempts.Observe(float64(r.Attempts))
	if r.Adopted {
		m.adopted.Inc()
	}
}

// describe sets how the delivery ended in a span.
func describe(span trace.Span, s consumer.Settled) {
	if s.Err != nil {
		span.SetAttributes(attribute.String(attrResult, "postponed"), attribute.String(attrErrorType, string(s.Class)))
		span.SetStatus(codes.Error, s.Err.Error())
		return
	}
	result := resultOf(s.Outcome)
	if s.Result == consumer.ResultDuplicate {
		result = "duplicate"
	}
	names := s.Outcome.Names()
	span.SetAttributes(
		attribute.String(attrResult, result),
		attribute.String(attrClient, names.ClientName),
		attribute.String(attrSubclient, names.SubclientName))
	if r := history.ResultOf(s.Outcome); r.JobID != "" {
		span.SetAttributes(attribute.String(attrJobID, r.JobID), attribute.Bool(attrAdopted, r.Adopted))
	} else if result != resultCancelled {
		span.SetAttributes(attribute.String(attrErrorType, cmp.Or(r.Code, result)))
		span.SetStatus(codes.Error, r.Message)
	}
}

// Wrote counts a write to the ledger; its span is made when it is over.
func (c Consumer) Wrote(ctx context.Context, w consumer.Write) {
	m, result := &c.Metrics.ledger, resultOK
	switch {
	case w.Conflict:
		result = resultConflict
	case w.Err != nil:
		result = resultError
	default:
		m.events.WithLabelValues(string(w.Kind)).Inc()
	}
	m.writes.WithLabelValues(string(w.Step), result).Inc()
	if w.Again {
		return
	}
	observe(m.duration, time.Since(w.Began), trace.SpanContext{})
	if c.Traces == nil {
		return
	}
	_, span := c.Traces.tracer.Start(ctx, spanPublish,
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(w.Began),
		trace.WithAttributes(
			attribute.String(attrSystem, "nats"),
			attribute.String(attrOperationName, "publish"),
			attribute.String(attrOperationType, "send"),
			attribute.String(attrDestinationTemplate, eventTemplate),
			attribute.String(attrKind, string(w.Kind)),
			attribute.String(attrStep, string(w.Step)),
			attribute.String(attrResult, result),
		))
	if w.Err != nil && !w.Conflict {
		span.SetStatus(codes.Error, w.Err.Error())
	}
	span.End()
}
