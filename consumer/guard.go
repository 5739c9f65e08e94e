package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/news"
	"backhaul/publisher"
)

const (
	// guardInterval is how often the ledger is compared with what is known of it.
	guardInterval = time.Second
	// guardRetry is the wait after a comparison that had no good end.
	guardRetry = 100 * time.Millisecond
	// guardTimeout bounds one comparison.
	guardTimeout = 2 * time.Second
	// guardBind is how long the mark's stream is not asked for after it could not be had.
	guardBind = time.Minute
	// suspicion is how long a difference must last: a server that has lost its leadership
	// and does not know it yet answers with what was true before.
	suspicion        = 500 * time.Millisecond
	suspicionCluster = 15 * time.Second
)

// A LedgerError says that the events stream is not the ledger that the service knows,
// or that it forgets what it must keep. Nothing is claimed then.
type LedgerError struct{ Err error }

func (e *LedgerError) Error() string { return "the ledger cannot be relied on: " + e.Err.Error() }
func (e *LedgerError) Unwrap() error { return e.Err }

// recoverHint is the way out.
const recoverHint = "nothing is claimed; run `backhaul recover` (deploy/RUNBOOK.md, BackhaulLedgerNotKnown)"

// errUnverified: the ledger was not compared since the connection was made.
var errUnverified = errors.New("the ledger is not yet verified on this connection")

// errForgotten: the ledger does not have the claim any more, or goes back.
var errForgotten = errors.New("the ledger has forgotten what was written to it")

// guard compares the ledger with what is known of it: at the start, after each
// reconnect, and once a second. What is known is kept in the stream BACKUP_MARK, so
// that it outlives the ledger and the process. Where there is no such stream, it
// is only in memory. A nil guard allows everything.
type guard struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	pub    *publisher.Publisher
	events jetstream.Stream
	log    zerolog.Logger
	// measure is told of each state of the ledger that was read; nil for nobody.
	measure func(*jetstream.StreamInfo)

	// high is the highest sequence that was seen in the ledger, and era how often
	// another ledger was accepted.
	high, era atomic.Uint64
	// verified is the connection on which the ledger was last found to be the known one.
	verified atomic.Uint64
	lost     atomic.Pointer[LedgerError] // only Recover takes it back
	forgets  atomic.Pointer[LedgerError] // the stream's settings
	unkept   atomic.Pointer[error]       // why nothing is kept in BACKUP_MARK
	unsure   atomic.Pointer[error]       // why the ledger could not be compared
	wake     chan struct{}

	// Of the goroutine that compares.
	marks     jetstream.Stream // nil until it could be bound to
	boundAt   time.Time        // when that was tried last
	known     publisher.Mark
	kept      publisher.Mark // as it is in BACKUP_MARK
	sequence  uint64         // of that message
	suspected time.Time      // since when the ledger differs, zero if it does not
	trouble   news.Teller
	keeping   news.Teller
}

func newGuard(nc *nats.Conn, js jetstream.JetStream, pub *publisher.Publisher, events jetstream.Stream, log zerolog.Logger) *guard {
	return &guard{nc: nc, js: js, pub: pub, events: events, log: log, wake: make(chan struct{}, 1)}
}

// err returns why nothing may be claimed, nil if it may.
func (g *guard) err() error {
	switch {
	case g == nil:
		return nil
	case g.lost.Load() != nil:
		return g.lost.Load()
	case g.forgets.Load() != nil:
		return g.forgets.Load()
	case g.verified.Load() != g.connection():
		g.compareSoon()
		return errUnverified
	}
	return nil
}

// condition returns what is to be told about the ledger, nil if all is well.
func (g *guard) condition() error {
	if err := g.err(); err != nil && !errors.Is(err, errUnverified) {
		return err
	}
	for _, told := range []*error{g.unsure.Load(), g.unkept.Load()} {
		if told != nil {
			return *told
		}
	}
	return nil
}

// connection counts the connections that were made, from 1 on.
func (g *guard) connection() uint64 { return g.nc.Stats().Reconnects + 1 }

func (g *guard) compareSoon() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// sighting is how far the ledger was seen at a moment.
type sighting struct{ high, era uint64 }

// seen returns how far the ledger was seen, to be compared with the sequence of a write
// that begins now.
func (g *guard) seen() sighting {
	if g == nil {
		return sighting{}
	}
	era := g.era.Load()
	return sighting{high: g.high.Load(), era: era}
}

