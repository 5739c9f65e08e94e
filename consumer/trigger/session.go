package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/pull"
	"backhaul/publisher"
)

const (
	pullBatch     = 1000
	pullBytes     = 32 << 20
	pullExpiry    = 10 * time.Second
	pullHeartbeat = 2 * time.Second
	// silence is how long the server may send nothing while a pull is open.
	silence = 3 * pullHeartbeat
	// maxFlights is how many requests are made at once.
	maxFlights = 16
	// maxHeld is how many changed objects are kept in memory before no more notifications
	// are pulled. A notification may have [MaxChanges] of them.
	maxHeld  = 1_000_000
	tickTime = 500 * time.Millisecond
)

// resetSubject is the subject of JetStream's API that resets the consumer.
const resetSubject = "$JS.API.CONSUMER.RESET." + publisher.StorageStream + "." + publisher.StorageConsumer

// errGap means that a delivery of the consumer went to another client, or was lost.
var errGap = errors.New("a delivery is missing: another client reads the consumer, or it was lost; reading begins again")

// session reads notifications once: from a reset of the consumer, which redelivers every
// message that is not acknowledged in the order of the stream, until a delivery is missing,
// another replica has decided a window, or an error occurs. Its state ends with it. All
// fields belong to the goroutine of run.
type session struct {
	*Trigger
	pulls *pull.Pulls

	collection
	landings chan *flight
	slots    chan struct{}
	flying   int
	flights  sync.WaitGroup
	over     chan struct{} // closed when landings are not received any more
}

func newSession(t *Trigger) *session {
	return &session{
		Trigger: t, pulls: pull.New(t.nc, publisher.StorageStream, publisher.StorageConsumer, 2*pullBatch),
		collection: newCollection(), landings: make(chan *flight),
		slots: make(chan struct{}, maxFlights), over: make(chan struct{}),
	}
}

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
	if ctx.Err() != nil {
		_ = sub.Unsubscribe() // ends the pull, so that another replica can read
		s.drain()
	}
	cancel(errStopping)
	close(s.over)
	s.flights.Wait()
	return err
}

// reset makes the consumer begin again with the first message of the stream, which has no
// acknowledged messages.
func (s *session) reset(ctx context.Context) error {
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := s.nc.RequestWithContext(ask, resetSubject, []byte(`{"seq":1}`))
	// A server does not answer for a consumer or a subject that it does not know.
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("reset consumer %s of %s: no answer: it is not there, has no leader, the user may not publish to %s, or the server is older than 2.14",
			publisher.StorageConsumer, publisher.StorageStream, resetSubject)
	}
	if err != nil {
		return fmt.Errorf("reset consumer %s of %s: %w", publisher.StorageConsumer, publisher.StorageStream, err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.ConsumerInfo
	}
	if err := json.Unmarshal(resp.Data, &answer); err != nil {
		return fmt.Errorf("reset consumer %s of %s: %w", publisher.StorageConsumer, publisher.StorageStream, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("reset consumer %s of %s: %w", publisher.StorageConsumer, publisher.StorageStream, answer.Error)
	}
	s.offset = time.Until(answer.TimeStamp)
	s.ackWait, s.maxPending = answer.Config.AckWait, answer.Config.MaxAckPending
	if s.done.Since.IsZero() {
		s.done.Since = answer.TimeStamp.UTC()
	}
	s.observe.Activated()
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
		if wait := s.untilDue(); wait > 0 {
			due.Reset(wait)
		} else {
			s.endWindows(s.now())
			s.launch(work)
			due.Reset(min(tickTime, max(s.untilDue(), time.Millisecond)))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case msg := <-s.pulls.Incoming:
			if err := s.heard(ctx, msg); err != nil {
				return err
			}
			s.launch(work)
		case f := <-s.landings:
			s.flying--
			if err := s.landed(f); err != nil {
				return err
			}
			s.launch(work)
		case <-due.C:
		case <-touch.C:
			s.progress()
		case <-tick.C:
			s.state.Store(s.snapshot())
			s.tell()
			if s.pulls.Silent(silence) {
				return errors.New("pull: no heartbeat from the server")
			}
		}
	}
}

// drain waits for the requests that are being made, not for open windows.
func (s *session) drain() {
	timeout := time.NewTimer(s.cfg.DrainTimeout)
	defer timeout.Stop()
	for s.flying > 0 {
		select {
		case f := <-s.landings:
			s.flying--
			_ = s.landed(f)
		case <-timeout.C:
			return
		}
	}
	_ = s.nc.FlushTimeout(time.Second) // the acknowledgements
}

// launch starts a flight for the first ended window of each group.
func (s *session) launch(work context.Context) {
	for _, g := range s.ended {
		if g.flying || len(g.queue) == 0 {
			continue
		}
		g.flying = true
		s.flying++
		f := &flight{group: g, window: g.queue[0]}
		s.flights.Go(func() {
			select {
			case s.slots <- struct{}{}:
				s.ask(work, f)
				<-s.slots
			case <-work.Done():
				f.err = context.Cause(work)
			}
			select {
			case s.landings <- f:
			case <-s.over:
			}
		})
	}
	s.ended = s.ended[:0]
}

// pull sends a pull request unless one is open or too many changes are kept.
func (s *session) pull() error {
	if s.pulls.Asked > 0 || s.changes >= maxHeld {
		return nil
	}
	return s.pulls.Ask(pullBatch, fmt.Sprintf(`"max_bytes":%d,"expires":%d,"idle_heartbeat":%d`,
		pullBytes+s.nc.MaxPayload(), pullExpiry, pullHeartbeat))
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
		s.caughtUp(true)
	case pull.Ended:
	}
	return nil
}

// well notes that the server answers.
func (s *session) well() {
	s.ready.note(nil)
	if s.pullLog.Changed(nil) {
		s.log.Info().Msg("reading notifications again")
	}
}
