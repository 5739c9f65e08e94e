package follower

import (
	"context"
	"errors"
	"slices"

	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
	"backhaul/schemas"
)

// origin is the event job-started that a job comes from.
type origin struct {
	key     publisher.Key
	started *schemas.JobStarted
	trace   string // traceparent
}

// errNoOrigin means that the event job-started is not on the stream any more. An event about its
// job cannot be written without what it says.
var errNoOrigin = errors.New("its event job-started was removed from " + publisher.EventsStream)

// origin reads the event job-started of a job from the leader of the stream.
func (s *session) origin(ctx context.Context, j *job) (origin, error) {
	ask, cancel := context.WithTimeout(ctx, reader.AskTimeout)
	defer cancel()
	msg, err := s.follower.events.At(ask, j.of.sequence)
	if err != nil {
		return origin{}, err
	}
	if msg == nil {
		return origin{}, errNoOrigin
	}
	key, e, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data)
	started, ok := e.(*schemas.JobStarted)
	if err != nil || !ok || started.JobID != j.id && !slices.Contains(started.JobIDs, j.id) {
		return origin{}, errNoOrigin // the stream was made again
	}
	return origin{key: key, started: started, trace: schemas.Header(msg.Header).Attribute("traceparent")}, nil
}

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
