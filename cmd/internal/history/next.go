package history

import (
	"fmt"
	"time"

	"backhaul/schemas"
)

// Replicas are the settings of the replicas that decide what happens next. No event
// says them.
type Replicas struct {
	// VisibilityWindow is how long the vendor may take to show a job.
	VisibilityWindow time.Duration
	// StartsPerHour is the most jobs that all of them start in an hour, 0 for any number.
	StartsPerHour int
	// FailInDoubt: a request whose job is not found fails.
	FailInDoubt bool
}

// Summary returns in a sentence where the request stands and what happens next.
func (h *History) Summary(replicas Replicas) string {
	last := h.Last()
	switch h.Status {
	case Claimed:
		return fmt.Sprintf("claimed by %s until %s, unless it renews the claim", owner(last), stamp(last.Standing().LeaseEnd)) + h.underWay() + h.notQueued()
	case Waiting:
		if h.Paused != nil && h.Queued != nil {
			return fmt.Sprintf("waiting since %s: %s", stamp(h.waitingSince()), h.Paused)
		}
		if h.Wait != nil && h.Queued != nil {
			return fmt.Sprintf("waiting since %s: for %s", stamp(h.waitingSince()), h.Wait)
		}
		if last == nil {
			return fmt.Sprintf("waiting since %s: no replica has claimed it yet", stamp(h.Queued.Since)) + h.place(replicas.StartsPerHour)
		}
		text := fmt.Sprintf("waiting since %s: released by %s", stamp(h.requestedAt()), owner(last))
		if h.LastError == nil { // else it says when the next try is
			text += ", the next delivery claims it"
		}
		return text + h.notQueued() + h.place(replicas.StartsPerHour)
	case InDoubt:
		return h.doubt(*last, replicas) + h.notQueued()
	case Started:
		text := "started: "
		if h.Backup != nil && h.Backup.State == JobFinished {
			text = "finished: "
		}
		text += h.Jobs.text()
		if last.What == StepAdopted {
			text += ", found after a lost answer"
		}
		return text + h.notAcknowledged()
	case Failed, OutcomeUnknown:
		text := h.Status.Word() + ": " + failure(last.Event.(*schemas.JobFailed))
		if h.Status == OutcomeUnknown {
			text += "; look for its job at the vendor before you send a new request"
		}
		return text + h.notAcknowledged()
	case Cancelled:
		return last.Text() + h.notAcknowledged()
	case Rejected:
		return "rejected: its request id was used before, by a request with other content"
	case NotFound:
		return "not found: it has no events and is not queued"
	}
	return h.Status.Word()
}

// underWay returns since when a call to the vendor may be under way, by the claim in force: the ledger
// records a claim before the call and nothing until its answer. It is "" after an error under that
// claim, because the next call has no event of its own.
func (h *History) underWay() string {
	var since time.Time
	epoch := h.Last().Event.(*schemas.JobSubmitting).Epoch
	for _, step := range h.Steps {
		e, ok := step.Event.(*schemas.JobSubmitting)
		switch {
		case !ok || step.key != h.own() || e.Epoch != epoch || e.LeaseMillis == 0:
			since = time.Time{}
		case e.LastError != "":
			return ""
		case since.IsZero():
			since = step.At
		}
	}
	if since.IsZero() {
		return ""
	}
	return "; a call to the vendor may be under way since " + stamp(since) + ", of which no answer is recorded"
}

// waitingSince returns when the message of a request that waits was stored.
func (h *History) waitingSince() time.Time {
	if h.Last() != nil {
		return h.requestedAt()
	}
	return h.Queued.Since
}

func owner(s *Step) string { return s.Event.(*schemas.JobSubmitting).Owner }

// notAcknowledged returns the text for a request that has an outcome and whose message
// is still queued.
func (h *History) notAcknowledged() string {
	if h.Queued == nil {
		return ""
	}
	return "; its message is still queued, the next delivery removes it"
}

