// Package history says what happened to one request, and what happens next.
//
// The events of a request's key are its history: each claim, renewal, release and
// take-over, and its outcome. [Read] collects them, with the rejections of other
// requests that had its id, its place in the queue and its dead letters. It asks
// only, and changes nothing. What it returns is true of one moment, [History.AsOf],
// by the server's clock; while a replica is at work, a part of it may be newer
// than another.
//
// # What it asks of NATS
//
// Below $JS.API: STREAM.{INFO,MSG.GET} and CONSUMER.{CREATE,INFO,MSG.NEXT,DELETE} of
// BACKUP_EVENTS, STREAM.{INFO,MSG.GET} of BACKUP_REQUESTS and, for a request that
// failed, the consumer calls of BACKUP_DLQ.
package history

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

// State is where a request stands.
type State string

// The states.
const (
	StateUnknown State = "unknown"  // neither an event nor a waiting message
	StateWaiting State = "waiting"  // nobody has it: never claimed, or released
	StateClaimed State = "claimed"  // a replica holds it
	StateInDoubt State = "in-doubt" // it may have a job; that is looked for
	StateStarted State = "started"  // it has its job
	StateFailed  State = "failed"
)

// History is what is known of one request.
type History struct {
	Source    string `json:"source"`
	Key       string `json:"key"`
	RequestID string `json:"requestId,omitempty"`
	State     State  `json:"state"`
	// AsOf is the server's time.
	AsOf time.Time `json:"asOf"`
	// Steps are in the order of the stream.
	Steps []Step `json:"steps"`
	// Queued is the message in the queue, nil if there is none.
	Queued *Queued `json:"queued,omitempty"`
	// DeadLetters are what is kept of its messages that could not be done.
	DeadLetters []DeadLetter `json:"deadLetters,omitempty"`
}

// Queued is a request's message in the queue.
type Queued struct {
	Sequence uint64    `json:"sequence"`
	Since    time.Time `json:"since"`
}

// Read returns the history of a key. A key of which nothing is known has the state
// [StateUnknown].
func Read(ctx context.Context, js jetstream.JetStream, key publisher.Key) (History, error) {
	return read(ctx, js, Found{Key: key})
}

func read(ctx context.Context, js jetstream.JetStream, f Found) (History, error) {
	key := f.Key
	s := History{Source: key.Source, Key: key.Name, Steps: []Step{}}
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return s, fmt.Errorf("read %s: %w", publisher.EventsStream, err)
	}
	if err := s.readSteps(ctx, js, key); err != nil {
		return s, err
	}
	s.keepLastMessage()
	if err := s.readDoubts(ctx, events); err != nil {
		return s, err
	}
	if s.Queued = f.queued; s.Queued == nil || s.Last() != nil {
		if s.Queued, err = findQueued(ctx, js, key, s.requestedAt()); err != nil {
			return s, err
		}
	}
	if s.mayHaveLetters() {
		if s.DeadLetters, err = readLetters(ctx, js, key); err != nil {
			return s, err
		}
		s.keepLastMessagesLetters()
	}
	// Last, so that nothing that was read is of later than this.
	info, err := events.Info(ctx)
	if err != nil {
		return s, fmt.Errorf("read the server's clock: %w", err)
	}
	s.AsOf = info.TimeStamp.UTC()
	s.State = s.state()
	return s, nil
}

// readSteps reads the key's own events, and which rejections name its id.
func (s *History) readSteps(ctx context.Context, js jetstream.JetStream, key publisher.Key) error {
	q := eventlog.Query{Filters: eventlog.RequestFilters(key.Source, []string{key.Name}, schemas.Kinds), UpToLeader: true}
	return eventlog.Read(ctx, js, q, func(e eventlog.Event) error {
		switch {
		case e.Key == key:
		case e.Kind == schemas.KindRequestRejected && publisher.NewKey(key.Source, e.Data.Names().RequestID) == key:
		default:
			return nil
		}
		if e.Key == key {
			s.RequestID = e.Data.Names().RequestID
		}
		s.Steps = append(s.Steps, Step{
			What: whatOf(e.Data, s.lastClaim()), At: e.Stored.UTC(), Sequence: e.Sequence, Event: e.Data,
		})
		return nil
	})
}

