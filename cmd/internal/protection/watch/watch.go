// Package watch keeps in memory what protects each content group, and publishes when one
// leaves its objective (breached) and when it is within it again (restored).
//
// # What is read
//
// One ordered reader of the events stream updates a [protection.Fold] and remembers the last
// protection event of each group. It begins with the digests of the events, and writes those that
// are missing ([protection.Digester]). Each round adds the requests that wait in the queue. It reads
// as long as there are objectives. Without objectives the first [Watch.Want] begins, and a quarter
// of an hour without one ends it and frees the memory.
//
// # When a state is published
//
// Every few seconds, and soon after the end of a job, the stream's leader is asked for its time and
// its last sequence. The groups are judged as of that time, once everything up to that sequence is
// read: a promise is broken by time alone, without an event, and no clock of a replica takes part.
// While the leader does not answer, or the reader is behind, nothing is judged and [Watch.Trouble]
// has the reason.
//
// Of all replicas the one that follows jobs publishes. This keeps two replicas with different
// objectives, as during a change of the file, from contradicting each other. It is not what
// makes an event unique: each event is written by compare-and-set after the last one of its
// group ([publisher.Publisher.AppendProtection]), so two replicas that both publish write it
// once, and after a lost answer the next round finds what was stored. No event follows one that
// was judged as of a later time: between the answer of the leader and the judgement, the reader
// may have read another replica's.
//
// A group is restored by a backup, which is proven by an event later than what was missing, or
// by a change of its objective; never because old events have expired. A breach that begins and
// ends while no replica runs has no event.
//
// # Concurrency
//
// All methods may be called at any time.
package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/schemas"
)

// Objectives say what is promised for each content group.
type Objectives interface {
	// For returns what is promised for a group. ok is false if nothing is.
	For(protection.Group) (o protection.Objective, ok bool)
	// All returns all objectives.
	All() []protection.Objective
}

// Config is what a watch needs.
type Config struct {
	// Objectives returns the objectives in force. Nil: nothing is promised, and the groups are
	// only shown.
	Objectives func() Objectives
	// Publishes reports whether this replica is the one that publishes. Nil: it never does.
	Publishes func() bool
	// Published, if non-nil, is called for each event that this replica has published.
	Published func(schemas.ProtectionEvent)
	// Every is how often the groups are judged. Defaults to 10 s.
	Every time.Duration
}

const (
	// DefaultEvery is the default of [Config.Every]. A breach is to be published within a
	// minute of its limit.
	DefaultEvery = 10 * time.Second
	// idleAfter is how long a watch without objectives reads without viewers.
	idleAfter = 15 * time.Minute
	// askLimit bounds one question to the server, and the wait for what it has.
	askLimit = 5 * time.Second
	// queueBatch bounds how many waiting requests one round reads. The next round goes on.
	queueBatch = 1000
	// writeLimit bounds the writes of one round. The next round writes the rest.
	writeLimit = 20 * time.Second
	// keepLimit bounds the write of a digest, and keepPause is how long none is written after one
	// was not. The reader waits for the write.
	keepLimit = 2 * time.Second
	keepPause = 5 * time.Minute
	// againAfter is the wait before the stream is opened again after a failure.
	againAfter = time.Second
)

// Watch follows the protection of all content groups.
type Watch struct {
	cfg Config
	nc  *nats.Conn
	js  jetstream.JetStream
	pub *publisher.Publisher
	log zerolog.Logger
	// clock is this replica's. Only differences of its times are used: what a watch says and
	// publishes has the server's times.
	clock func() time.Time

	viewed atomic.Int64 // when it was last wanted, unix nanoseconds
	wake   chan struct{}
	moved  chan struct{} // the reader has read more
	ended  chan struct{} // the reader has read the end of a job

	keepAgain time.Time // when digests are written again; of the reader alone

	mu sync.Mutex
	known
}

// known is what was read and seen. The watch's mu guards it.
type known struct {
	fold *protection.Fold
	// said has the last message on the subject of each group's protection events.
	said    map[string]said
	last    uint64    // sequence of the last message that was read
	created time.Time // when the stream was made that is read
	// digester makes the digests of that stream.
	digester *protection.Digester
	queue    protection.Queue
	server   time.Time // the server's time when it was last asked, and
	asked    time.Time // when that was by our clock
	caught   chan struct{}
	trouble  error
}

// said is the last protection event of a group.
type said struct {
	sequence uint64 // of the last message on the subject, whatever it is
	event    *schemas.ProtectionEvent
}

var errReading = errors.New("the events are still being read")

