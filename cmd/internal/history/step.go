package history

import (
	"fmt"
	"strings"
	"time"

	"backhaul/schemas"
)

// What is what a step was.
type What string

// What happens to a request.
const (
	Claimed   What = "claimed"    // a replica has it
	Renewed   What = "renewed"    // the same replica goes on
	Released  What = "released"   // given back: anybody may claim it
	TakenOver What = "taken-over" // another replica has it, the claim before was not released
	Started   What = "started"
	Adopted   What = "adopted" // its job was found at the vendor after a lost answer
	Failed    What = "failed"
	Rejected  What = "rejected" // another request with the same id
)

// Step is one event of a history.
type Step struct {
	What What `json:"what"`
	// At is when JetStream stored the event.
	At       time.Time `json:"at"`
	Sequence uint64    `json:"sequence"`
	// InDoubtSince is when the call was made that may have started a job, zero
	// without such a doubt.
	InDoubtSince time.Time `json:"inDoubtSince,omitzero"`
	// Event is the event's data.
	Event schemas.Event `json:"event"`
}

// whatOf names a step by what came before it.
func whatOf(e schemas.Event, before *Step) What {
	switch e := e.(type) {
	case *schemas.JobStarted:
		if e.Adopted {
			return Adopted
		}
		return Started
	case *schemas.JobFailed:
		return Failed
	case *schemas.RequestRejected:
		return Rejected
	case *schemas.JobSubmitting:
		return claimAfter(e, before)
	}
	return ""
}

func claimAfter(e *schemas.JobSubmitting, before *Step) What {
	switch {
	case e.LeaseMillis == 0:
		return Released
	case before == nil || !before.Event.Requested().RequestedAt.Equal(e.RequestedAt) && e.Epoch == 1:
		return Claimed // the second: a key that a stream made anew has given again
	}
	former := before.Event.(*schemas.JobSubmitting)
	switch {
	case former.LeaseMillis == 0:
		return Claimed
	case e.Epoch > former.Epoch:
		return TakenOver
	}
	return Renewed
}

// LeaseEnd is when the step's claim ends by itself, zero if it is no claim that
// holds.
func (s Step) LeaseEnd() time.Time {
	if e, ok := s.Event.(*schemas.JobSubmitting); ok && e.LeaseMillis > 0 {
		return s.At.Add(time.Duration(e.LeaseMillis) * time.Millisecond)
	}
	return time.Time{}
}

// Text tells the step in words.
func (s Step) Text() string {
	switch e := s.Event.(type) {
	case *schemas.JobSubmitting:
		return s.claimText(e)
	case *schemas.JobStarted:
		text := "job " + strings.Join(e.JobIDs, ", ")
		if e.TaskID != "" {
			text += " of task " + e.TaskID
		}
		if e.Adopted {
			return text + ", found at the vendor after a lost answer"
		}
		return text + ", " + count(e.Attempts, "attempt")
	case *schemas.JobFailed:
		return failure(e) + ", " + count(e.Attempts, "attempt")
	case *schemas.RequestRejected:
		return fmt.Sprintf("a request of %s with the same id and other content", stamp(e.RequestedAt))
	}
	return ""
}

func (s Step) claimText(e *schemas.JobSubmitting) string {
	text := fmt.Sprintf("by %s, epoch %d", e.Owner, e.Epoch)
	if e.LeaseMillis > 0 {
		text += ", lease " + (time.Duration(e.LeaseMillis) * time.Millisecond).String()
	}
	if e.DoubtSequence > 0 {
		text += ", in doubt since " + stamp(s.InDoubtSince)
	}
	if e.DoubtTaskID != "" {
		text += ", task " + e.DoubtTaskID + " without a job"
	}
	return text
}

func failure(e *schemas.JobFailed) string {
	code := e.ErrorCode
	if e.ErrorLogCode != "" {
		code += " (" + e.ErrorLogCode + ")"
	}
	text := code + ": " + strings.TrimSpace(e.ErrorMessage) // the vendor's may end with a space
	if len(e.Candidates) > 0 {
		text += "; candidates " + strings.Join(e.Candidates, ", ")
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
