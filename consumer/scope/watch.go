package scope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/logonce"
	"backhaul/publisher"
	"backhaul/schemas"
)

const (
	// Interval is how often a replica reads the list.
	Interval = time.Second
	// watchTimeout bounds one reading.
	watchTimeout = 5 * time.Second
)

// Watch has the paused scopes as this process knows them. Without a connection it keeps what it
// knows; each pause ends at its time nevertheless. It is safe for concurrent use. A nil Watch knows
// of no pause.
type Watch struct {
	events jetstream.Stream
	log    zerolog.Logger

	view atomic.Pointer[view]
	// The fields below belong to the goroutine of Run.
	list    []byte // as it was read last
	trouble logonce.Last
}

// view is the paused scopes at one moment.
type view struct {
	pauses []watched
	// version counts the changes.
	version uint64
	// unread is why the list could not be read; nil if it could.
	unread error
}

// watched is a pause and its end by this process's monotonic clock.
type watched struct {
	Pause
	ends time.Time
}

// NewWatch returns a watch that knows of the pauses on record. events must be a handle of its own.
func NewWatch(ctx context.Context, events jetstream.Stream, log zerolog.Logger) (*Watch, error) {
	w := &Watch{events: events, log: log}
	w.view.Store(&view{})
	pauses, err := w.read(ctx)
	if err != nil {
		return nil, err
	}
	w.show(pauses, nil)
	return w, nil
}

// Run keeps the pauses up to date until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.Refresh(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// errAway replaces the client's words for a question that cannot be sent.
var errAway = errors.New("NATS is not connected")

// isAway reports whether a question was not sent because there is no connection.
func isAway(err error) bool {
	return errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrConnectionClosed)
}

// Refresh reads the list and forgets the pauses that have ended. It must not be called while Run runs.
func (w *Watch) Refresh(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	pauses, err := w.read(short)
	if ctx.Err() != nil {
		return
	}
	if isAway(err) {
		err = errAway
	}
	if w.trouble.Changed(err) && err != nil {
		w.log.Warn().Err(err).Msg("cannot read which scopes are paused; those that are known stay paused until their time")
	}
	if err != nil {
		pauses = w.view.Load().pauses
	}
	now := time.Now()
	w.show(slices.DeleteFunc(slices.Clone(pauses), func(p watched) bool { return !p.ends.After(now) }), err)
}

// read returns the pauses of the list on record. It reads the clock only if the list has changed.
func (w *Watch) read(ctx context.Context) ([]watched, error) {
	data, sequence, err := publisher.LastPauses(ctx, w.events)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(data, w.list) {
		return w.view.Load().pauses, nil
	}
	list, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("message %d on %s cannot be read, pause or resume a scope to replace it: %w", sequence, publisher.PausesSubject, err)
	}
	before := time.Now()
	info, err := w.events.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the server's clock: %w", err)
	}
	pauses := make([]watched, 0, len(list))
	for _, p := range inForce(list, info.TimeStamp) {
		pauses = append(pauses, watched{p, before.Add(p.Until.Sub(info.TimeStamp))})
	}
	w.list = data
	return pauses, nil
}

// show makes pauses those that are known, and logs what has changed.
func (w *Watch) show(pauses []watched, unread error) {
	before := w.view.Load()
	next := &view{pauses: pauses, version: before.version, unread: unread}
	if !slices.EqualFunc(before.pauses, pauses, func(a, b watched) bool { return a.OperationID == b.OperationID && a.Is(b.Scope) }) {
		next.version++
		w.logChange(before.pauses, pauses)
	}
	w.view.Store(next)
}

func (w *Watch) logChange(before, now []watched) {
	has := func(all []watched, p watched) bool {
		return slices.ContainsFunc(all, func(other watched) bool { return other.Is(p.Scope) })
	}
	for _, p := range now {
		if !has(before, p) {
			w.log.Warn().Msgf("%s", p)
		}
	}
	for _, p := range before {
		if !has(now, p) {
			w.log.Info().Msgf("%s is paused no longer", p.Scope)
		}
	}
}

// Of returns the pause that a request of a source is in, nil if there is none.
func (w *Watch) Of(source string, r *schemas.BackupRequest) *Pause {
	if w == nil {
		return nil
	}
	for _, p := range w.view.Load().pauses {
		if p.Has(source, r.ClientName, r.SubclientName) {
			return &p.Pause
		}
	}
	return nil
}

// Version returns a number that is another one after each change, and whether a scope is paused.
func (w *Watch) Version() (version uint64, paused bool) {
	if w == nil {
		return 0, false
	}
	v := w.view.Load()
	return v.version, len(v.pauses) > 0
}

// Pauses returns the pauses in force.
func (w *Watch) Pauses() (all []Pause) {
	for _, p := range w.view.Load().pauses {
		all = append(all, p.Pause)
	}
	return all
}

// Trouble returns why the list cannot be read, nil if it can.
func (w *Watch) Trouble() error { return w.view.Load().unread }
