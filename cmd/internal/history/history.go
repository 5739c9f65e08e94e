// Package history says what happened to one request, and what happens next.
//
// The events of a request's key are its history: each claim, renewal, release and
// take-over, and its outcome. This package is the one place that derives from them
// where a request stands ([Standing], [Status]), what an event says in words
// ([Step.Text]) and what a request came to ([Result]). The status depends on the
// time as well: a lease ends without an event, so readers keep the [Standing] and
// take the status when they show it.
//
// A started request stays [Started]: that a job was started does not change. What
// becomes of its jobs is a second answer, folded from the events about them ([Jobs],
// [Backup]).
//
// [Read] collects a history from the streams, with the rejections of other requests
// that used its id, its place in the queue and its dead letters. It changes nothing.
// What it returns is true at one moment, [History.AsOf], by the server's clock; while
// a replica is at work, a part of it may be newer than another.
//
// # Permissions
//
// Below $JS.API: STREAM.{INFO,MSG.GET} and CONSUMER.{CREATE,INFO,MSG.NEXT,DELETE} of
// BACKUP_EVENTS, STREAM.{INFO,MSG.GET} of BACKUP_REQUESTS and, for a request that
// failed, the consumer calls of BACKUP_DLQ.
package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/eventlog"
	"backhaul/consumer/scope"
	"backhaul/consumer/turn"
	"backhaul/publisher"
	"backhaul/schemas"
)

// History is what is known of one request.
type History struct {
	Source    string `json:"source"`
	Key       string `json:"key"`
	RequestID string `json:"requestId,omitempty"`
	Status    Status `json:"state"`
	// AsOf is the server's time.
	AsOf time.Time `json:"asOf"`
	// NoStartBefore is when the next start is free, zero if one is free or that is not known. The
	// caller sets it.
	NoStartBefore time.Time `json:"noStartBefore,omitzero"`
	// Steps are in the order of the stream.
	Steps []Step `json:"steps"`
	// Queued is the message in the queue, nil if there is none.
	Queued *Queued `json:"queued,omitempty"`
	// DeadLetters are those of the request.
	DeadLetters []DeadLetter `json:"deadLetters,omitempty"`
	// Backup is what became of the Jobs together, nil without one.
	Backup *Backup `json:"backup,omitempty"`
	Jobs   Jobs    `json:"jobs,omitempty"`
	// LastError is why the request has no outcome yet, nil without an error on record.
	LastError *LastError `json:"lastError,omitempty"`
	// Paused is the pause of a scope that a request waits in, or will if it has no job; nil if there is none.
	Paused *scope.Pause `json:"paused,omitempty"`
	// Wait is what a request waits for because of the rule of its content group, nil for nothing.
	Wait *turn.Wait `json:"wait,omitempty"`
}

// Queued is a request's message in the queue.
type Queued struct {
	Sequence uint64    `json:"sequence"`
	Since    time.Time `json:"since"`
	// Priority is high, normal or low.
	Priority string `json:"priority"`
	// Place is which of the requests in the queue it is, 1 for the next one, by the order in which
	// they are started while starts are scarce. 0 if that is not known. Of is how many they are.
	Place uint64 `json:"place,omitempty"`
	Of    uint64 `json:"of,omitempty"`
	// Request is what the message asks for, as far as it can be read.
	Request schemas.BackupRequest `json:"-"`
	// before is how many messages of its subject come before it, if they were counted.
	before  uint64
	counted bool
	subject string
}

// DeadLetter is a dead letter of the request.
type DeadLetter struct {
	// Sequence is its sequence in the dead-letter stream.
	Sequence uint64    `json:"sequence"`
	Stored   time.Time `json:"stored"`
	Code     string    `json:"code"`
	Reason   string    `json:"reason"`
	// RequestSequence is the sequence that the message had in the queue.
	RequestSequence uint64 `json:"requestSequence"`
}

// Read returns the history of the request. A key of which nothing is known has the status
// [NotFound]. A message that [Find] has found is not searched again.
func (f Found) Read(ctx context.Context, js jetstream.JetStream) (History, error) {
	key := f.Key
	h := History{Source: key.Source, Key: key.Name, Steps: []Step{}}
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return h, fmt.Errorf("read %s: %w", publisher.EventsStream, err)
	}
	if err := h.readSteps(ctx, js); err != nil {
		return h, err
	}
	h.keepLastMessage()
	h.foldJobs()
	for _, step := range h.Steps {
		if step.key == h.own() {
			h.LastError = h.LastError.After(step.Event, step.At)
		}
	}
	if err := h.readDoubts(ctx, events); err != nil {
		return h, err
	}
	if h.Queued = f.queued; h.Queued == nil || h.Last() != nil {
		if h.Queued, err = findQueued(ctx, js, key, h.requestedAt()); err != nil {
			return h, err
		}
	}
	if err := h.readDeadLetters(ctx, js); err != nil {
		return h, err
	}
	// Last, so that nothing that was read is newer than this.
	info, err := events.Info(ctx)
	if err != nil {
		return h, fmt.Errorf("read the server's clock: %w", err)
	}
	h.AsOf = info.TimeStamp.UTC()
	h.Status = h.status()
	if h.Status == Waiting || h.Status == InDoubt {
		if err := h.readPause(ctx, events); err != nil {
			return h, err
		}
	}
	if h.Status != Waiting {
		return h, nil
	}
	if h.Wait, err = turn.New(js, events, nil).Holder(ctx, h.group(), turn.Rule{}); err != nil {
		return h, err
	}
	if h.Queued == nil {
		return h, nil
	}
	return h, h.Queued.readPlace(ctx, js)
}

