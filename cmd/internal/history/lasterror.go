package history

import (
	"fmt"
	"time"

	"backhaul/schemas"
)

// LastError is why an open request has no outcome yet.
type LastError struct {
	Text string `json:"text"`
	// At is when it was recorded last, Since when the first of the errors without an outcome was.
	At    time.Time `json:"at"`
	Since time.Time `json:"since"`
	// Errors is how many were recorded.
	Errors int `json:"errors"`
	// Next is when the request is tried again, zero if that is not known.
	Next time.Time `json:"nextAttemptAt,omitzero"`
}

// After returns the last error after an event of the request that was stored at a time. An outcome
// ends it. A claim that says nothing leaves it: the request has been claimed again to be tried again.
func (l *LastError) After(e schemas.Event, stored time.Time) *LastError {
	claim, open := e.(*schemas.JobSubmitting)
	switch {
	case !open && !e.Kind().PerJob():
		return nil
	case !open, claim.LastError == "" && l == nil:
		return l
	case claim.LastError == "":
		next := *l
		next.Next = time.Time{}
		return &next
	}
	next := &LastError{Text: claim.LastError, At: stored.UTC(), Since: stored.UTC(), Errors: 1, Next: claim.NextAttemptAt}
	if l != nil {
		next.Since, next.Errors = l.Since, l.Errors+1
	}
	return next
}

// Line returns it in words at a time.
func (l *LastError) Line(now time.Time) string {
	if l == nil {
		return ""
	}
	text := joined(l.Text, "at "+stamp(l.At))
	if l.Errors > 1 {
		text = joined(l.Text, fmt.Sprintf("%d errors since %s", l.Errors, stamp(l.Since)))
	}
	switch {
	case l.Next.IsZero():
	case l.Next.After(now):
		text += "; the next try is at " + stamp(l.Next)
	default:
		text += "; the next try was planned for " + stamp(l.Next)
	}
	return text
}
