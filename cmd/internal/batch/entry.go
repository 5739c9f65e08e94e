package batch

import (
	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/publisher"
	"backhaul/schemas"
)

// entry is one request of a batch with its progress.
type entry struct {
	req     *schemas.BackupRequest
	key     publisher.Key
	hash    string
	settled bool // its outcome is counted
	ended   bool // the end of its jobs is counted
	jobs    history.Jobs
	early   []eventlog.Event // about jobs, before the outcome
}

// result is the state of a request after an event.
type result int

const (
	open     result = iota
	started         // a job was started
	failed          // no job was started, or it is unknown whether one was
	rejected        // the id belongs to another request, which keeps its outcome
)

// resultOf returns the request's state after an event that names its id.
func (e *entry) resultOf(event eventlog.Event) result {
	if event.Data.Requested().PayloadHash != e.hash {
		return open // the event is about other content: this request will be rejected by a separate event
	}
	switch history.OutcomeOf(event.Data) {
	case history.Rejected: // of this message or a copy of it; it applies to both
		return rejected
	case history.Started:
		return started
	case history.Failed, history.OutcomeUnknown, history.Cancelled:
		return failed
	}
	return open
}

// keyOf returns the key of the request that an event names.
func keyOf(event eventlog.Event) publisher.Key {
	if event.Kind == schemas.KindRequestRejected {
		return publisher.NewKey(event.Key.Source, event.Data.Names().RequestID)
	}
	return event.Key
}
