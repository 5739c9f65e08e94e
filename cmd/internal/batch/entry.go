package batch

import (
	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/publisher"
	"backhaul/schemas"
)

// entry is one request of a batch and how far it is.
type entry struct {
	req  *schemas.BackupRequest
	key  publisher.Key
	hash string
	// confirmed: the stream has it, or it has its outcome.
	confirmed bool
	settled   bool
}

// result is what an event makes of a request.
type result int

const (
	open     result = iota
	started         // there is a job
	failed          // there is none, or nobody knows
	rejected        // its id is that of another request, which keeps its outcome
)

// see takes an event that names the request's id.
func (e *entry) see(event eventlog.Event) result {
	if event.Data.Requested().PayloadHash != e.hash {
		return open // about other content under this id: ours will be rejected by an event of its own
	}
	switch history.OutcomeOf(event.Data) {
	case history.Rejected: // about this message or a copy of it: the same holds for both
		return rejected
	case history.Started:
		return started
	case history.Failed, history.OutcomeUnknown:
		return failed
	}
	return open
}

// keyOf is the key of the request that an event names.
func keyOf(event eventlog.Event) publisher.Key {
	if event.Kind == schemas.KindRequestRejected {
		return publisher.NewKey(event.Key.Source, event.Data.Names().RequestID)
	}
	return event.Key
}
