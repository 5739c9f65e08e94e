package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"backhaul/schemas"
)

// Observer receives what happens to requests, for metrics and traces. Its methods are
// called for every request, from many goroutines: they must be quick and must not block.
// Every Begin is followed by a Settled with its context.
type Observer interface {
	// Begin is called for a delivery before any work on it. It returns the context of
	// the work and the trace context for the request's events, "" for the one that
	// the request came with.
	Begin(ctx context.Context, r Received) (context.Context, string)
	// Settled is called at the end of a delivery.
	Settled(ctx context.Context, s Settled)
	// Wrote is called after a write to the ledger, which is also the stream of events.
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
	Delivered   uint64 // number of deliveries, including this one
	Traceparent string
}

// Result is how a delivery ended.
type Result int

// The results.
const (
	// ResultOutcome: this delivery recorded the request's outcome, or found that an operator
	// has cancelled the request.
	ResultOutcome Result = iota
	// ResultDuplicate: the outcome was on record already.
	ResultDuplicate
	// ResultPostponed: the request will be redelivered.
	ResultPostponed
	// ResultAttached: the request was in flight already. There was no Begin.
	ResultAttached
	// ResultCopy: another message with the same request, which had attached, is done
	// with the request. There was no Begin.
	ResultCopy
)

// Class is why a delivery was postponed. Its values are labels of metrics.
type Class string

// The classes.
const (
	ClassClaimed   Class = "claimed"    // another owner has claimed the request
	ClassCapacity  Class = "no_room"    // the vendor has no capacity
	ClassStopping  Class = "stopping"   // the process is stopping
	ClassTakenOver Class = "taken_over" // another owner took the claim over
	ClassVendor    Class = "vendor"     // a call of the vendor failed
	ClassTurn      Class = "turn"       // another request has the turn of the content group
	ClassPaused    Class = "paused"     // an operator has paused the request's scope
	ClassLedger    Class = "ledger"     // the ledger cannot be read, written or relied on
)

// Classes are all classes.
var Classes = []Class{ClassClaimed, ClassCapacity, ClassStopping, ClassTakenOver, ClassVendor, ClassTurn, ClassPaused, ClassLedger}

// Settled is the end of a delivery.
type Settled struct {
	Result    Result
	Stored    time.Time
	Delivered uint64
	// Outcome is nil if the request has none yet.
	Outcome schemas.Event
	// Err is why a delivery was postponed, and Class its kind.
	Err   error
	Class Class
}

// Step is what a write to the ledger is for. Its values are labels of metrics.
type Step string

// The steps.
const (
	StepClaim    Step = "claim"     // claim a request that has no claim
	StepTakeOver Step = "take_over" // replace a claim that has ended or was released
	StepRenew    Step = "renew"     // extend a claim
	StepRelease  Step = "release"   // end a claim
	StepDoubt    Step = "doubt"     // put a request in doubt whose claim the ledger has forgotten
	StepRecord   Step = "record"    // record an outcome
)

// Steps are all steps.
var Steps = []Step{StepClaim, StepTakeOver, StepRenew, StepRelease, StepDoubt, StepRecord}

// Write is a write to the ledger.
type Write struct {
	Kind schemas.Kind
	Step Step
	// Again reports that the write is one attempt that the stream refused and that is
	// repeated. Its Step is StepClaim for every write of a claim. The end of the write
	// is reported as well.
	Again bool
	// Began is when the write began.
	Began time.Time
	// Err is nil if the event is on record. Conflict reports that another owner's
	// event was first.
	Err      error
	Conflict bool
}

// begin reports a delivery to the observer.
func (h *handler) begin(ctx context.Context, d *delivery, req *request) context.Context {
	if h.cfg.Observer == nil {
		return ctx
	}
	ctx, traceparent := h.cfg.Observer.Begin(ctx, Received{
		Source: d.source, Key: req.key.Name, RequestID: req.RequestID, Sequence: d.sequence, Size: len(d.msg.Data),
		Stored: d.stored, Delivered: d.delivered, Traceparent: req.traceparent,
	})
	if traceparent != "" {
		// All its events have it: a repeated write must be the same write.
		req.traceparent = traceparent
	}
	return ctx
}

// end reports the end of a delivery to the observer.
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

// endCopy reports to the observer that a copy of a request is done with the request.
func (h *handler) endCopy(ctx context.Context, d *delivery, s settlement) {
	if h.cfg.Observer != nil {
		h.cfg.Observer.Settled(ctx, Settled{Result: ResultCopy, Stored: d.stored, Delivered: d.delivered, Outcome: s.outcome})
	}
}

// classOf returns why a delivery was postponed.
func classOf(err error) Class {
	_, unreliable := errors.AsType[*LedgerError](err)
	switch {
	case errors.Is(err, errStopping):
		return ClassStopping
	case unreliable, errors.Is(err, errUnverified), errors.Is(err, errForgotten):
		return ClassLedger
	case errors.Is(err, errTakenOver):
		return ClassTakenOver
	case errors.Is(err, errClaimed):
		return ClassClaimed
	case errors.Is(err, errNoCapacity):
		return ClassCapacity
	case ofVendor(err):
		return ClassVendor
	case isWait(err):
		return ClassTurn
	case isPaused(err):
		return ClassPaused
	default:
		return ClassLedger
	}
}

// wrote reports a write to the observer.
func (l *ledger) wrote(ctx context.Context, kind schemas.Kind, step Step, began time.Time, err error) {
	if l.observer != nil {
		l.observer.Wrote(ctx, Write{Kind: kind, Step: step, Began: began, Err: err, Conflict: errors.Is(err, errTakenOver)})
	}
}

// traceIDAt and traceIDEnd are the bounds of the trace id in a traceparent.
const (
	traceIDAt  = len("00-")
	traceIDEnd = traceIDAt + 32
)

// traced adds the request's trace id to a log line, if the request has one.
func (r *request) traced(line *zerolog.Event) *zerolog.Event {
	if len(r.traceparent) < traceIDEnd {
		return line
	}
	return line.Str("trace_id", r.traceparent[traceIDAt:traceIDEnd])
}