// readPause finds out whether an operator has paused the scope of a request that waits or is in doubt.
func (h *History) readPause(ctx context.Context, events jetstream.Stream) error {
	list, err := scope.Read(ctx, events)
	if err != nil {
		return err
	}
	g := h.group()
	h.Paused = list.Of(h.Source, g.Client, g.Subclient)
	return nil
}

// group returns the content group of a request that waits.
func (h *History) group() turn.Group {
	if last := h.Last(); last != nil {
		names := last.Event.Names()
		return turn.Group{Client: names.ClientName, Subclient: names.SubclientName}
	}
	return turn.Group{Client: h.Queued.Request.ClientName, Subclient: h.Queued.Request.SubclientName}
}

// own returns the key whose history it is.
func (h *History) own() publisher.Key { return publisher.Key{Source: h.Source, Name: h.Key} }

// readSteps reads the key's own events, and the rejections that name its id.
func (h *History) readSteps(ctx context.Context, js jetstream.JetStream) error {
	own := h.own()
	rejections := eventlog.Query{Filters: []string{publisher.EventFilter(schemas.KindRequestRejected, own.Source)}, UpToLeader: true}
	var events []eventlog.Event
	err := eventlog.Read(ctx, js, rejections, func(e eventlog.Event) error {
		if e.Key != own && publisher.NewKey(own.Source, e.Data.Names().RequestID) == own {
			events = append(events, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	of, err := eventlog.OfKey(ctx, js, own)
	if err != nil {
		return err
	}
	if len(of) > 0 {
		h.RequestID = of[len(of)-1].Data.Names().RequestID
	}
	events = append(events, of...)
	slices.SortFunc(events, func(a, b eventlog.Event) int { return cmp.Compare(a.Sequence, b.Sequence) })
	h.Steps = Timeline(events)
	return nil
}

// earlierName matches the names of keys that may stand for several messages: a sequence
// without a time comes again in a stream that is made again.
var earlierName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^seq-[0-9]+$`) })

// keepLastMessage leaves out the events of other messages than the last one, where the
// key may stand for several.
func (h *History) keepLastMessage() {
	if last := h.Last(); last != nil && earlierName().MatchString(h.Key) {
		about := last.Event.Requested().RequestedAt
		h.Steps = slices.DeleteFunc(h.Steps, func(step Step) bool { return !step.Event.Requested().RequestedAt.Equal(about) })
	}
}

// foldJobs derives from the steps what became of the jobs.
func (h *History) foldJobs() {
	for _, s := range h.Steps {
		h.Jobs = h.Jobs.After(s.Event)
	}
	if len(h.Jobs) > 0 {
		backup := h.Jobs.Backup()
		h.Backup = &backup
	}
}

// readDeadLetters reads those of a request that may have some. Where the key may
// stand for several messages, those of the last one count.
func (h *History) readDeadLetters(ctx context.Context, js jetstream.JetStream) error {
	failed := slices.ContainsFunc(h.Steps, func(s Step) bool {
		outcome := OutcomeOf(s.Event)
		return outcome != "" && outcome != Started
	})
	if !failed {
		return nil
	}
	letters, err := deadletter.OfKey(ctx, js, h.own())
	about := h.requestedAt()
	for _, l := range letters {
		if !about.IsZero() && earlierName().MatchString(h.Key) && !l.Time.Equal(about) {
			continue
		}
		h.DeadLetters = append(h.DeadLetters, DeadLetter{
			Sequence: l.Number, Stored: l.Kept, Code: l.Code, Reason: l.Reason, RequestSequence: l.Sequence,
		})
	}
	return err
}

// readDoubts finds the times of the calls that left a doubt, where the claim under
// which the call was made is not one of the steps.
func (h *History) readDoubts(ctx context.Context, events jetstream.Stream) error {
	for i := range h.Steps {
		step := &h.Steps[i]
		claim, ok := step.Event.(*schemas.JobSubmitting)
		if !ok || claim.DoubtSequence == 0 || !step.InDoubtSince.IsZero() {
			continue
		}
		msg, err := events.GetMsg(ctx, claim.DoubtSequence)
		switch {
		case err == nil:
			step.InDoubtSince = msg.Time.UTC()
		case errors.Is(err, jetstream.ErrMsgNotFound): // the stream's limits have deleted it
			step.InDoubtSince = claim.RequestedAt.UTC()
		default:
			return fmt.Errorf("read the claim %d: %w", claim.DoubtSequence, err)
		}
	}
	return nil
}

// Last returns the last event under the request's own key, which decides about the
// status, nil if there is none. Rejections of other requests have keys of their own. An
// event about a job is returned only if the stream has lost those of the request itself.
func (h *History) Last() *Step {
	var ofJob *Step
	for i := len(h.Steps) - 1; i >= 0; i-- {
		step := &h.Steps[i]
		switch {
		case step.key != h.own():
		case !step.Event.Kind().PerJob():
			return step
		case ofJob == nil:
			ofJob = step
		}
	}
	return ofJob
}

// requestedAt returns when the message was stored that the history is about, zero if
// that is not known.
func (h *History) requestedAt() time.Time {
	if last := h.Last(); last != nil {
		return last.Event.Requested().RequestedAt
	}
	return time.Time{}
}

func (h *History) status() Status {
	switch last := h.Last(); {
	case last != nil:
		return last.Standing().At(h.AsOf)
	case h.Queued != nil:
		return Waiting
	case len(h.Steps) > 0: // only rejections of others are left
		return Rejected
	}
	return NotFound
}
