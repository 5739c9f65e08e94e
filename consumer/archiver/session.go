package archiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/pull"
	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
)

const (
	// maxBatch and maxBytes bound what is kept and signed at once.
	maxBatch = 4096
	maxBytes = 8 << 20
	tickTime = 500 * time.Millisecond
	// appendTimeout bounds how long keeping a batch may take: a bucket that answers nothing is
	// an error then.
	appendTimeout = 2 * time.Minute
	// drainTimeout bounds how long a stop waits for it.
	drainTimeout = 10 * time.Second
)

// session archives once: from the place where the archive ends, until a delivery is missing,
// another replica reads, or an error occurs. All fields belong to the goroutine of run.
type session struct {
	*Archiver
	archive Log
	pulls   *pull.Pulls

	begin     *publisher.Place // to be written before the first message, nil if it was
	next      uint64           // the sequence that is expected next
	delivered uint64           // consumer sequence of the last delivery
	batch     batch
	flying    *batch // being appended, nil if none is
	landed    chan error
	pending   uint64 // how many messages the stream has behind the batch
	archived  bool   // something was appended
}

// batch is what is appended at once.
type batch struct {
	messages []jetstream.RawStreamMsg
	bytes    int64
	since    time.Time // when the first message came
	reply    string    // of the last message: its acknowledgement is one of all
	// sealable reports whether there is more in it than checkpoints.
	sealable bool
}

func newSession(a *Archiver) *session {
	return &session{Archiver: a, pulls: durable.Pulls(a.nc), landed: make(chan error, 1)}
}

// run archives until ctx or the session ends.
func (s *session) run(ctx context.Context) (err error) {
	if s.archive, err = s.cfg.Open(ctx); err != nil {
		return err
	}
	defer s.archive.Close()
	sub, err := s.pulls.Subscribe()
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.start(ctx); err != nil {
		return err
	}
	// A stop does not tear what is being written, and waits for it.
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(reader.ErrStopping)
	err = s.loop(ctx, work)
	_ = sub.Unsubscribe() // ends the pull, so that another replica can read
	s.drain(cancel)
	return err
}

// start finds out where to begin, and makes the consumer begin there.
func (s *session) start(ctx context.Context) error {
	ask, cancel := context.WithTimeout(ctx, reader.AskTimeout)
	defer cancel()
	events, err := s.js.Stream(ask, publisher.EventsStream)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", publisher.EventsStream, err)
	}
	if s.begin, err = s.compare(ask, events.CachedInfo()); err != nil {
		return err
	}
	s.next = s.archive.Place().Next
	if s.begin != nil {
		s.next = s.begin.Next
	}
	if _, err = durable.Reset(ctx, s.nc, s.next); err != nil {
		return err
	}
	s.seal.begin(s.archive)
	s.tell()
	s.ready.Note(nil)
	s.log.Info().Uint64("sequence", s.next).Msg("archiving events")
	return nil
}

// loop owns the batch until ctx ends or an error occurs.
func (s *session) loop(ctx, work context.Context) error {
	tick := time.NewTicker(min(tickTime, s.cfg.Every))
	defer tick.Stop()
	for {
		if s.pulls.Asked == 0 && s.batch.bytes < maxBytes && len(s.batch.messages) < maxBatch {
			if err := reader.Ask(s.pulls, s.nc); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case msg := <-s.pulls.Incoming:
			if err := s.heard(ctx, msg); err != nil {
				return err
			}
		case err := <-s.landed:
			if err := s.settle(err); err != nil {
				return err
			}
		case <-tick.C:
			s.seal.maybe(work, s)
			if err := reader.Silent(s.pulls); err != nil {
				return err
			}
		}
		s.launch(work)
	}
}

// heard handles an answer to the pull.
func (s *session) heard(ctx context.Context, msg *nats.Msg) error {
	answer, err := s.pulls.Heard(msg)
	if err != nil {
		return err
	}
	s.readLog.Changed(nil)
	if answer != pull.Message {
		return nil
	}
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("message without JetStream metadata: %w", err)
	}
	if meta.Sequence.Consumer != s.delivered+1 {
		return reader.ErrGap
	}
	s.delivered = meta.Sequence.Consumer
	return s.take(ctx, msg, meta)
}

