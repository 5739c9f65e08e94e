package follower

import (
	"context"

	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
	"backhaul/schemas"
)

// stored is what the events stream has about a job.
type stored struct {
	sequence uint64        // of the last message about it, 0 without one
	over     bool          // the job has ended, or was given up
	state    schemas.State // of the last job-changed, "" without one
	reason   *schemas.Reason
}

// stored returns what the leader of the stream has about a job. A message on a subject of the job
// that was not published as an event about it is no end, but the next event comes after it.
func (s *session) stored(ctx context.Context, key publisher.Key, id string) (stored, error) {
	ask, cancel := context.WithTimeout(ctx, reader.AskTimeout)
	defer cancel()
	event, last, err := s.follower.events.Last(ask, key.JobFilter(id))
	if err != nil || last == nil {
		return stored{}, err
	}
	st := stored{sequence: last.Sequence}
	if event == nil {
		return st, nil
	}
	kind, _, _, _ := publisher.ParseEventSubject(event.Subject) // the reader has parsed it
	if kind != schemas.KindJobChanged {
		st.over = true
		return st, nil
	}
	e, err := schemas.DecodeEvent(kind, event.Data)
	if changed, ok := e.(*schemas.JobChanged); err == nil && ok {
		st.state = changed.State
		if len(changed.Reasons) > 0 {
			st.reason = &changed.Reasons[0]
		}
	}
	return st, nil
}
