package follower

import (
	"time"

	"backhaul/schemas"
)

// Observer receives what happens to jobs, for metrics. Its methods must return quickly without
// waiting, and may be called from many goroutines.
type Observer interface {
	// Finished is called for each job-finished that this process has written, with the
	// traceparent of its request.
	Finished(e *schemas.JobFinished, traceparent string)
	// Changed is called for each job-changed that this process has written.
	Changed(e *schemas.JobChanged, traceparent string)
	// Unfollowed is called for each job-unfollowed that this process has written.
	Unfollowed(e *schemas.JobUnfollowed, traceparent string)
	// Read is called for each call at the vendor: "list", "job", "events" or "details". err is
	// nil if it was answered.
	Read(call string, err error)
	// Activated is called each time that this process begins to follow.
	Activated()
}

type silent struct{}

func (silent) Finished(*schemas.JobFinished, string)     {}
func (silent) Changed(*schemas.JobChanged, string)       {}
func (silent) Unfollowed(*schemas.JobUnfollowed, string) {}
func (silent) Read(string, error)                        {}
func (silent) Activated()                                {}

// State is what a follower is doing.
type State struct {
	// Reading is false while another replica follows the jobs, or none can.
	Reading bool `json:"reading"`
	// Owner names the process, for people.
	Owner string `json:"owner,omitempty"`
	// Followed is how many jobs are followed.
	Followed int `json:"followed"`
	// Oldest is when the oldest of them was started; zero without one.
	Oldest time.Time `json:"oldest,omitzero"`
	// Covered is up to when every end of a followed job is known; zero without a job.
	Covered time.Time `json:"covered,omitzero"`
	// LastList is when the last list was read without an error; zero if none was.
	LastList time.Time `json:"lastList,omitzero"`
	// IntervalMillis is the time between two lists at present.
	IntervalMillis int64 `json:"intervalMillis,omitzero"`
	// Reads is how many reads this process made at the vendor in the last hour.
	Reads int `json:"reads"`
	// Budget is how many it may make.
	Budget int `json:"budget"`
	// HeldUntil is when the vendor is read again after it asked for a pause; zero otherwise.
	HeldUntil time.Time `json:"heldUntil,omitzero"`
}