// earlierName matches the names of keys that may stand for several messages: a sequence
// without a time comes again in a stream that is made again.
var earlierName = regexp.MustCompile(`^seq-[0-9]+$`)

// keepLastMessage leaves out the events of other messages than the last one, where the
// key may stand for several.
func (s *History) keepLastMessage() {
	if last := s.Last(); last != nil && earlierName.MatchString(s.Key) {
		about := last.Event.Requested().RequestedAt
		s.Steps = slices.DeleteFunc(s.Steps, func(step Step) bool { return !step.Event.Requested().RequestedAt.Equal(about) })
	}
}

// keepLastMessagesLetters does the same for the dead letters.
func (s *History) keepLastMessagesLetters() {
	if about := s.requestedAt(); !about.IsZero() && earlierName.MatchString(s.Key) {
		s.DeadLetters = slices.DeleteFunc(s.DeadLetters, func(l DeadLetter) bool { return !l.requested.Equal(about) })
	}
}

// readDoubts finds out since when a doubt is. The claim that it names is, all but
// always, one of the steps.
func (s *History) readDoubts(ctx context.Context, events jetstream.Stream) error {
	began := make(map[uint64]time.Time)
	for i := range s.Steps {
		step := &s.Steps[i]
		began[step.Sequence] = step.At
		claim, ok := step.Event.(*schemas.JobSubmitting)
		if !ok || claim.DoubtSequence == 0 {
			continue
		}
		if _, known := began[claim.DoubtSequence]; !known {
			msg, err := events.GetMsg(ctx, claim.DoubtSequence)
			switch {
			case err == nil:
				began[claim.DoubtSequence] = msg.Time.UTC()
			case errors.Is(err, jetstream.ErrMsgNotFound): // the stream's limits have taken it
				began[claim.DoubtSequence] = claim.RequestedAt.UTC()
			default:
				return fmt.Errorf("read the claim %d: %w", claim.DoubtSequence, err)
			}
		}
		step.InDoubtSince = began[claim.DoubtSequence]
	}
	return nil
}

// lastClaim is the last claim so far, nil before the first.
func (s *History) lastClaim() *Step {
	for i := len(s.Steps) - 1; i >= 0; i-- {
		if _, ok := s.Steps[i].Event.(*schemas.JobSubmitting); ok {
			return &s.Steps[i]
		}
	}
	return nil
}

// Last is the step that decides about the state, nil if there is none: the
// outcome, or the last claim. Rejections are about other requests.
func (s *History) Last() *Step {
	for i := len(s.Steps) - 1; i >= 0; i-- {
		if s.Steps[i].Event.Kind() != schemas.KindRequestRejected {
			return &s.Steps[i]
		}
	}
	return nil
}

// requestedAt is when the message was stored that the history is about, zero if
// that is not known.
func (s *History) requestedAt() time.Time {
	if last := s.Last(); last != nil {
		return last.Event.Requested().RequestedAt
	}
	return time.Time{}
}

func (s *History) mayHaveLetters() bool {
	for _, step := range s.Steps {
		if step.What == Failed || step.What == Rejected {
			return true
		}
	}
	return false
}

func (s *History) state() State {
	last := s.Last()
	if last == nil {
		if s.Queued != nil {
			return StateWaiting
		}
		if len(s.Steps) > 0 { // a request whose own key is that of its rejection
			return StateFailed
		}
		return StateUnknown
	}
	switch e := last.Event.(type) {
	case *schemas.JobStarted:
		return StateStarted
	case *schemas.JobFailed:
		return StateFailed
	case *schemas.JobSubmitting:
		switch {
		case e.DoubtSequence > 0:
			return StateInDoubt
		case e.LeaseMillis == 0:
			return StateWaiting
		case s.AsOf.After(last.LeaseEnd()): // nobody knows whether it was sent
			return StateInDoubt
		}
	}
	return StateClaimed
}
