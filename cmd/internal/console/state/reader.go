package state

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/queue"
	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/schemas"
)

const (
	// idleAfter is how long it reads without viewers.
	idleAfter = 15 * time.Minute
	// askEvery is how often the server is asked about the queue.
	askEvery = 2 * time.Second
	askLimit = 2 * time.Second
	// againAfter is the wait before the stream is opened again after a failure.
	againAfter = time.Second
	// othersEvery is how often the server is asked about trigger and archiver, and
	// othersAgain how long it is not asked again when it does not answer: this user may
	// not be permitted to ask.
	othersEvery = 5 * time.Second
	othersAgain = 30 * time.Second
	// staleAfter is how long events may be on their way here.
	staleAfter = 5 * time.Second
)

// progress is how far the stream was read.
type progress struct {
	last     uint64    // sequence of the last event
	since    time.Time // when the first one was stored
	complete bool      // the first one was the stream's first
	begun    bool
	caughtUp bool
	caught   chan struct{} // closed when caughtUp
	err      error         // why it is not read
	// behindSince is when the stream was first seen to have more than was read.
	behindSince time.Time
}

// queueView is what the server last said of the queue.
type queueView struct {
	queue.State
	wait consumer.VendorWait // the last on record
	at   time.Time
	err  error
}

// interest wakes the reader.
type interest struct {
	viewed *atomic.Int64 // unix nanoseconds
	wake   chan struct{}
}

func newInterest() interest {
	return interest{viewed: new(atomic.Int64), wake: make(chan struct{}, 1)}
}

// Want records that a viewer needs the state.
func (i interest) Want() {
	i.viewed.Store(time.Now().UnixNano())
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

func (i interest) idle(after time.Duration) bool {
	return time.Since(time.Unix(0, i.viewed.Load())) > after
}

// Run follows the stream while there are viewers, until ctx ends.
func (s *State) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			s.read(ctx)
		}
	}
}

// read follows the stream until ctx ends or the last viewer has gone.
func (s *State) read(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	var asking sync.WaitGroup
	asking.Go(func() { s.ask(ctx, stop) })
	asking.Go(func() { askAbout(ctx, s, queue.LookAtTrigger, func(seen *queue.Trigger) { s.trigger = seen }) })
	asking.Go(func() { askAbout(ctx, s, queue.LookAtArchive, func(seen *queue.Archive) { s.archive = seen }) })
	defer asking.Wait()
	defer stop()
	for ctx.Err() == nil {
		err := s.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		s.change(func() { s.progress.err = err })
		pause(ctx, againAfter)
	}
	s.change(func() {
		if s.progress.caughtUp {
			s.progress.caughtUp, s.progress.caught = false, make(chan struct{})
		}
	})
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *State) change(how func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how()
	s.version++
}

// follow reads from where it stopped, or from near the end of the stream.
func (s *State) follow(ctx context.Context) error {
	stream, err := s.js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", publisher.EventsStream, err)
	}
	from, upTo := s.begin(stream.CachedInfo().State), stream.CachedInfo().State.LastSeq
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from}
	opened := func() {
		s.change(func() { s.progress.err = nil })
		if from > upTo {
			s.caughtUp()
		}
	}
	return eventlog.Follow(ctx, s.js, publisher.EventsStream, cfg, opened, s.take)
}

// begin returns the sequence to read from.
func (s *State) begin(stream jetstream.StreamState) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	near := uint64(1)
	if stream.LastSeq > s.limits.events {
		near = stream.LastSeq - s.limits.events + 1
	}
	// It goes on where it stopped, unless that is too far back, or the stream is
	// another one.
	if p := &s.progress; !p.begun || p.last > stream.LastSeq || p.last+1 < near {
		s.reset()
		p.begun, p.complete = true, near <= max(stream.FirstSeq, 1)
		return near
	}
	return s.progress.last + 1
}

func (s *State) caughtUp() {
	s.change(func() {
		if !s.progress.caughtUp {
			s.progress.caughtUp = true
			close(s.progress.caught)
		}
	})
}

