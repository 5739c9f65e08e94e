package trigger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/consumer/internal/pull"
	"backhaul/consumer/internal/reader"
)

const (
	// maxFlights is how many requests are made at once.
	maxFlights = 16
	// maxHeld is how many changed objects are kept in memory before no more notifications
	// are pulled. A notification may have [MaxChanges] of them.
	maxHeld  = 1_000_000
	tickTime = 500 * time.Millisecond
)

// session reads notifications once: from a reset of the consumer, which redelivers every
// message that is not acknowledged in the order of the stream, until a delivery is missing,
// another replica has decided a window, or an error occurs. Its state ends with it. All
// fields belong to the goroutine of run.
type session struct {
	trigger   *Trigger
	routes    *Routes
	pulls     *pull.Pulls
	order     reader.Order
	collected collection
	flights   flights

	// The settings of the consumer.
	ackWait    time.Duration
	maxPending int
}

func newSession(t *Trigger) *session {
	s := &session{
		trigger: t, routes: t.routes.Load(), pulls: durable.Pulls(t.nc), order: durable.Order(t.js, ">"),
		collected: newCollection(),
		flights:   flights{landings: make(chan *flight), over: make(chan struct{})},
	}
	s.collected.holdFor = t.cfg.HoldFor
	return s
}

// errRoutes ends a session because the routes were changed.
var errRoutes = errors.New("the routes were changed")

// run reads until ctx or the session ends.
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
	if ctx.Err() != nil || errors.Is(err, errRoutes) {
		_ = sub.Unsubscribe() // ends the pull, so that another replica can read
		s.drain()
	}
	cancel(reader.ErrStopping)
	close(s.flights.over)
	s.flights.running.Wait()
	return err
}

// reset makes the consumer begin again with the first message of the stream, which has no
// acknowledged messages.
func (s *session) reset(ctx context.Context) error {
	answer, err := durable.Reset(ctx, s.trigger.nc, 1)
	if err != nil {
		return err
	}
	s.collected.offset = time.Until(answer.TimeStamp)
	s.ackWait, s.maxPending = answer.Config.AckWait, answer.Config.MaxAckPending
	if s.trigger.done.Since.IsZero() {
		s.trigger.done.Since = answer.TimeStamp.UTC()
	}
	s.trigger.observe.Activated()
	return nil
}

// loop owns the windows until ctx ends or an error occurs.
func (s *session) loop(ctx, work context.Context) error {
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	touch := time.NewTicker(max(s.ackWait/4, tickTime))
	defer touch.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		if err := s.pull(); err != nil {
			return err
		}
		if wait := s.collected.untilDue(); wait > 0 {
			due.Reset(wait)
		} else {
			s.collected.endWindows(s.collected.now())
			s.launch(work)
			due.Reset(min(tickTime, max(s.collected.untilDue(), time.Millisecond)))
		}
		s.relieve() // what is held may be all that fits
		s.launch(work)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.trigger.changed:
			if s.trigger.routes.Load() != s.routes {
				return errRoutes
			}
		case msg := <-s.pulls.Incoming:
			if err := s.heard(ctx, msg); err != nil {
				return err
			}
			s.launch(work)
		case f := <-s.flights.landings:
			s.flights.flying--
			if err := s.landed(f); err != nil {
				return err
			}
			s.launch(work)
		case <-due.C:
		case <-touch.C:
			s.progress()
		case <-tick.C:
			s.trigger.state.Store(s.snapshot())
			s.trigger.tell()
			s.trigger.logUnrouted(time.Now())
			if err := reader.Silent(s.pulls); err != nil {
				return err
			}
		}
	}
}

// drain waits for the requests that are being made, not for open windows.
func (s *session) drain() {
	timeout := time.NewTimer(s.trigger.cfg.DrainTimeout)
	defer timeout.Stop()
	for s.flights.flying > 0 {
		select {
		case f := <-s.flights.landings:
			s.flights.flying--
			_ = s.landed(f)
		case <-timeout.C:
			return
		}
	}
	_ = s.trigger.nc.FlushTimeout(time.Second) // the acknowledgements
}

// launch starts flights for the first ended window of groups, then for looks, at most maxFlights at
// once.
func (s *session) launch(work context.Context) {
	for len(s.collected.ended) > 0 && s.flights.flying < maxFlights {
		g := s.collected.ended[0]
		s.collected.ended[0], s.collected.ended = nil, s.collected.ended[1:]
		if g.flying || len(g.queue) == 0 {
			continue
		}
		if g.held() {
			s.collected.expect(s.collected.now()) // the windows that are ended next begin with a look
			continue
		}
		g.flying = true
		s.fly(&flight{group: g, window: g.queue[0]}, func(f *flight) { s.ask(work, f) })
	}
	for len(s.collected.looks) > 0 && s.flights.flying < maxFlights {
		g := s.collected.looks[0]
		s.collected.looks[0], s.collected.looks = nil, s.collected.looks[1:]
		s.fly(&flight{group: g, look: &look{asked: g.hold.asked, since: g.hold.since}}, func(f *flight) { s.look(work, f) })
	}
}

// fly begins a flight, which lands in the loop.
func (s *session) fly(f *flight, do func(*flight)) {
	s.flights.flying++
	s.flights.running.Go(func() {
		do(f)
		select {
		case s.flights.landings <- f:
		case <-s.flights.over:
		}
	})
}

// pull sends a pull request unless one is open or too many changes are kept.
func (s *session) pull() error {
	if s.pulls.Asked > 0 || s.collected.changes >= maxHeld {
		return nil
	}
	s.order.Pulled()
	return reader.Ask(s.pulls, s.trigger.nc)
}

// heard handles an answer to the pull.
func (s *session) heard(ctx context.Context, msg *nats.Msg) error {
	answer, err := s.pulls.Heard(msg)
	if err != nil {
		return err
	}
	s.well()
	switch answer {
	case pull.Message:
		return s.take(ctx, msg)
	case pull.Heartbeat:
		s.collected.caughtUp(true)
	case pull.Ended:
	}
	return nil
}

// well notes that the server answers.
func (s *session) well() {
	s.trigger.ready.Note(nil)
	if s.trigger.pullLog.Changed(nil) {
		s.trigger.log.Info().Msg("reading notifications again")
	}
}