// notQueued returns the text for a request that has no outcome and whose message is
// missing.
func (h *History) notQueued() string {
	if h.Queued != nil {
		return ""
	}
	return "; its message is no longer queued, so no replica will resume it"
}

func (h *History) doubt(last Step, replicas Replicas) string {
	e := last.Event.(*schemas.JobSubmitting)
	since := last.InDoubtSince
	if since.IsZero() {
		since = last.At
	}
	text := fmt.Sprintf("in doubt since %s: ", stamp(since))
	if end := last.Standing().LeaseEnd; h.AsOf.After(end) && !end.IsZero() {
		text += "the lease of " + e.Owner + " has ended; "
	}
	until := h.doubtEnd(replicas.VisibilityWindow)
	switch {
	case h.AsOf.Before(until):
		text += fmt.Sprintf("its job is looked up until %s, ", stamp(until))
	case e.DoubtUnlikely:
		text += "its job is looked up once more, "
	case h.AsOf.Before(last.Standing().LeaseEnd):
		text += fmt.Sprintf("the window for its job ended at %s; %s looks it up once more, ", stamp(until), e.Owner)
	default:
		text += fmt.Sprintf("the window for its job ended at %s; the next delivery looks it up once more, ", stamp(until))
	}
	switch {
	case e.DoubtTaskID != "":
		text += fmt.Sprintf("and if task %s shows none, the request fails as %s", e.DoubtTaskID, schemas.CodeOutcomeUnknown)
	case replicas.FailInDoubt && !e.DoubtUnlikely:
		text += "and if there is none, the request fails as " + schemas.CodeOutcomeUnknown
	case h.Paused != nil:
		text += "and if there is none, the request waits: " + h.Paused.String()
	default:
		text += "and if there is none, the request is sent again"
		if !e.DoubtUnlikely {
			text += fmt.Sprintf(" (BACKHAUL_IN_DOUBT=reconcile and a BACKHAUL_VENDOR_VISIBILITY_WINDOW of %s, by the settings of this command: "+
				"a vendor that lists the job later gets a second one)", replicas.VisibilityWindow)
		}
	}
	return text
}

// doubtEnd returns when a job that is still not found does not exist, as package consumer
// computes it. While the owner holds its claim, the renewals do not move the end.
func (h *History) doubtEnd(window time.Duration) time.Time {
	var before *Step // the claim before
	var end time.Time
	for i := range h.Steps {
		step := &h.Steps[i]
		if _, isClaim := step.Event.(*schemas.JobSubmitting); isClaim && step.key == h.own() {
			end = step.ownersEnd(before, end, window)
			before = step
		}
	}
	if last := h.Last(); !h.AsOf.Before(last.Standing().LeaseEnd) {
		return last.nextEnd(window)
	}
	return end
}

// ownersEnd returns the end of the claim's doubt for its owner. before is the claim before
// it, nil for none, and end is the end of that one's doubt.
func (s *Step) ownersEnd(before *Step, end time.Time, window time.Duration) time.Time {
	if before == nil {
		return s.nextEnd(window)
	}
	e, former := s.Event.(*schemas.JobSubmitting), before.Event.(*schemas.JobSubmitting)
	carried := e.DoubtSequence == former.DoubtSequence || former.DoubtSequence == 0 && e.DoubtSequence == before.Sequence
	switch {
	case e.Epoch == former.Epoch && e.DoubtSequence == former.DoubtSequence:
		return end
	case e.Epoch == former.Epoch && e.DoubtUnlikely:
		return s.At
	case e.Epoch == former.Epoch:
		return s.At.Add(window)
	case carried:
		return before.nextEnd(window)
	}
	return s.nextEnd(window)
}

// nextEnd returns the end of the doubt for the next owner, once the claim has ended.
func (s *Step) nextEnd(window time.Duration) time.Time {
	e := s.Event.(*schemas.JobSubmitting)
	if e.LeaseMillis == 0 && e.DoubtUnlikely {
		return s.At
	}
	return s.At.Add(leaseOf(e) + window)
}
