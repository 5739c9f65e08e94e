// Package state holds what a process knows of recent requests, from the events stream
// alone: the newest requests, how many have each status, and how long they took.
//
// # Bounds
//
// It holds at most [MaxRequests] requests, open ones longer than settled ones, each text
// cut to [maxText] bytes, and an hour of figures. It begins [MaxEvents] events before the
// end of the stream, so the time of a start does not grow with the stream; [View.Since]
// returns when counting began. Older requests are read from the stream on demand
// ([State.Events], [State.Find]).
//
// # Failures
//
// Without viewers nothing is read: the first [State.Want] begins, and a quarter of an hour
// without one ends it. Without a broker it keeps its data, [View.Stale] has the reason, and
// it continues where it stopped. The queue is queried every two seconds, trigger and
// archiver every five.
//
// It asks NATS for STREAM.{INFO,MSG.GET} and CONSUMER.{CREATE,INFO,MSG.NEXT,DELETE}
// of BACKUP_EVENTS, STREAM.INFO and CONSUMER.INFO of BACKUP_REQUESTS,
// and those of STORAGE_EVENTS and STREAM.{INFO,MSG.GET} of STORAGE_WINDOWS, without
// which the trigger is not shown, and to subscribe to storage.state, without which its
// open windows are not. CONSUMER.INFO of BACKUP_EVENTS.archiver is for the archive.
//
// All methods may be called at any time. One goroutine reads the stream.
package state

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/queue"
	"backhaul/consumer"
	"backhaul/consumer/scope"
	"backhaul/publisher"
	"backhaul/schemas"
)

const (
	// MaxRequests is how many requests are held.
	MaxRequests = 5_000
	// MaxEvents is how far before the end of the stream it begins. Most requests
	// have two events.
	MaxEvents = 20_000
	// maxActions is how many actions of operators are held.
	maxActions = 20
)

// State follows the events stream.
type State struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	limits limits
	interest

	mu sync.Mutex
	tally
	progress progress
	queue    queueView
	trigger  *queue.Trigger // what was last seen and heard, never changed
	archive  *queue.Archive // likewise
	ahead    time.Duration  // of the server's clock before ours
	version  uint64         // goes up with every change
}

// tally is what was counted.
type tally struct {
	book    book
	counts  Counts
	ends    map[schemas.Outcome]int // of jobs
	series  series
	actions []Action // the newest last
}

// limits are constants but for tests.
type limits struct {
	requests  int
	events    uint64
	idleAfter time.Duration
}

// New returns a state on a connection. [State.Run] makes it follow the stream.
func New(nc *nats.Conn) (*State, error) {
	return newState(nc, limits{MaxRequests, MaxEvents, idleAfter})
}

func newState(nc *nats.Conn, l limits) (*State, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	s := &State{nc: nc, js: js, limits: l, interest: newInterest()}
	s.progress.caught = make(chan struct{})
	s.reset()
	return s, nil
}

// reset clears all counts. The caller holds mu, or has the only reference.
func (s *State) reset() {
	s.tally = tally{book: newBook(s.limits.requests), counts: Counts{}, ends: map[schemas.Outcome]int{}}
	s.progress.last, s.progress.since = 0, time.Time{}
	s.version++
}

// Counts are numbers of requests by status: of open ones those that are held, of
// settled ones all since [View.Since].
type Counts map[history.Status]int

// Action is what an operator did.
type Action struct {
	Name  schemas.Action
	Actor string
	At    time.Time
	// Text says to what, and why.
	Text string
	// Until is when a pause ends, zero for other actions. Reason is the operator's.
	Until  time.Time
	Reason string
}

// actionOf returns an action with its texts shortened.
func actionOf(e schemas.OperatorEvent, stored time.Time) Action {
	a := Action{Name: e.Action, Actor: cut(e.Actor), At: stored}
	deadLetter := fmt.Sprintf("dead letter %d (%s of %s)", e.DeadLetter.Sequence, e.DeadLetter.RequestID, e.DeadLetter.Source)
	switch e.Action {
	case schemas.ActionPause:
		a.Until = e.Pause.Until
		a.Text = "until " + e.Pause.Until.UTC().Format(time.DateTime)
	case schemas.ActionDeadLetterReplay:
		a.Text = deadLetter + " as " + e.Replay.RequestID
	case schemas.ActionDeadLetterDrop:
		a.Text = deadLetter
	case schemas.ActionCancel:
		a.Text = fmt.Sprintf("request %s of %s", e.Request.RequestID, e.Request.Source)
	case schemas.ActionPauseScope:
		a.Text = scope.Of(e.Scope).String() + " until " + e.Scope.Until.UTC().Format(time.DateTime)
	case schemas.ActionResumeScope:
		a.Text = scope.Of(e.Scope).String()
	case schemas.ActionJobSuspend, schemas.ActionJobResume, schemas.ActionJobKill:
		a.Text = fmt.Sprintf("job %s of request %s of %s", e.JobID, e.Request.RequestID, e.Request.Source)
	case schemas.ActionSealed:
		a.Text = fmt.Sprintf("archive %s with %d leaves", e.Checkpoint.Log, e.Checkpoint.Size)
	case schemas.ActionResume:
	}
	if a.Reason = cut(e.Reason); e.Reason != "" {
		a.Text += ": " + e.Reason
	}
	a.Text = cut(a.Text)
	return a
}

