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

	"backhaul/consumer/internal/pull"
	"backhaul/consumer/internal/sleep"
	"backhaul/consumer/logonce"
	"backhaul/publisher"
)

const (
	// guardInterval is how often the ledger is compared with its mark.
	guardInterval = time.Second
	// guardRetry is the wait after a comparison that failed.
	guardRetry = 100 * time.Millisecond
	// guardTimeout bounds one comparison.
	guardTimeout = 2 * time.Second
	// guardBind is the wait before the mark's stream is asked for again after a failure.
	guardBind = time.Minute
	// guardProbe is how often the mark is written again if it has not changed.
	guardProbe = 30 * time.Second
	// guardFull is how often it is written while the server's storage is used up.
	guardFull = 5 * time.Second
	// suspicion is how long a difference must last before the ledger counts as lost: a
	// former leader that has not noticed yet answers with an old state.
	suspicion        = 500 * time.Millisecond
	suspicionCluster = 15 * time.Second
)

// A LedgerError reports that the events stream is not the ledger that the service knows,
// or that its settings remove events that the ledger needs. Nothing is claimed then.
type LedgerError struct{ Err error }

func (e *LedgerError) Error() string { return "the ledger cannot be relied on: " + e.Err.Error() }
func (e *LedgerError) Unwrap() error { return e.Err }

// recoverHint is logged when the ledger is lost.
const recoverHint = "nothing is claimed; run `backhaul recover` (deploy/RUNBOOK.md, BackhaulLedgerNotKnown)"

// errUnverified is returned until the ledger was compared on the current connection.
var errUnverified = errors.New("the ledger is not yet verified on this connection")

// errForgotten is returned if the ledger no longer has a claim, or if its sequence has
// decreased.
var errForgotten = errors.New("the ledger has forgotten what was written to it")

// guard compares the ledger with its mark: at the start, after each reconnect, and once a
// second. The mark is kept in the stream BACKUP_MARK, so that it outlives the ledger and
// the process. Without that stream it is only in memory. A nil guard allows everything.
type guard struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	pub    *publisher.Publisher
	events jetstream.Stream
	log    zerolog.Logger
	// measure, if non-nil, is called with each state of the ledger that was read.
	measure func(*jetstream.StreamInfo)
	// stored, if non-nil, is called with the result of each write of the mark.
	stored func(error)

	// high is the highest sequence seen in the ledger. era counts how often another
	// ledger was accepted.
	high, era atomic.Uint64
	// verified is the number of the connection on which the ledger was last verified.
	verified atomic.Uint64
	lost     atomic.Pointer[LedgerError] // set until Recover has accepted the ledger
	forgets  atomic.Pointer[LedgerError] // the stream's settings remove events
	unkept   atomic.Pointer[error]       // why the mark is not kept in BACKUP_MARK
	unsure   atomic.Pointer[error]       // why the ledger could not be compared
	wake     chan struct{}

	// The fields below belong to the goroutine of run.
	marks     jetstream.Stream // nil until bound
	boundAt   time.Time        // when binding was last tried
	probedAt  time.Time        // when the mark was last written
	full      bool             // the server had no storage for it
	known     publisher.Mark
	kept      publisher.Mark // the mark in BACKUP_MARK
	sequence  uint64         // of the message with the kept mark
	suspected time.Time      // since when the ledger differs, zero if it does not
	trouble   logonce.Last
	keeping   logonce.Last
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

// condition returns the problem to report about the ledger, nil if there is none.
func (g *guard) condition() error {
	if err := g.err(); err != nil && !errors.Is(err, errUnverified) {
		return err
	}
	for _, problem := range []*error{g.unsure.Load(), g.unkept.Load()} {
		if problem != nil {
			return *problem
		}
	}
	return nil
}

// connection returns the number of the current connection. The first is 1.
func (g *guard) connection() uint64 { return g.nc.Stats().Reconnects + 1 }

// compareSoon makes run compare the ledger without waiting for the interval.
func (g *guard) compareSoon() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// sighting is the highest sequence seen at one moment.
type sighting struct{ high, era uint64 }

// seen returns the highest sequence so far, for the comparison with the sequence of a write
// that begins now.
func (g *guard) seen() sighting {
	if g == nil {
		return sighting{}
	}
	era := g.era.Load()
	return sighting{high: g.high.Load(), era: era}
}

// wrote records the sequence of a write that began after before. It returns errForgotten if
// the sequence is not higher: then the ledger has lost events.
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

// raise raises the highest sequence.
func (g *guard) raise(sequence uint64) {
	for high := g.high.Load(); sequence > high && !g.high.CompareAndSwap(high, sequence); high = g.high.Load() {
	}
}

// missed makes the ledger be compared again. It is called when a claim is no longer in it.
func (g *guard) missed() {
	if g != nil {
		g.verified.Store(0)
		g.compareSoon()
	}
}

// lose records that the ledger is lost, and why.
func (g *guard) lose(why error) {
	err := &LedgerError{why}
	if g.lost.CompareAndSwap(nil, err) {
		g.compareSoon()
	}
}

// run compares the ledger with its mark until ctx ends.
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
			if !sleep.For(ctx, guardRetry/5) { // one comparison for many callers
				return
			}
		case <-ctx.Done():
			timer.Stop()
			return
		}
		g.compare(ctx)
	}
}

// compare compares the ledger with its mark once, and logs a change of the result.
func (g *guard) compare(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	err := g.check(short)
	if ctx.Err() != nil {
		return
	}
	_, lost := errors.AsType[*LedgerError](err)
	if down := pull.Connected(g.nc); err != nil && !lost && down != nil {
		err = down
	}
	g.unsure.Store(nil)
	if err != nil {
		g.unsure.Store(&err)
	}
	if !g.trouble.Changed(err) {
		return
	}
	switch {
	case lost:
		g.log.Error().Err(err).Msg(recoverHint)
	case err != nil:
		g.log.Warn().Err(err).Msg("cannot compare the ledger with what is known of it")
	default:
		g.log.Info().Msg("the ledger is relied on again")
	}
}

// check compares the ledger with its mark. The error is a [*LedgerError], or why the ledger
// could not be compared.
func (g *guard) check(ctx context.Context) error {
	// The state is read last, so that it has what was seen or kept in between.
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
	g.probe(ctx)
	return nil
}

// suspect stops claims while the ledger differs. If the difference lasts, the ledger is lost.
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
		return fmt.Errorf("the ledger differs and is compared again: %w", why)
	}
	g.lose(why)
	g.keepLost(ctx)
	return g.lost.Load()
}

// lostError returns lost as an error that is nil if lost is.
func lostError(lost *LedgerError) error {
	if lost == nil {
		return nil
	}
	return lost
}
