// Package telemetry reports the condition of a process to other systems: metrics for
// Prometheus, traces for an OTLP receiver. deploy/OBSERVABILITY.md lists every
// metric and span; a test holds the list and the code together.
//
// # Guarantees
//
// Nothing here changes what becomes of a request, and nothing waits: a counter is
// an atomic number, a span is put into a bounded queue and dropped when that is
// full. What has to be asked for (the queue, by STREAM.INFO and CONSUMER.INFO) is
// asked for at a scrape, at most every few seconds and within a time limit; without
// an answer the scrape has everything else.
//
// Labels are bounded: results, kinds, classes, operations. No request id, job id,
// name or source is one, so that a million requests make as many series as ten.
//
// # Traces
//
// Traces are off unless the standard OTEL_EXPORTER_OTLP_ENDPOINT or its
// variant for traces is set; the other OTEL_ variables are the SDK's.
//
// Handling a delivery is a child of the span that published the request, also after
// a long wait: one request is one trace, through every redelivery and replica, and
// its events and log lines carry the trace id that the requester knows. Spans have
// the names of clients and content groups and the ids of requests and jobs, no
// secret. The vendor is not sent any trace context: its API documents none.
//
// All methods may be called at any time.
package telemetry
