package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"backhaul/schemas"
)

// Observer is told what becomes of requests, for metrics and traces. Its methods
// are called on the way of every request, from many goroutines: they must be quick
// and never wait. Every Begin is followed by a Settled with its context.
type Observer interface {
	// Begin is told of a delivery before anything is done about it. It returns the
	// context of the work, and the trace context that the request's events carry:
	// "" for the one that the request came with.
	Begin(ctx context.Context, r Received) (context.Context, string)
	// Settled is told of the end of a delivery.
	Settled(ctx context.Context, s Settled)
	// Wrote is told of a write to the ledger, which also is the event stream, after it.
	Wrote(ctx context.Context, w Write)
}

// Received is a delivery of a request.
type Received struct {
	Source      string
	Key         string // of its events
	RequestID   string
	Sequence    uint64 // in the requests stream
	Size        int    // in bytes
	Stored      time.Time
	Delivered   uint64 // how often, this time included
	Traceparent string
}

// Result is how a delivery ended.
type Result int

// The results.
const (
	// ResultOutcome: the request's outcome was put on record.
	ResultOutcome Result = iota
	// ResultDuplicate: the outcome was on record already.
	ResultDuplicate
	// ResultPostponed: it is to be delivered again.
	ResultPostponed
	// ResultAttached: the request is in work already; there was no Begin.
	ResultAttached
	// ResultCopy: a delivery that attached was another message with the same
	// request, which is done now; there was no Begin.
	ResultCopy
)

// Settled is how a delivery ended.
type Settled struct {
	Result    Result
	Stored    time.Time
	Delivered uint64
	// Outcome is nil when there is none yet.
	Outcome schemas.Event
	// Err is why a delivery was postponed, Class the same in a word: "claimed" by
	// another owner, "no room" at the vendor, "stopping", "taken over" by another
	// owner, "vendor" or "ledger".
	Err   error
	Class string
}

// Write is a write to the ledger.
type Write struct {
	Kind schemas.Kind
	// Step is "claim", "take over", "renew", "release" or "record".
	Step string
	// Again: it is one try that the stream did not take, and is tried again. Its step is
	// "claim" for every write of a claim. The end of the write is told of as well.
	Again bool
	// Began is when it was begun; it has ended now.
	Began time.Time
	// Err is nil if the event is on record. Conflict: another owner's was first.
	Err      error
	Conflict bool
}

func (h *handler) begin(ctx context.Context, d *delivery, req *request) context.Context {
	if h.cfg.Observer == nil {
		return ctx
	}
	ctx, traceparent := h.cfg.Observer.Begin(ctx, Received{
		Source: d.source, Key: req.key.Name, RequestID: req.RequestID, Sequence: d.sequence, Size: len(d.msg.Data),
		Stored: d.stored, Delivered: d.delivered, Traceparent: req.traceparent,
	})
	if traceparent != "" {
		// Of all its events alike: who repeats a write repeats the very same one.
		req.traceparent = traceparent
	}
	return ctx
}

func (h *handler) end(ctx context.Context, d *delivery, s settlement) {
	if h.cfg.Observer == nil {
		return
	}
	settled := Settled{Stored: d.stored, Delivered: d.delivered, Outcome: s.outcome, Err: s.err}
	switch {
	case s.verb == attached:
		settled.Result = ResultAttached
	case s.verb == nak:
		settled.Result, settled.Class = ResultPostponed, classOf(s.err)
	case !s.ours:
		settled.Result = ResultDuplicate
	}
	h.cfg.Observer.Settled(ctx, settled)
}

func (h *handler) endCopy(ctx context.Context, d *delivery, s settlement) {
	if h.cfg.Observer != nil {
		h.cfg.Observer.Settled(ctx, Settled{Result: ResultCopy, Stored: d.stored, Delivered: d.delivered, Outcome: s.outcome})
	}
}

// classOf is why a delivery was postponed.
func classOf(err error) string {
	_, unreliable := errors.AsType[*LedgerError](err)
	switch {
	case errors.Is(err, errStopping):
		return "stopping"
	case unreliable, errors.Is(err, errUnverified), errors.Is(err, errForgotten):
		return "ledger"
	case errors.Is(err, errTakenOver):
		return "taken over"
	case errors.Is(err, errClaimed):
		return "claimed"
	case errors.Is(err, errNoCapacity):
		return "no room"
	case ofVendor(err):
		return "vendor"
	default:
		return "ledger"
	}
}

// wrote is told of a write that began at a time.
func (l *ledger) wrote(ctx context.Context, kind schemas.Kind, step string, began time.Time, err error) {
	if l.observer != nil {
		l.observer.Wrote(ctx, Write{Kind: kind, Step: step, Began: began, Err: err, Conflict: errors.Is(err, errTakenOver)})
	}
}

// traceIDAt is where a traceparent has its trace id.
const (
	traceIDAt  = len("00-")
	traceIDEnd = traceIDAt + 32
)

// traced adds the trace that a request belongs to, if there is one.
func (r *request) traced(line *zerolog.Event) *zerolog.Event {
	if len(r.traceparent) < traceIDEnd {
		return line
	}
	return line.Str("trace_id", r.traceparent[traceIDAt:traceIDEnd])
}