// take counts one event.
func (s *State) take(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
	key, data, err := publisher.ReadEvent(msg.Subject(), msg.Headers(), msg.Data())
	s.change(func() {
		s.progress.last = meta.Sequence.Stream
		if s.progress.since.IsZero() {
			s.progress.since = meta.Timestamp
		}
		if err == nil {
			s.count(eventlog.Event{Kind: data.Kind(), Key: key, Data: data, Sequence: meta.Sequence.Stream, Stored: meta.Timestamp})
		} else if _, ok := publisher.ParseOperatorSubject(msg.Subject()); ok {
			if done, err := schemas.DecodeOperatorEvent(msg.Data()); err == nil && done.Action != schemas.ActionSealed {
				s.actions = append(s.actions, actionOf(done, meta.Timestamp))
				s.actions = s.actions[max(0, len(s.actions)-maxActions):]
			}
		}
	})
	if meta.NumPending == 0 {
		s.caughtUp()
	}
	return nil
}

// count adds an event of a request to all totals. A request has one outcome, so
// outcomes count requests.
func (s *State) count(e eventlog.Event) {
	r := s.book.apply(e)
	if e.Kind == schemas.KindJobFinished {
		s.ends[e.Data.(*schemas.JobFinished).Outcome]++
	}
	if r.Open() || e.Kind.PerJob() {
		return
	}
	s.counts[r.Outcome]++
	if e.Kind.Terminal() && r.Outcome != history.Cancelled { // it took as long as the operator did
		s.series.add(e.Stored, r.Outcome == history.Started, r.Took(e.Stored))
	}
}

// ask queries the queue periodically, and ends the reading when the last viewer has
// gone.
func (s *State) ask(ctx context.Context, stop func()) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		s.askOnce(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.idle(s.limits.idleAfter) {
			stop()
			return
		}
	}
}

func (s *State) askOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	now := time.Now()
	seen, err := queue.Look(ctx, s.js)
	var last uint64
	var ahead time.Duration
	var wait consumer.VendorWait
	if stream, streamErr := s.js.Stream(ctx, publisher.EventsStream); streamErr == nil {
		last = stream.CachedInfo().State.LastSeq
		if seen.PausedFor > 0 {
			// Without an answer the pause has no cause on the page.
			wait, _ = consumer.LastVendorWait(ctx, stream)
		}
		if at := stream.CachedInfo().TimeStamp; !at.IsZero() { // zero before NATS 2.10
			ahead = time.Until(at)
		}
	} else {
		err = errors.Join(err, streamErr)
	}
	s.change(func() {
		s.queue.err = err
		if err != nil {
			return
		}
		s.queue.State, s.queue.at, s.queue.wait, s.ahead = seen, now, wait, ahead
		switch p := &s.progress; {
		case last <= p.last:
			p.behindSince = time.Time{}
		case p.behindSince.IsZero():
			p.behindSince = now
		}
	})
}

// askAbout asks a question about trigger or archiver until ctx ends. What cannot be read is
// not shown; the rest stays current.
func askAbout[T any](ctx context.Context, s *State, question func(context.Context, jetstream.JetStream) (*T, error), answer func(*T)) {
	for ctx.Err() == nil {
		next := othersEvery
		asking, cancel := context.WithTimeout(ctx, askLimit)
		seen, err := question(asking, s.js)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			next = othersAgain
		}
		s.change(func() { answer(seen) })
		pause(ctx, next)
	}
}

// stale returns why the state may be out of date, "" if it is not. The caller holds mu.
func (s *State) stale() string {
	p := &s.progress
	switch {
	case !s.nc.IsConnected():
		return "NATS is not connected"
	case p.err != nil:
		return p.err.Error()
	case s.queue.err != nil:
		return "JetStream does not answer: " + s.queue.err.Error()
	case !p.caughtUp:
		return "the events are still being read"
	case !p.behindSince.IsZero() && time.Since(p.behindSince) > staleAfter:
		return "newer events are in the stream than were read"
	default:
		return ""
	}
}
