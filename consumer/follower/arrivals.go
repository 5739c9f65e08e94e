package follower

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/schemas"
)

// pullGap is the longest time between two pulls of arrivals. A job that was started just now has no
// news, and its message costs the server and the follower less among many others. In a burst of
// starts most messages wait on the stream until it is over.
const pullGap = time.Second

// arrivals has the messages that come in.
type arrivals struct {
	began    time.Time // of the session
	brought  time.Time // when a pull last brought a message
	old      uint64    // the last message that was stored before the session
	waiting  bool      // the server has more old messages
	checking int       // messages whose jobs are being checked
	checked  chan *arrival
}

// due reports whether messages may be pulled. Old ones are pulled without a gap.
func (a *arrivals) due(now time.Time, gap time.Duration) bool {
	return a.checking < maxArrivals && (a.waiting || now.Sub(a.brought) >= gap)
}

// arrival is a message whose jobs are checked: which of them have ended already.
type arrival struct {
	message *message
	key     publisher.Key
	jobs    []*job // afterwards those that are to be followed
	err     error
}

// loaded reports whether the jobs of an earlier reader are known.
func (a *arrivals) loaded(now time.Time) bool {
	return !a.waiting && a.checking == 0 || now.Sub(a.began) >= loadTime
}

// take begins to follow the jobs of a message. Messages are delivered in the order of the
// stream. A missing delivery ends the session.
func (s *session) take(work context.Context, msg *nats.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("message without JetStream metadata: %w", err)
	}
	again, err := s.order.Next(work, meta)
	if err != nil {
		return err
	}
	sequence := meta.Sequence.Stream
	s.arrivals.waiting = meta.NumPending > 0 && sequence < s.arrivals.old
	s.arrivals.brought = time.Now()
	if again {
		if m := s.book.messages[sequence]; m != nil {
			m.reply, m.touched = msg.Reply, time.Now()
		} else if s.arrivals.checking == 0 {
			s.settle(msg.Reply, "+ACK") // an earlier acknowledgement was lost
		}
		return nil
	}
	a, err := read(msg, meta.Timestamp)
	if err != nil {
		s.follower.log.Warn().Err(err).Uint64("sequence", sequence).Str("subject", msg.Subject).Msg("an event without a job that can be followed")
		s.settle(msg.Reply, "+ACK")
		return nil
	}
	a.message.sequence = sequence
	if sequence > s.arrivals.old {
		s.follow(a)
		return nil
	}
	s.arrivals.checking++
	s.flights.running.Go(func() {
		select {
		case s.flights.slots <- struct{}{}:
			a.err = s.check(work, a)
			<-s.flights.slots
		case <-work.Done():
			a.err = context.Cause(work)
		}
		select {
		case s.arrivals.checked <- a:
		case <-s.flights.over:
		}
	})
	return nil
}

// read returns the jobs of an event job-started.
func read(msg *nats.Msg, stored time.Time) (*arrival, error) {
	key, e, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data)
	if err != nil {
		return nil, err
	}
	started, ok := e.(*schemas.JobStarted)
	if !ok {
		return nil, fmt.Errorf("an event %s is not about a job", e.Kind())
	}
	m := &message{reply: msg.Reply, touched: time.Now()}
	a := &arrival{message: m, key: key}
	at := startOf(started.StartedAt, stored, m.touched)
	seen := make(map[string]bool)
	for _, id := range append([]string{started.JobID}, started.JobIDs...) {
		if !seen[id] && publisher.IsJobID(id) {
			a.jobs = append(a.jobs, &job{id: id, of: m, started: at})
		}
		seen[id] = true
	}
	if len(a.jobs) == 0 {
		return nil, fmt.Errorf("the event names no job")
	}
	return a, nil
}

// startOf returns when a job was started, which must not be later than it was by our clock: what
// ended before the first list would not be looked for. The clocks of the replica that started it
// and of the server may differ from ours. The start is not much earlier than it was stored, or the
// job would be given up at once; lists do not reach back further anyway.
func startOf(said, stored, now time.Time) time.Time {
	if stored.After(now) {
		stored = now
	}
	switch {
	case said.IsZero() || said.After(stored):
		return stored
	case said.Before(stored.Add(-maxGap)):
		return stored.Add(-maxGap)
	}
	return said
}

// check leaves the jobs that have not ended by what is stored, with what is known about them.
func (s *session) check(ctx context.Context, a *arrival) error {
	var open []*job
	for _, j := range a.jobs {
		st, err := s.stored(ctx, a.key, j.id)
		if err != nil {
			return err
		}
		if st.over {
			continue
		}
		j.last, j.told, j.reason = st.sequence, st.state, st.reason
		open = append(open, j)
	}
	a.jobs = open
	return nil
}

// checked takes over the result of a check.
func (s *session) checked(a *arrival) error {
	s.arrivals.checking--
	if a.err != nil {
		return a.err
	}
	if len(a.jobs) == 0 {
		s.settle(a.message.reply, "+ACK")
		return nil
	}
	s.follow(a)
	return nil
}

// follow adds the jobs of a message to the book.
func (s *session) follow(a *arrival) {
	for _, j := range a.jobs {
		s.book.add(j)
	}
	if time.Since(a.jobs[0].started) < young {
		s.follower.pace.quicken()
	}
}
