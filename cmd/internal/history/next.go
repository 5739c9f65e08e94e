package history

import (
	"fmt"
	"time"

	"backhaul/schemas"
)

// Replicas are those settings of theirs that decide what happens next, and that
// no event tells.
type Replicas struct {
	// VisibilityWindow is how long the vendor may take to show a job.
	VisibilityWindow time.Duration
	// FailInDoubt: a request whose job is not to be seen fails.
	FailInDoubt bool
}

// Summary says in a sentence where the request stands and what happens next.
func (s *History) Summary(replicas Replicas) string {
	last := s.Last()
	if last == nil {
		switch {
		case s.Queued != nil:
			return fmt.Sprintf("waiting since %s: no replica has claimed it yet", stamp(s.Queued.Since))
		case len(s.Steps) > 0:
			return "rejected: its request id was used before, by a request with other content"
		}
		return "unknown: no event tells of it, and it does not wait"
	}
	switch e := last.Event.(type) {
	case *schemas.JobStarted:
		text := "done: job " + e.JobID
		if last.What == Adopted {
			text += ", found after a lost answer"
		}
		return text + s.leftover()
	case *schemas.JobFailed:
		if e.ErrorCode == schemas.CodeOutcomeUnknown {
			return "failed: " + failure(e) + "; look at the vendor before you ask again" + s.leftover()
		}
		return "failed: " + failure(e) + s.leftover()
	case *schemas.JobSubmitting:
		return s.underWay(*last, e, replicas)
	}
	return string(s.State)
}

// leftover tells of the message of a request that has its outcome: its
// acknowledgement is missing.
func (s *History) leftover() string {
	if s.Queued == nil {
		return ""
	}
	return "; its message goes with the next delivery"
}

func (s *History) underWay(last Step, e *schemas.JobSubmitting, replicas Replicas) string {
	gone := ""
	if s.Queued == nil {
		gone = "; its message is in the queue no more: without it nobody goes on"
	}
	if s.State == StateClaimed {
		return fmt.Sprintf("in hand: %s holds it until %s, unless it renews", e.Owner, stamp(last.LeaseEnd())) + gone
	}
	if s.State == StateWaiting {
		return fmt.Sprintf("waiting since %s: %s has given it back, the next delivery claims it", stamp(e.RequestedAt), e.Owner) + gone
	}
	since := last.InDoubtSince
	if since.IsZero() {
		since = last.At
	}
	text := fmt.Sprintf("in doubt since %s: ", stamp(since))
	if end := last.LeaseEnd(); s.AsOf.After(end) && !end.IsZero() {
		text += e.Owner + " has let its lease end; "
	}
	until := doubtEnd(last, e, replicas.VisibilityWindow)
	switch {
	case s.AsOf.Before(until):
		text += fmt.Sprintf("its job is looked for until %s, ", stamp(until))
	case e.DoubtUnlikely:
		text += "its job is looked for once more, "
	default:
		text += fmt.Sprintf("the window for its job was over at %s; with the next delivery it is looked for once more, ", stamp(until))
	}
	switch {
	case e.DoubtTaskID != "":
		text += fmt.Sprintf("and if task %s shows none, the request fails as %s", e.DoubtTaskID, schemas.CodeOutcomeUnknown)
	case replicas.FailInDoubt && !e.DoubtUnlikely:
		text += "and if there is none, the request fails as " + schemas.CodeOutcomeUnknown
	default:
		text += "and if there is none, the request is sent again"
	}
	return text + gone
}

// doubtEnd is when a job that is still not to be seen does not exist, as the
// ledger of package consumer reckons it.
func doubtEnd(last Step, e *schemas.JobSubmitting, window time.Duration) time.Time {
	if e.LeaseMillis == 0 && e.DoubtUnlikely {
		return last.At
	}
	return last.At.Add(time.Duration(e.LeaseMillis)*time.Millisecond + window)
}
