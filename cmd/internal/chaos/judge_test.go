package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
)

// chaosFinding is one broken promise.
type chaosFinding struct {
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"` // of the request, if it is about one
	Text string `json:"text"`
}

// The kinds of findings.
const (
	foundLost           = "lost"               // accepted by JetStream, no terminal event
	foundSecondJob      = "second job"         // more than one job for one request
	foundUnannounced    = "unannounced job"    // a job without an event
	foundContradiction  = "contradiction"      // the event says that there is no job, and there is
	foundDuplicate      = "duplicate terminal" // more than one terminal event
	foundLate           = "event after end"    // something follows the terminal event
	foundWrongJob       = "wrong job id"       // announced job is not the request's
	foundFailure        = "needless failure"   // failed although nothing was wrong with it
	foundAccepted       = "wrongly started"    // announced although the vendor refuses it
	foundUnknown        = "outcome unknown"    // although the vendor shows its descriptions
	foundStranger       = "stranger"           // an event or job without a request
	foundNoLetter       = "no dead letter"     // a failure that was not kept
	foundImpatience     = "impatience"         // a call before an announced wait was over
	foundStuck          = "stuck"              // the request stream did not become empty
	foundProblem        = "program"            // a program that crashed, or would not stop
	foundSecondEnd      = "second end"         // more than one job-finished event for one job
	foundNotCancelled   = "not cancelled"      // although an operator was told so
	foundCancelledTwice = "cancelled twice"    // by two operators
	foundStrangeEnd     = "end of another job" // an event about a job that the request did not start
)

// noGroupCode is the vendor's answer for a content group that it does not know.
const noGroupCode = "587207178"

// chaosHistory is what became of one request.
type chaosHistory struct {
	request     chaosRequest
	published   publishing
	events      []storedEvent
	claims      []*schemas.JobSubmitting
	terminals   []storedEvent
	jobs        []string // at the vendor
	ofJobs      []schemas.JobEvent
	deadLetters int
}

// histories sorts the evidence by request.
func (e *chaosEvidence) histories() map[string]*chaosHistory {
	histories := make(map[string]*chaosHistory, len(e.Requests))
	for _, r := range e.Requests {
		histories[r.id] = &chaosHistory{
			request: r, published: e.Published[r.id], deadLetters: e.DeadLetters[r.id],
			jobs: e.Account.JobsByMarker[publisher.NewKey(chaosSource, r.id).Marker()],
		}
	}
	for _, event := range e.Events {
		s := histories[event.Key]
		if s == nil {
			continue
		}
		if ofJob, ok := event.Event.(schemas.JobEvent); ok {
			s.ofJobs = append(s.ofJobs, ofJob)
			continue
		}
		s.events = append(s.events, event)
		if claim, ok := event.Event.(*schemas.JobSubmitting); ok {
			s.claims = append(s.claims, claim)
		}
		if event.Event.Kind().Terminal() {
			s.terminals = append(s.terminals, event)
		}
	}
	return histories
}

// judgeChaos finds the promises that were broken. It knows nothing but the
// evidence.
func judgeChaos(e chaosEvidence) []chaosFinding {
	findings := []chaosFinding{}
	histories := e.histories()
	for _, r := range e.Requests {
		findings = append(findings, histories[r.id].judge(e.HideDescriptions)...)
	}
	findings = append(findings, e.strangers(histories)...)
	findings = append(findings, impatient(e.Starts)...)
	findings = append(findings, judgeCancels(e.Cancels, e.CancelledTwice, histories)...)
	if len(e.Stuck) > 0 {
		findings = append(findings, chaosFinding{Kind: foundStuck, Text: "requests are left:\n  " + strings.Join(e.Stuck, "\n  ")})
	}
	for _, problem := range e.Problems {
		findings = append(findings, chaosFinding{Kind: foundProblem, Text: problem})
	}
	return findings
}

func (s *chaosHistory) judge(descriptionsHidden bool) (findings []chaosFinding) {
	found := func(kind, format string, args ...any) {
		findings = append(findings, chaosFinding{Kind: kind, ID: s.request.id, Text: fmt.Sprintf(format, args...)})
	}
	if len(s.jobs) > 1 {
		found(foundSecondJob, "jobs %v", s.jobs)
	}
	s.judgeEnds(found)
	if len(s.terminals) == 0 {
		if s.published.acks > 0 {
			found(foundLost, "published %d times, %d events, none of them terminal", s.published.acks, len(s.events))
		}
		if len(s.jobs) > 0 {
			found(foundUnannounced, "jobs %v", s.jobs)
		}
		return findings
	}
	if len(s.terminals) > 1 {
		found(foundDuplicate, "%d terminal events", len(s.terminals))
	}
	if last := s.events[len(s.events)-1]; last.Sequence > s.terminals[0].Sequence {
		found(foundLate, "%s at %d, after the %s at %d", last.Event.Kind(), last.Sequence, s.terminals[0].Event.Kind(), s.terminals[0].Sequence)
	}
	for _, terminal := range s.terminals {
		switch outcome := terminal.Event.(type) {
		case *schemas.JobStarted:
			s.judgeStarted(outcome, found)
		case *schemas.JobFailed:
			s.judgeFailed(outcome, descriptionsHidden, found)
		}
	}
	return findings
}

