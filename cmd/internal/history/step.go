package history

import (
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

// What is what a step was.
type What string

// What happens to a request.
const (
	StepClaimed   What = "claimed"
	StepRenewed   What = "renewed"    // by the owner of the claim
	StepReleased  What = "released"   // by its owner: any replica may claim the request
	StepTakenOver What = "taken-over" // by another replica, from a claim that was not released
	StepStarted   What = "started"
	StepAdopted   What = "adopted" // its job was found at the vendor after a lost answer
	StepFailed    What = "failed"
	StepCancelled What = "cancelled" // by an operator
	StepRejected  What = "rejected"  // it has the request id of another request
	// One of its jobs changed, ended, or is no longer followed.
	StepChanged    What = "changed"
	StepFinished   What = "finished"
	StepUnfollowed What = "unfollowed"
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
	key   publisher.Key
}

// Text returns the step in words.
func (s Step) Text() string { return textOf(s.Event, s.InDoubtSince) }

// Standing returns where the step leaves its request.
func (s Step) Standing() Standing { return After(s.Event, s.At) }

// Timeline returns the steps that the events make, which are in the order of the
// stream.
func Timeline(events []eventlog.Event) []Step {
	steps := make([]Step, 0, len(events))
	stored := make(map[uint64]time.Time)
	var before *schemas.JobSubmitting
	for _, e := range events {
		step := Step{What: whatOf(e.Data, before), At: e.Stored.UTC(), Sequence: e.Sequence, Event: e.Data, key: e.Key}
		stored[step.Sequence] = step.At
		if claim, ok := e.Data.(*schemas.JobSubmitting); ok {
			step.InDoubtSince = stored[claim.DoubtSequence]
			before = claim
		}
		steps = append(steps, step)
	}
	return steps
}
