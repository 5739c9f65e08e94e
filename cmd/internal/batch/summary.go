package batch

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"backhaul/cmd/internal/show"
	"backhaul/schemas"
)

// Summary counts the requests of a batch.
type Summary struct {
	Requests int `json:"requests"`
	// Sent is how many requests this run stored in the queue.
	Sent int `json:"sent"`
	// Known is how many were not sent because their outcome was on record.
	Known int `json:"alreadyKnown"`
	// NotSent is how many are not confirmed because the batch ended before.
	NotSent int `json:"notSent"`
	// Outcomes is nil for a batch that does not wait for outcomes.
	Outcomes *Outcomes `json:"outcomes,omitempty"`
	// Ends is nil for a batch that does not wait for the ends of jobs.
	Ends    *Ends   `json:"ends,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Outcomes counts the requests of a batch by their outcome.
type Outcomes struct {
	Started int `json:"started"`
	// Failed counts failed requests by error code.
	Failed map[string]int `json:"failed"`
	// Rejected is how many use the id of another request.
	Rejected int `json:"rejected"`
	// None is how many have no outcome yet.
	None int `json:"none"`
}

// Ends counts the requests of a batch by how their jobs ended, those of a request together:
// its worst outcome counts.
type Ends struct {
	// Finished counts the requests whose jobs have all ended, by [schemas.Outcome].
	Finished map[string]int `json:"finished"`
	// Unfollowed is how many have a job that is no longer followed though no end was seen.
	Unfollowed int `json:"unfollowed"`
	// None is how many may still have a job that runs. A request without a job is not
	// counted anywhere here.
	None int `json:"none"`
}

// KeptAll returns how many requests have all of their data kept.
func (e Ends) KeptAll() (n int) {
	for outcome, count := range e.Finished {
		if schemas.Outcome(outcome).KeptAll() {
			n += count
		}
	}
	return n
}

// NotKept returns how many requests ended without keeping all of their data, for all that
// is known.
func (e Ends) NotKept() (n int) {
	for _, count := range e.Finished {
		n += count
	}
	return n - e.KeptAll() + e.Unfollowed
}

// FailedTotal returns how many requests failed with any code.
func (o Outcomes) FailedTotal() int {
	n := 0
	for _, count := range o.Failed {
		n += count
	}
	return n
}

// Succeeded reports whether every request is sent and, if the batch waits, every job
// was started, and if it waits for their ends, all data was kept.
func (s Summary) Succeeded() bool {
	return s.NotSent == 0 && (s.Outcomes == nil || s.Outcomes.Started == s.Requests) && (s.Ends == nil || s.Ends.KeptAll() == s.Requests)
}

func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %.1f s: %d sent, %d already known", show.Count(s.Requests, "request"), s.Seconds, s.Sent, s.Known)
	if s.NotSent > 0 {
		fmt.Fprintf(&b, ", %d not sent", s.NotSent)
	}
	if o := s.Outcomes; o != nil {
		fmt.Fprintf(&b, "; %d started, %d failed, %d rejected, %d without outcome yet", o.Started, o.FailedTotal(), o.Rejected, o.None)
		for _, code := range slices.Sorted(maps.Keys(o.Failed)) {
			fmt.Fprintf(&b, "\n  failed with %s: %d", code, o.Failed[code])
		}
	}
	if e := s.Ends; e != nil {
		fmt.Fprintf(&b, "\n%d kept all data, %d did not, %d without an end yet", e.KeptAll(), e.NotKept(), e.None)
		for _, outcome := range slices.Sorted(maps.Keys(e.Finished)) {
			fmt.Fprintf(&b, "\n  %s: %d", outcome, e.Finished[outcome])
		}
		if e.Unfollowed > 0 {
			fmt.Fprintf(&b, "\n  no longer followed: %d", e.Unfollowed)
		}
	}
	return b.String()
}
