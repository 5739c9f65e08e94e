package state

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/publisher"
	"backhaul/schemas"
)

// maxEvents is how many events of one request are shown. A vendor outage of a day
// leaves some hundred claims.
const maxEvents = 500

// Events returns the events of a request and of its jobs in the order of the stream. Of more
// than maxEvents it returns the first ones, and of the others all outcomes and the last one;
// more reports whether some are left out.
func (s *State) Events(ctx context.Context, key publisher.Key) (events []eventlog.Event, more bool, err error) {
	if publisher.CheckSource(key.Source) != nil || !subjectSafe(key.Name) {
		return nil, false, nil // nothing is stored under such a subject
	}
	all, err := eventlog.OfKey(ctx, s.js, key)
	for _, e := range all {
		if last := len(events) - 1; last+1 >= maxEvents && repeats(events[last].Kind) {
			events[last], more = e, true
		} else {
			events = append(events, e)
		}
	}
	return events, more, err
}

// repeats reports whether a request or job may have any number of events of this kind.
func repeats(kind schemas.Kind) bool {
	return kind == schemas.KindJobSubmitting || kind == schemas.KindJobChanged
}

var safeCharacters = regexp.MustCompile(`^[A-Za-z0-9_:-]+$`)

// subjectSafe reports whether a key can have this name. The length is checked outside
// the expression, which would be compiled into that many states.
func subjectSafe(name string) bool { return len(name) <= 160 && safeCharacters.MatchString(name) }

// Find returns the request with this id or key from the stream, of one source or of
// any. found is false if the stream has no such request.
func (s *State) Find(ctx context.Context, source, id string) (r Request, found bool, err error) {
	if source != "" && publisher.CheckSource(source) != nil {
		return r, false, nil
	}
	if source == "" {
		source = "*"
	}
	names := []string{publisher.NewKey(source, id).Name}
	if subjectSafe(id) && id != names[0] {
		names = append(names, id)
	}
	for _, name := range names {
		r, found, err = s.lastOf(ctx, publisher.Key{Source: source, Name: name})
		if found || err != nil {
			break
		}
	}
	return r, found, err
}

// Queued returns the message of a request in the queue, with its place; nil if it is not there.
// stored is when the message was stored, zero if that is not known.
func (s *State) Queued(ctx context.Context, key publisher.Key, stored time.Time) (*history.Queued, error) {
	if publisher.CheckSource(key.Source) != nil {
		return nil, nil
	}
	return history.Place(ctx, s.js, key, stored)
}

func (s *State) lastOf(ctx context.Context, key publisher.Key) (r Request, found bool, err error) {
	stream, err := s.js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return r, false, fmt.Errorf("look at stream %s: %w", publisher.EventsStream, err)
	}
	msg, _, err := publisher.LastEvent(ctx, stream, key.Filter())
	if err != nil || msg == nil {
		return r, false, err
	}
	key, data, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data)
	if err != nil {
		return r, false, nil // a kind of a later version
	}
	events := []eventlog.Event{{Kind: data.Kind(), Key: key, Data: data, Sequence: msg.Sequence, Stored: msg.Time}}
	if data.Kind() == schemas.KindJobStarted {
		ends, err := s.endsOf(ctx, key)
		if err != nil {
			return r, false, err
		}
		events = append(events, ends...)
	}
	return RequestOf(events, s.Now()), true, nil
}

// endsOf returns the events about the jobs of a request.
func (s *State) endsOf(ctx context.Context, key publisher.Key) (events []eventlog.Event, err error) {
	err = eventlog.Read(ctx, s.js, eventlog.Query{Filters: []string{key.JobsFilter()}, UpToLeader: true}, func(e eventlog.Event) error {
		if len(events) < maxEvents {
			events = append(events, e)
		}
		return nil
	})
	return events, err
}