// wrote takes note of the sequence of a write that began after before. A lower one is
// proof that the ledger has lost events: it returns errForgotten.
func (g *guard) wrote(before sighting, sequence uint64) error {
	switch {
	case g == nil, before.era != g.era.Load():
		return nil
	case sequence <= before.high:
		g.lose(fmt.Errorf("a write to stream %s got sequence %d after %d was seen", publisher.EventsStream, sequence, before.high))
		return errForgotten
	}
	g.raise(sequence)
	return nil
}

func (g *guard) raise(sequence uint64) {
	for high := g.high.Load(); sequence > high && !g.high.CompareAndSwap(high, sequence); high = g.high.Load() {
	}
}

// missed is called when a claim is not in the ledger any more.
func (g *guard) missed() {
	if g != nil {
		g.verified.Store(0)
		g.compareSoon()
	}
}

func (g *guard) lose(why error) {
	err := &LedgerError{why}
	if g.lost.CompareAndSwap(nil, err) {
		g.compareSoon()
	}
}

// run compares until ctx ends.
func (g *guard) run(ctx context.Context) {
	for {
		wait := guardInterval
		if err := g.err(); errors.Is(err, errUnverified) {
			wait = guardRetry
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-g.wake:
			timer.Stop()
			if !sleep(ctx, guardRetry/5) { // many ask for it at once
				return
			}
		case <-ctx.Done():
			timer.Stop()
			return
		}
		g.compare(ctx)
	}
}

// compare compares the ledger once with what is known of it.
func (g *guard) compare(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	err := g.check(short)
	if ctx.Err() != nil {
		return
	}
	g.unsure.Store(nil)
	if err != nil {
		g.unsure.Store(&err)
	}
	if !g.trouble.Changed(err) {
		return
	}
	_, lost := errors.AsType[*LedgerError](err)
	switch {
	case lost:
		g.log.Error().Err(err).Msg(recoverHint)
	case err != nil:
		g.log.Warn().Err(err).Msg("cannot compare the ledger with what is known of it")
	default:
		g.log.Info().Msg("the ledger is relied on again")
	}
}

// look compares; the error is a [*LedgerError], or says why it could not.
func (g *guard) check(ctx context.Context) error {
	// In this order: what is seen or kept in between is in the state that is read last.
	if err := g.bind(ctx); err != nil {
		return err
	}
	if lost := g.lost.Load(); lost != nil || !g.suspected.IsZero() {
		if accepted, err := g.accepted(ctx); err != nil || !accepted && lost != nil {
			return errors.Join(err, lostError(lost))
		}
	}
	connection, high := g.connection(), g.high.Load()
	g.known.Last = max(g.known.Last, high)
	info, err := g.events.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", publisher.EventsStream, err)
	}
	if g.measure != nil {
		g.measure(info)
	}
	why := g.known.Differs(info)
	if why == nil && g.verified.Load() != connection { // a running server does not lose events
		if why, err = g.known.Replaced(ctx, g.events, info); err != nil {
			return err
		}
	}
	if why != nil {
		return g.suspect(ctx, info, why)
	}
	g.suspected = time.Time{}
	if why := Forgets(info.Config); why != nil {
		g.forgets.Store(&LedgerError{why})
		return g.forgets.Load()
	}
	g.forgets.Store(nil)
	g.known = publisher.MarkOf(info)
	g.raise(g.known.Last)
	g.verified.Store(connection)
	g.keep(ctx)
	return nil
}

// suspect holds everything while the ledger differs, and takes it for lost when that lasts.
func (g *guard) suspect(ctx context.Context, info *jetstream.StreamInfo, why error) error {
	g.verified.Store(0)
	if g.suspected.IsZero() {
		g.suspected = time.Now()
	}
	lasts := suspicion
	if info.Config.Replicas > 1 {
		lasts = suspicionCluster
	}
	if g.known.Forgot == "" && time.Since(g.suspected) < lasts {
		return fmt.Errorf("is compared again: %w", why)
	}
	g.lose(why)
	g.keepLost(ctx)
	return g.lost.Load()
}

// lostError is nil where nothing is lost.
func lostError(lost *LedgerError) error {
	if lost == nil {
		return nil
	}
	return lost
}