// errBehind is a consumer that leaves messages out which the stream's leader has.
var errBehind = errors.New("the consumer leaves out messages that the leader of the stream has")

// take adds a message to the batch.
func (s *session) take(ctx context.Context, msg *nats.Msg, meta *nats.MsgMetadata) error {
	sequence := meta.Sequence.Stream
	if sequence < s.next {
		if sequence < s.archive.Place().Next && s.flying == nil {
			_ = s.nc.Publish(msg.Reply, ack) // an earlier acknowledgement was lost
		}
		return nil
	}
	if sequence > s.next {
		if err := s.confirmGap(ctx, sequence); err != nil {
			return err
		}
	}
	if len(s.batch.messages) == 0 {
		s.batch.since = time.Now()
	}
	s.batch.messages = append(s.batch.messages, jetstream.RawStreamMsg{
		Subject: msg.Subject, Sequence: sequence, Header: msg.Header, Data: msg.Data, Time: meta.Timestamp,
	})
	s.batch.bytes += int64(msg.Size())
	s.batch.reply = msg.Reply
	s.batch.sealable = s.batch.sealable || !sealed(msg.Subject)
	s.next = sequence + 1
	s.pending = meta.NumPending
	s.tell()
	return nil
}

// confirmGap asks the stream's leader whether it has the messages before a sequence: a gap is
// for ever.
func (s *session) confirmGap(ctx context.Context, sequence uint64) error {
	ask, cancel := context.WithTimeout(ctx, reader.AskTimeout)
	defer cancel()
	next, err := lookUp(ask, s.nc, s.next, true)
	if err != nil {
		return fmt.Errorf("read the message behind a gap at %d: %w", s.next, err)
	}
	if next.Sequence != sequence {
		return fmt.Errorf("%w: %d", errBehind, next.Sequence)
	}
	s.cfg.Observer.Gap(sequence - s.next)
	s.log.Warn().Uint64("first", s.next).Uint64("last", sequence-1).Msg("the stream no longer has these events, which are not in the archive: they become a gap")
	return nil
}

// launch begins to append the batch if it is full or has waited long enough.
func (s *session) launch(work context.Context) {
	b := s.batch
	if s.flying != nil || len(b.messages) == 0 || len(b.messages) < maxBatch && b.bytes < maxBytes && time.Since(b.since) < s.cfg.Every {
		return
	}
	s.flying, s.batch = &b, batch{}
	begin := s.begin
	go func() {
		ctx, cancel := context.WithTimeout(work, appendTimeout)
		defer cancel()
		began := time.Now()
		err := s.archive.Append(ctx, begin, b.messages)
		if err == nil {
			s.cfg.Observer.Archived(len(b.messages), b.bytes, time.Since(began))
		}
		s.landed <- err
	}()
}

var ack = []byte("+ACK")

// settle acknowledges what was appended.
func (s *session) settle(err error) error {
	b := s.flying
	s.flying = nil
	if err != nil {
		return err
	}
	s.begin, s.archived = nil, true
	s.ready.Note(nil)
	s.seal.appended(b)
	state := s.State()
	state.Until, state.Signed = b.messages[len(b.messages)-1].Time, time.Now()
	s.state.Store(&state)
	s.tell()
	// A lost one is made up for by the next one, or when the message is delivered again.
	return s.nc.Publish(b.reply, ack)
}

// drain waits for what is being appended.
func (s *session) drain(cancel context.CancelCauseFunc) {
	if s.flying == nil {
		return
	}
	timeout := time.NewTimer(drainTimeout)
	defer timeout.Stop()
	select {
	case err := <-s.landed:
		_ = s.settle(err)
		_ = s.nc.FlushTimeout(time.Second)
	case <-timeout.C:
		cancel(reader.ErrStopping)
		<-s.landed // nothing may be written when the archive is closed
	}
}

// tell updates the state.
func (s *session) tell() {
	state := s.State()
	state.Active, state.Lag = true, s.pending+uint64(len(s.batch.messages))
	if s.flying != nil {
		state.Lag += uint64(len(s.flying.messages))
	}
	if state.Until.IsZero() && s.flying == nil {
		if last := s.archive.Last(); last != nil {
			state.Until = last.Time
		}
	}
	s.state.Store(&state)
}
