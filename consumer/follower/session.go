package follower

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/consumer/internal/pull"
	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
)

const (
	// maxFlights is how many events are written, and stored events read, at once.
	maxFlights = 16
	// maxArrivals is how many messages may wait for a check of what is stored about their jobs
	// before no more are pulled.
	maxArrivals = 4 * reader.Batch
	tickTime    = 250 * time.Millisecond
	stateTime   = time.Second
	// loadTime is how long the first list waits for the jobs of an earlier reader.
	loadTime = 3 * time.Second
)

// session follows jobs once: from a reset of the consumer, which redelivers every message from
// the first unacknowledged one on, until a delivery is missing, another replica reads, or an
// error occurs. Its state ends with it. All fields belong to the goroutine of run.
type session struct {
	follower *Follower
	pulls    *pull.Pulls
	order    reader.Order
	book     book
	arrivals arrivals
	looks    looks
	flights  flights
	ackWait  time.Duration
}

// flights has what goroutines do for the session.
type flights struct {
	landings chan *flight
	slots    chan struct{}
	flying   int // flights that have not landed
	running  sync.WaitGroup
	over     chan struct{} // closed when landings are not received any more
}

func newSession(f *Follower) *session {
	return &session{
		follower: f, pulls: durable.Pulls(f.nc), order: durable.Order(f.js, "backup.event.job-started.>"),
		book: newBook(), arrivals: arrivals{checked: make(chan *arrival)}, looks: looks{results: make(chan *look, 1)},
		flights: flights{landings: make(chan *flight), slots: make(chan struct{}, maxFlights), over: make(chan struct{})},
	}
}

// run follows until ctx or the session ends.
func (s *session) run(ctx context.Context) error {
	sub, err := s.pulls.Subscribe()
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.reset(ctx); err != nil {
		return err
	}
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	err = s.loop(ctx, work)
	_ = sub.Unsubscribe() // ends the pull, so that another replica can read
	if ctx.Err() != nil {
		s.drain()
	}
	cancel(reader.ErrStopping)
	close(s.flights.over)
	s.flights.running.Wait()
	return err
}

// reset makes the consumer begin again behind its acknowledgement floor. Messages above it that
// were acknowledged are delivered again: what is stored about their jobs shows that they are done.
func (s *session) reset(ctx context.Context) error {
	answer, err := durable.Reset(ctx, s.follower.nc, 0)
	if err != nil {
		return err
	}
	s.ackWait = answer.Config.AckWait
	ask, cancel := context.WithTimeout(ctx, reader.AskTimeout)
	defer cancel()
	events, err := s.follower.js.Stream(ask, publisher.EventsStream)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", publisher.EventsStream, err)
	}
	if s.follower.events == nil {
		s.follower.events = publisher.NewLastReader(events)
	}
	s.arrivals.old = events.CachedInfo().State.LastSeq
	s.arrivals.waiting = answer.NumPending > 0
	s.arrivals.began = time.Now()
	s.follower.well()
	s.follower.cfg.Observer.Activated()
	return nil
}

// loop owns the book until ctx ends or an error occurs.
func (s *session) loop(ctx, work context.Context) error {
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	state := time.NewTicker(stateTime)
	defer state.Stop()
	touch := time.NewTicker(max(s.ackWait/4, tickTime))
	defer touch.Stop()
	s.tell()
	for {
		if err := s.pull(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case msg := <-s.pulls.Incoming:
			if err := s.heard(work, msg); err != nil {
				return err
			}
		case a := <-s.arrivals.checked:
			if err := s.checked(a); err != nil {
				return err
			}
		case l := <-s.looks.results:
			s.looked(work, l)
			s.look(work, time.Now()) // another one may be due
		case f := <-s.flights.landings:
			s.flights.flying--
			if err := s.landed(work, f); err != nil {
				return err
			}
		case <-touch.C:
			s.progress()
		case <-tick.C:
			s.look(work, time.Now())
			if err := reader.Silent(s.pulls); err != nil {
				return err
			}
		case <-state.C:
			s.giveUp(work, time.Now())
			s.tell()
		}
	}
}

// drain waits for the events that are being written.
func (s *session) drain() {
	timeout := time.NewTimer(s.follower.cfg.DrainTimeout)
	defer timeout.Stop()
	for s.flights.flying > 0 {
		select {
		case f := <-s.flights.landings:
			s.flights.flying--
			f.job.after = nil
			_ = s.landed(context.Background(), f) // f.job.after is nil, so nothing is written
		case <-timeout.C:
			return
		}
	}
	_ = s.follower.nc.FlushTimeout(time.Second) // the acknowledgements
}

// pull sends a pull request unless one is open, or it is not time for one.
func (s *session) pull() error {
	if s.pulls.Asked > 0 || !s.arrivals.due(time.Now(), min(pullGap, s.follower.cfg.IntervalMin/8)) {
		return nil
	}
	s.order.Pulled()
	return reader.AskBatch(s.pulls, s.follower.nc)
}

// heard handles an answer to the pull.
func (s *session) heard(work context.Context, msg *nats.Msg) error {
	answer, err := s.pulls.Heard(msg)
	if err != nil {
		if msg.Header.Get("Status") == "409" && msg.Header.Get("Description") == "Exceeded MaxWaiting" {
			return reader.ErrOther
		}
		return err
	}
	s.follower.well()
	switch answer {
	case pull.Message:
		return s.take(work, msg)
	case pull.Heartbeat:
		s.arrivals.waiting = false
	case pull.Ended:
	}
	return nil
}

// well notes that the server answers.
func (f *Follower) well() {
	f.ready.Note(nil)
	if f.readLog.Changed(nil) {
		f.log.Info().Msg("following jobs")
	}
}

// settle answers a delivery, without a confirmation: if the answer is lost, the message is
// redelivered, and what is stored about its jobs shows that they are done.
func (s *session) settle(reply, verb string) { _ = s.follower.nc.Publish(reply, []byte(verb)) }

// progress keeps the server from redelivering the messages of followed jobs.
func (s *session) progress() {
	now := time.Now()
	for _, m := range s.book.messages {
		if now.Sub(m.touched) >= s.ackWait/2 {
			m.touched = now
			s.settle(m.reply, "+WPI")
		}
	}
}

// tell updates the follower's state.
func (s *session) tell() {
	f := s.follower
	state := &State{
		Reading: true, Owner: f.cfg.Owner, Budget: f.cfg.ReadsPerHour,
		Followed: s.book.count, Oldest: s.book.oldest(), Covered: s.book.covered, LastList: s.looks.good,
		IntervalMillis: s.interval().Milliseconds(),
	}
	state.Reads, state.HeldUntil = f.pace.spent(time.Now())
	f.state.Store(state)
	f.publishState(state)
}