func (s *chaosHistory) judgeEnds(found func(kind, format string, args ...any)) {
	ends := make(map[string]int)
	for _, e := range s.ofJobs {
		if !slices.Contains(s.jobs, e.Job()) {
			found(foundStrangeEnd, "%s of job %s, the vendor has %v", e.Kind(), e.Job(), s.jobs)
		}
		if e.Kind() == schemas.KindJobFinished {
			if ends[e.Job()]++; ends[e.Job()] == 2 {
				found(foundSecondEnd, "job %s", e.Job())
			}
		}
	}
}

func (s *chaosHistory) judgeStarted(e *schemas.JobStarted, found func(kind, format string, args ...any)) {
	if s.request.refused {
		found(foundAccepted, "job %s", e.JobID)
	}
	if !slices.Contains(s.jobs, e.JobID) || !slices.Contains(e.JobIDs, e.JobID) {
		found(foundWrongJob, "announced %s of %v, the vendor has %v", e.JobID, e.JobIDs, s.jobs)
	}
	for _, job := range s.jobs {
		if job != e.JobID && !slices.Contains(e.JobIDs, job) {
			found(foundUnannounced, "job %s, announced were %v", job, e.JobIDs)
		}
	}
}

func (s *chaosHistory) judgeFailed(e *schemas.JobFailed, descriptionsHidden bool, found func(kind, format string, args ...any)) {
	if s.deadLetters == 0 {
		found(foundNoLetter, "job-failed %s", e.ErrorCode)
	}
	if e.ErrorCode == schemas.CodeOutcomeUnknown {
		if !descriptionsHidden {
			found(foundUnknown, "%s; candidates %v, jobs %v", e.ErrorMessage, e.Candidates, s.jobs)
		}
		// An unknown outcome is not a contradiction, but the job has to be among those named.
		for _, job := range s.jobs {
			if !slices.Contains(e.Candidates, job) {
				found(foundUnannounced, "job %s, the candidates of OUTCOME_UNKNOWN are %v", job, e.Candidates)
			}
		}
		return
	}
	if len(s.jobs) > 0 {
		found(foundContradiction, "job-failed %s (%s), the vendor has %v", e.ErrorCode, e.ErrorMessage, s.jobs)
	}
	if s.request.cancelled && e.Cancelled() {
		return
	}
	if !s.request.refused || e.ErrorCode != noGroupCode {
		found(foundFailure, "%s: %s", e.ErrorCode, e.ErrorMessage)
	}
}

// strangers are events and jobs that belong to no request. Duplicates have the
// same content here, so nothing may be rejected either.
func (e *chaosEvidence) strangers(histories map[string]*chaosHistory) (findings []chaosFinding) {
	for _, event := range e.Events {
		if histories[event.Key] == nil {
			findings = append(findings, chaosFinding{Kind: foundStranger, ID: event.Key, Text: fmt.Sprintf("%s at %d", event.Event.Kind(), event.Sequence)})
		}
	}
	known := make(map[string]bool, len(e.Requests))
	for _, r := range e.Requests {
		known[publisher.NewKey(chaosSource, r.id).Marker()] = true
	}
	marked := 0
	for marker, jobs := range e.Account.JobsByMarker {
		marked += len(jobs)
		if !known[marker] {
			findings = append(findings, chaosFinding{Kind: foundStranger, Text: fmt.Sprintf("jobs %v with the marker %q", jobs, marker)})
		}
	}
	if n := e.Account.JobsStarted - marked; n > 0 {
		findings = append(findings, chaosFinding{Kind: foundStranger, Text: fmt.Sprintf("%d jobs without a marker", n)})
	}
	return findings
}

// tooEarly is how much too early a call may come.
const tooEarly = 50 * time.Millisecond

// impatient are the calls that came before the wait was over that the same
// session had been told. The simulator's own count also has those of the other
// replicas, which do not know of it.
func impatient(calls []startCall) (findings []chaosFinding) {
	for _, told := range calls {
		if told.retryAfter == 0 {
			continue
		}
		for _, c := range calls {
			// Calls that were under way come late when the processors are busy. Who
			// does not wait at all is found in the second half as well.
			grace := told.retryAfter / 2
			if c.marker == told.marker {
				grace = 0 // it is the throttled call again
			}
			after := c.came.Sub(told.answered)
			if c.session == told.session && after > grace && after < told.retryAfter-tooEarly {
				findings = append(findings, chaosFinding{Kind: foundImpatience, Text: fmt.Sprintf("%s came %s after %s had been told to wait %s",
					c.marker, after, told.marker, told.retryAfter)})
			}
		}
	}
	return findings
}
