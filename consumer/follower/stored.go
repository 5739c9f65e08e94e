package follower

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

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

// stored returns what the leader of the stream has about a job.
func (s *session) stored(ctx context.Context, key publisher.Key, id string) (stored, error) {
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	last, err := s.last(ask, key.JobFilter(id))
	if err != nil || last == nil {
		return stored{}, err
	}
	st := stored{sequence: last.Sequence}
	switch last.Subject {
	case key.JobSubject(schemas.KindJobFinished, id), key.JobSubject(schemas.KindJobUnfollowed, id):
		st.over = true
		return st, nil
	case key.JobSubject(schemas.KindJobChanged, id):
		e, err := schemas.DecodeEvent(schemas.KindJobChanged, last.Data)
		if changed, ok := e.(*schemas.JobChanged); err == nil && ok {
			st.state = changed.State
			if len(changed.Reasons) > 0 {
				st.reason = &changed.Reasons[0]
			}
		}
		return st, nil
	}
	// Another message is behind the events about the job; it must not hide its end.
	for _, kind := range []schemas.Kind{schemas.KindJobFinished, schemas.KindJobUnfollowed} {
		end, err := s.last(ask, key.JobSubject(kind, id))
		if err != nil {
			return stored{}, err
		}
		st.over = st.over || end != nil
	}
	return st, nil
}

// last returns the last message on a filter, nil if there is none.
func (s *session) last(ctx context.Context, filter string) (*jetstream.RawStreamMsg, error) {
	msg, err := s.events.GetLastMsgForSubject(ctx, filter)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the last event on %s: %w", filter, err)
	}
	return msg, nil
}
