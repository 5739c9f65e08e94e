package batch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
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
	Seconds  float64   `json:"seconds"`
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

// FailedTotal returns how many requests failed with any code.
func (o Outcomes) FailedTotal() int {
	n := 0
	for _, count := range o.Failed {
		n += count
	}
	return n
}

// Succeeded reports whether every request is sent and, if the batch waits, every job
// was started.
func (s Summary) Succeeded() bool {
	return s.NotSent == 0 && (s.Outcomes == nil || s.Outcomes.Started == s.Requests)
}

func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests in %.1f s: %d sent, %d already known", s.Requests, s.Seconds, s.Sent, s.Known)
	if s.NotSent > 0 {
		fmt.Fprintf(&b, ", %d not sent", s.NotSent)
	}
	if o := s.Outcomes; o != nil {
		fmt.Fprintf(&b, "; %d started, %d failed, %d rejected, %d without outcome yet", o.Started, o.FailedTotal(), o.Rejected, o.None)
		for _, code := range slices.Sorted(maps.Keys(o.Failed)) {
			fmt.Fprintf(&b, "\n  failed with %s: %d", code, o.Failed[code])
		}
	}
	return b.String()
}
