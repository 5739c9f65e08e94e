package history

import (
	"fmt"
	"strings"
	"time"

	"backhaul/cmd/internal/show"
	"backhaul/schemas"
)

// Everything that depends on an event's kind is in this file. A new kind needs a
// case in each switch; TestSwitchesNameEveryKind finds those that lack one.

// After returns where a request stands after an event that was stored at a time.
func After(e schemas.Event, stored time.Time) Standing {
	switch e := e.(type) {
	case *schemas.JobSubmitting:
		s := Standing{Doubt: e.DoubtSequence > 0}
		if e.LeaseMillis > 0 {
			s.LeaseEnd = stored.Add(leaseOf(e)).UTC()
		}
		return s
	case *schemas.JobStarted:
		return Standing{Outcome: Started}
	case *schemas.JobFailed:
		switch {
		case e.ErrorCode == schemas.CodeOutcomeUnknown:
			return Standing{Outcome: OutcomeUnknown}
		case e.Cancelled():
			return Standing{Outcome: Cancelled}
		}
		return Standing{Outcome: Failed}
	case *schemas.RequestRejected:
		return Standing{Outcome: Rejected}
	case *schemas.JobChanged, *schemas.JobFinished, *schemas.JobUnfollowed: // of a job that was started
		return Standing{Outcome: Started}
	}
	return Standing{}
}

// OutcomeOf returns the status that an event settles its request with, "" if the
// event is not an outcome.
func OutcomeOf(e schemas.Event) Status {
	if e.Kind().PerJob() {
		return ""
	}
	return After(e, time.Time{}).Outcome
}

// Result is what an outcome says, whatever its kind. Fields that the kind does not
// have are empty.
type Result struct {
	JobID, TaskID string
	Attempts      int
	// Adopted: the job was found at the vendor after a lost answer.
	Adopted bool
	// Code and LogCode are the vendor's or ours, Source says whose they are.
	Code, LogCode, Source string
	// Message is the error's message, or why the request was rejected.
	Message string
}

// CodeText returns the code in both of its forms, "" if there is none.
func (r Result) CodeText() string {
	if r.LogCode == "" {
		return r.Code
	}
	return r.Code + " (" + r.LogCode + ")"
}

// ResultOf returns what an event says about the outcome.
func ResultOf(e schemas.Event) Result {
	switch e := e.(type) {
	case *schemas.JobStarted:
		return Result{JobID: e.JobID, TaskID: e.TaskID, Attempts: e.Attempts, Adopted: e.Adopted}
	case *schemas.JobFailed:
		return Result{
			Attempts: e.Attempts, Code: e.ErrorCode, LogCode: e.ErrorLogCode, Source: e.ErrorSource,
			Message: strings.TrimSpace(e.ErrorMessage), // the vendor's may end with a space
		}
	case *schemas.RequestRejected:
		return Result{Message: e.Reason}
	case schemas.JobEvent:
		return Result{JobID: e.Job()}
	case *schemas.JobSubmitting:
	}
	return Result{}
}

// whatOf names an event by the claim before it, nil for none.
func whatOf(e schemas.Event, before *schemas.JobSubmitting) What {
	switch e := e.(type) {
	case *schemas.JobSubmitting:
		return claimAfter(e, before)
	case *schemas.JobStarted:
		if e.Adopted {
			return StepAdopted
		}
		return StepStarted
	case *schemas.JobFailed:
		if e.Cancelled() {
			return StepCancelled
		}
		return StepFailed
	case *schemas.RequestRejected:
		return StepRejected
	case *schemas.JobChanged:
		return StepChanged
	case *schemas.JobFinished:
		return StepFinished
	case *schemas.JobUnfollowed:
		return StepUnfollowed
	}
	return ""
}

func claimAfter(e, before *schemas.JobSubmitting) What {
	switch {
	case e.LeaseMillis == 0:
		return StepReleased
	case before == nil || !before.RequestedAt.Equal(e.RequestedAt) && e.Epoch == 1:
		return StepClaimed // the second: the key of a sequence that a new stream has used again
	case before.LeaseMillis == 0:
		return StepClaimed
	case e.Epoch > before.Epoch:
		return StepTakenOver
	}
	return StepRenewed
}

// Line returns an event in words for a line that shows its kind and no [Step.What].
func Line(e schemas.Event) string {
	if claim, ok := e.(*schemas.JobSubmitting); ok {
		return string(claimAfter(claim, nil)) + " " + textOf(e, time.Time{})
	}
	return textOf(e, time.Time{})
}

// textOf returns what an event says, in words. doubtSince is when the call was made
// that left its doubt, zero if that is not known.
func textOf(e schemas.Event, doubtSince time.Time) string {
	switch e := e.(type) {
	case *schemas.JobSubmitting:
		return claimText(e, doubtSince)
	case *schemas.JobStarted:
		text := "job " + strings.Join(e.JobIDs, ", ")
		if e.TaskID != "" {
			text += " of task " + e.TaskID
		}
		if e.Adopted {
			return text + ", found at the vendor after a lost answer"
		}
		return text + ", " + show.Count(e.Attempts, "attempt")
	case *schemas.JobFailed:
		if e.Cancelled() {
			return e.ErrorMessage
		}
		text := joined(failure(e), "reported by "+e.ErrorSource)
		if e.Attempts > 0 { // 0: the owner that recorded it has called nothing
			text += " after " + show.Count(e.Attempts, "attempt")
		}
		if e.Retryable {
			text += "; the same request under a new id may succeed"
		}
		return text
	case *schemas.RequestRejected:
		return fmt.Sprintf("a request of %s with the id of the request of %s, and other content", stamp(e.RequestedAt), stamp(e.First.RequestedAt))
	case schemas.JobEvent:
		return "job " + e.Job() + ": " + jobAfter(e).Text()
	}
	return ""
}

func claimText(e *schemas.JobSubmitting, doubtSince time.Time) string {
	text := fmt.Sprintf("by %s, epoch %d", e.Owner, e.Epoch)
	if e.LeaseMillis > 0 {
		text += ", lease " + leaseOf(e).String()
	}
	if e.DoubtSequence == 0 {
		return text + errorText(e)
	}
	text += ", in doubt"
	if !doubtSince.IsZero() {
		text += " since " + stamp(doubtSince)
	}
	call := "a call"
	if e.DoubtSequence == schemas.LostClaim {
		call = "a call under an earlier claim that the ledger has lost"
	}
	text += ": " + call + " may have started a job"
	if e.DoubtTaskID != "" {
		text += " of task " + e.DoubtTaskID
	}
	if e.DoubtUnlikely {
		text += ", although the vendor answered that it was not available"
	}
	return text + errorText(e)
}

// errorText returns the error of a claim, "" without one.
func errorText(e *schemas.JobSubmitting) string {
	if e.LastError == "" {
		return ""
	}
	return ": " + e.LastError
}

func leaseOf(e *schemas.JobSubmitting) time.Duration {
	return time.Duration(e.LeaseMillis) * time.Millisecond
}

// failure returns a failure in words, without who said so.
func failure(e *schemas.JobFailed) string {
	r := ResultOf(e)
	text := r.CodeText() + ": " + r.Message
	if len(e.Candidates) > 0 {
		text = joined(text, "candidates "+strings.Join(e.Candidates, ", "))
	}
	return text
}

// joined returns a text, often a sentence of the vendor, and what follows it.
func joined(text, more string) string { return strings.TrimSuffix(text, ".") + "; " + more }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
