package history

import "time"

// Status is where a request stands. `backhaul status`, the console page and the
// metrics use the same words.
type Status string

// The statuses. What becomes of the job of a started request is its [Backup].
const (
	NotFound       Status = "not-found"       // no event and no queued message
	Waiting        Status = "waiting"         // never claimed, or released; claimed when it is delivered and nothing holds it up
	Claimed        Status = "claimed"         // a replica owns it
	InDoubt        Status = "in-doubt"        // it may have a job, which is looked up first
	Started        Status = "started"         // it has a job
	Failed         Status = "failed"          // it has no job
	OutcomeUnknown Status = "outcome-unknown" // it may have a job, and is not worked on any more
	Rejected       Status = "rejected"        // its request id belongs to another request
	Cancelled      Status = "cancelled"       // an operator ended it before anything was sent
)

// Statuses lists those that a request with events can have, open ones first.
var Statuses = []Status{Claimed, InDoubt, Waiting, Started, Failed, OutcomeUnknown, Rejected, Cancelled}

// Word returns the status as people read it.
func (s Status) Word() string { return wordOf(string(s)) }

// Standing is what an event says about the status of its request. The status
// follows from it and the time: a lease ends without an event. The zero value is
// that of a request without events.
type Standing struct {
	// Outcome is the status of a request that has its outcome, "" for an open one.
	Outcome Status
	// Doubt: a call under an earlier claim may have started a job.
	Doubt bool
	// LeaseEnd is when the claim ends unless it is renewed, zero after a release.
	LeaseEnd time.Time
}

// Open reports whether the request has no outcome yet.
func (s Standing) Open() bool { return s.Outcome == "" }

// At returns the status at a time, by the clock of the server that stored the event.
// A claim whose lease has ended is in doubt: its owner may have sent the request
// before it died.
func (s Standing) At(now time.Time) Status {
	switch {
	case !s.Open():
		return s.Outcome
	case s.Doubt:
		return InDoubt
	case s.LeaseEnd.IsZero():
		return Waiting
	case now.After(s.LeaseEnd):
		return InDoubt
	}
	return Claimed
}