// New returns a watch on a connection. [Watch.Run] makes it read.
func New(nc *nats.Conn, cfg Config, log zerolog.Logger) (*Watch, error) {
	if cfg.Every <= 0 {
		cfg.Every = DefaultEvery
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	w := &Watch{cfg: cfg, nc: nc, js: js, pub: pub, log: log, clock: time.Now, wake: make(chan struct{}, 1), moved: make(chan struct{}, 1), ended: make(chan struct{}, 1)}
	w.known = empty()
	return w, nil
}

func empty() known {
	return known{fold: protection.New(), said: make(map[string]said), caught: make(chan struct{}), trouble: errReading}
}

// Want records that a viewer needs the watch.
func (w *Watch) Want() {
	w.viewed.Store(w.clock().UnixNano())
	notify(w.wake)
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wanted reports whether the watch has to read.
func (w *Watch) wanted() bool {
	return w.cfg.Objectives != nil || w.clock().Sub(time.Unix(0, w.viewed.Load())) < idleAfter
}

// Caught waits until the groups were judged once, at most until ctx ends.
func (w *Watch) Caught(ctx context.Context) {
	w.mu.Lock()
	caught := w.caught
	w.mu.Unlock()
	select {
	case <-caught:
	case <-ctx.Done():
	}
}

// Trouble returns why the protection of the groups cannot be computed or published, nil if it
// can.
func (w *Watch) Trouble() error {
	if !w.nc.IsConnected() {
		return errors.New("NATS is not connected")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trouble
}

// Run reads while it is wanted, until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if !w.wanted() {
			select {
			case <-ctx.Done():
				return
			case <-w.wake:
			}
			continue
		}
		w.work(ctx)
		w.mu.Lock()
		w.known = empty()
		w.mu.Unlock()
	}
}

// work reads and judges until ctx ends or the watch is not wanted any more.
func (w *Watch) work(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	var reading sync.WaitGroup
	reading.Go(func() { w.read(ctx) })
	defer reading.Wait()
	defer stop()
	tick := time.NewTimer(0)
	defer tick.Stop()
	for w.wanted() {
		select {
		case <-ctx.Done():
			return
		case <-w.ended: // soon, and once for several ends
			tick.Reset(min(w.cfg.Every, againAfter))
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		case <-tick.C:
		}
		err := w.round(ctx)
		if ctx.Err() != nil {
			return
		}
		w.note(err)
		next := w.cfg.Every
		if err != nil { // soon, so that a start or an outage costs no round
			next = min(next, againAfter)
		}
		tick.Reset(next)
	}
}

// note keeps what a round came to, and logs when that changes.
func (w *Watch) note(err error) {
	w.mu.Lock()
	before := w.trouble
	w.trouble = err
	if err == nil {
		select {
		case <-w.caught:
		default:
			close(w.caught)
		}
	}
	w.mu.Unlock()
	switch {
	case err == nil && before != nil && !errors.Is(before, errReading):
		w.log.Info().Msg("the protection of content groups is computed again")
	case err != nil && before == nil:
		w.log.Warn().Err(err).Msg("the protection of content groups cannot be computed or published")
	}
}

// round judges the groups once, and publishes what has changed.
func (w *Watch) round(ctx context.Context) error {
	at, err := w.agree(ctx)
	if err != nil || w.cfg.Publishes == nil || w.cfg.Objectives == nil || !w.cfg.Publishes() {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	for _, c := range w.changes(at) {
		sequence, err := w.pub.AppendProtection(ctx, c.after, c.event)
		switch {
		case errors.Is(err, publisher.ErrConflict):
			continue // of another replica, or this one's own: the next round has read it
		case err != nil:
			return fmt.Errorf("publish that %s is %s: %w", c.group, c.event.State, err)
		}
		w.remember(c.event, sequence)
		if w.cfg.Published != nil {
			w.cfg.Published(c.event)
		}
		w.log.Info().Str("client", c.event.ClientName).Str("group", c.event.SubclientName).Str("state", string(c.event.State)).
			Str("cause", string(c.event.Cause)).Time("since", c.event.Since).Msg("the protection of a content group has changed")
	}
	return nil
}

// agree asks the leader of the stream for its time, and waits until everything that was stored
// by then is read.
func (w *Watch) agree(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	// A request leaves the queue when its outcome is an event. So the queue is read first.
	if err := w.readQueue(ctx); err != nil {
		return time.Time{}, err
	}
	asked := w.clock()
	stream, err := w.js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for stream %s: %w", publisher.EventsStream, err)
	}
	info := stream.CachedInfo()
	if info.TimeStamp.IsZero() {
		return time.Time{}, fmt.Errorf("the server does not say its time with stream %s: it needs nats-server 2.10 or later", publisher.EventsStream)
	}
	for {
		w.mu.Lock()
		last := w.last
		if w.created.Equal(info.Created) && (last >= info.State.LastSeq || info.State.Msgs == 0) {
			w.server, w.asked = info.TimeStamp, asked
			w.mu.Unlock()
			return info.TimeStamp, nil
		}
		w.mu.Unlock()
		select {
		case <-w.moved:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("%w: %d of %d", errReading, last, info.State.LastSeq)
		}
	}
}

// readQueue reads the requests that wait: their changes are exposed before an event names them.
func (w *Watch) readQueue(ctx context.Context) error {
	w.mu.Lock()
	fold, queue := w.fold, w.queue
	w.mu.Unlock()
	_, err := queue.Read(ctx, w.js, queueBatch, func(m protection.Message) {
		w.mu.Lock()
		defer w.mu.Unlock()
		fold.AddRequest(m)
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fold == fold { // the reader may have begun again
		w.queue = queue
	}
	return err
}

// remember takes over an event that this replica has published. The reader gets it too, later.
func (w *Watch) remember(e schemas.ProtectionEvent, sequence uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if subject := publisher.ProtectionSubject(e.ContentGroup); w.said[subject].sequence < sequence {
		w.said[subject] = said{sequence, &e}
	}
}