// View is the state at one moment.
type View struct {
	// At is when this is true, by the server's clock.
	At time.Time
	// Requests match the filter, the newest first: one page of them.
	Requests []Request
	// Matching is how many match, Held how many are held.
	Matching, Held int
	Counts         Counts
	// Ends counts the jobs that ended since Since, Running the held requests with a job
	// that has no end yet.
	Ends    map[schemas.Outcome]int
	Running int
	Minutes []Minute
	Actions []Action // the newest first
	// Since is when the first event was stored that counts, zero if there is none.
	Since time.Time
	// Complete is true if it counts from the beginning of the stream.
	Complete bool
	// Stale says why this may not be the truth, "" if it is.
	Stale string
	Queue queue.State
	// QueueAt is when the queue answered, zero if it never did.
	QueueAt time.Time
	// VendorWait is the last wait that the vendor asked for while the queue is paused. It may be over.
	VendorWait consumer.VendorWait
	// Trigger is what waits for the trigger and what it says, nil where there is none to be seen.
	Trigger *queue.Trigger
	// Archive is how far events are archived, nil where they are not, or it cannot be read.
	Archive *queue.Archive
}

// Now returns the time by the server's clock, as far as it is known: leases are
// measured by it.
func (s *State) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// now is like Now, for a caller that holds mu.
func (s *State) now() time.Time { return time.Now().Add(s.ahead) }

// Away reports whether NATS is not connected.
func (s *State) Away() bool { return !s.nc.IsConnected() }

// Version returns a number that changes with every event and every answer of the
// server. The result of [State.Look] changes with time as well: a lease ends without
// an event.
func (s *State) Version() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// Look returns the state with the requests that match, at most limit of them from
// offset on.
func (s *State) Look(f Filter, offset, limit int) View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.look(f, offset, limit, s.now())
}

// look is like Look at a given time, for a caller that holds mu.
func (s *State) look(f Filter, offset, limit int, now time.Time) View {
	v := View{
		At: now, Held: s.book.len(), Counts: maps.Clone(s.counts), Minutes: s.series.minutes(now),
		Since: s.progress.since, Complete: s.progress.complete, Stale: s.stale(),
		Queue: s.queue.State, QueueAt: s.queue.at, VendorWait: s.queue.wait, Trigger: s.trigger, Archive: s.archive,
	}
	s.book.countOpen(v.Counts, now)
	v.Ends, v.Running = maps.Clone(s.ends), s.book.countRunning()
	matching := s.book.matching(f.compile(), now)
	v.Matching = len(matching)
	for _, r := range matching[min(offset, len(matching)):min(offset+limit, len(matching))] {
		v.Requests = append(v.Requests, r.seen(now))
	}
	v.Actions = slices.Clone(s.actions)
	slices.Reverse(v.Actions)
	return v
}

// Related returns the held requests of a source with a request id, including rejected
// ones, which the stream keeps under keys of their own.
func (s *State) Related(source, requestID string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var related []Request
	for _, r := range s.book.byKey {
		if r.Key.Source == source && r.RequestID == requestID {
			related = append(related, r.seen(s.now()))
		}
	}
	slices.SortFunc(related, func(a, b Request) int { return a.Requested.Compare(b.Requested) })
	return related
}

// Caught waits until what was in the stream has been read, at most until ctx ends.
func (s *State) Caught(ctx context.Context) {
	s.mu.Lock()
	caught := s.progress.caught
	s.mu.Unlock()
	select {
	case <-caught:
	case <-ctx.Done():
	}
}

// Last returns the sequence of the last event of a key, 0 if the key is not held.
func (s *State) Last(key publisher.Key) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.book.byKey[key]; r != nil {
		return r.Last
	}
	return 0
}
