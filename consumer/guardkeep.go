package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// bind reads the kept mark, once. It returns an error if it is not known whether there is
// one: then the ledger cannot be compared for the first time.
func (g *guard) bind(ctx context.Context) error {
	if g.marks != nil || time.Since(g.boundAt) < guardBind {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, guardTimeout/2)
	defer cancel()
	marks, err := g.js.Stream(short, publisher.MarkStream)
	var kept publisher.Mark
	var sequence uint64
	if err == nil {
		kept, sequence, err = publisher.ReadMark(short, marks)
	}
	if denied := publisher.Denied(g.nc, "$JS.API.STREAM."); err != nil && denied != nil {
		err = denied
	} else if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) && g.known.Created.IsZero() {
		return err
	}
	g.boundAt = time.Now()
	g.noteKeeping(err)
	if err != nil {
		return nil
	}
	g.marks, g.kept, g.sequence, g.probedAt = marks, kept, sequence, time.Now()
	if kept.Last > 0 || kept.Forgot != "" {
		if kept.Created.Equal(g.known.Created) {
			kept.Last = max(kept.Last, g.known.Last)
		}
		g.known = kept
	}
	return nil
}

// noteKeeping records whether the mark can be kept, and logs a change.
func (g *guard) noteKeeping(err error) {
	if err == nil {
		g.unkept.Store(nil)
	} else {
		way := cmp.Or(publisher.WayOut(err), "see `backhaul setup` and deploy/nats/roles.conf")
		err = fmt.Errorf("what is known of the ledger is not kept, so a ledger that is lost while no replica runs is not noticed: stream %s: %w; %s",
			publisher.MarkStream, err, way)
		g.unkept.Store(&err)
	}
	if g.keeping.Changed(err) && err != nil {
		g.log.Warn().Err(err).Msg("the ledger is only compared with what this process has seen")
	}
}

// keep writes the mark if it has changed. Another replica may have written first, and may
// have seen more.
func (g *guard) keep(ctx context.Context) {
	if g.marks == nil || g.known == g.kept || g.full && time.Since(g.probedAt) < guardFull {
		return
	}
	short, cancel := context.WithTimeout(ctx, guardTimeout/4)
	defer cancel()
	sequence, err := g.record(short, g.known)
	switch {
	case errors.Is(err, publisher.ErrConflict):
		g.reread(ctx)
	case publisher.StorageUsedUp(err): // stored reports it, and the next write tries again
	case err != nil:
		g.marks = nil
		g.noteKeeping(err)
	default:
		g.kept, g.sequence = g.known, sequence
	}
}

// probe writes the kept mark again if it was not written for a while. While no request comes,
// only this tells whether the server stores messages; and without storage no request comes.
func (g *guard) probe(ctx context.Context) {
	every := guardProbe
	if g.full {
		every = guardFull
	}
	if g.marks == nil || g.sequence == 0 || time.Since(g.probedAt) < every {
		return
	}
	short, cancel := context.WithTimeout(ctx, guardTimeout/4)
	defer cancel()
	switch sequence, err := g.record(short, g.kept); {
	case err == nil:
		g.sequence = sequence
	case errors.Is(err, publisher.ErrConflict):
		g.reread(ctx)
	}
}

// record writes a mark.
func (g *guard) record(ctx context.Context, m publisher.Mark) (uint64, error) {
	g.probedAt = time.Now()
	sequence, err := g.pub.RecordMark(ctx, g.sequence, m)
	g.full = publisher.StorageUsedUp(err)
	if g.stored != nil {
		g.stored(err)
	}
	return sequence, err
}

// reread reads the mark that another replica has written.
func (g *guard) reread(ctx context.Context) {
	kept, sequence, err := publisher.ReadMark(ctx, g.marks)
	if err != nil {
		return
	}
	g.kept, g.sequence = kept, sequence
	g.known.Forgot = kept.Forgot
	if kept.Created.Equal(g.known.Created) {
		g.known.Last = max(g.known.Last, kept.Last)
	}
}

// keepLost writes why the ledger is lost into the mark, so that every later comparison
// finds it.
func (g *guard) keepLost(ctx context.Context) {
	if g.marks == nil || g.kept.Forgot != "" {
		return
	}
	m := g.known
	m.Forgot = g.lost.Load().Err.Error()
	if sequence, err := g.pub.RecordMark(ctx, g.sequence, m); err == nil {
		g.known, g.kept, g.sequence = m, m, sequence
	}
}

// accepted reports whether the mark was replaced by one that agrees with the ledger: then an
// operator has accepted the ledger. A replica that has not noticed the loss writes marks
// that do not agree with it.
func (g *guard) accepted(ctx context.Context) (bool, error) {
	if g.marks == nil {
		return false, nil
	}
	kept, sequence, err := publisher.ReadMark(ctx, g.marks)
	if err != nil {
		return false, err
	}
	if sequence == g.sequence {
		if g.lost.Load() != nil {
			g.keepLost(ctx)
		}
		return false, nil
	}
	g.kept, g.sequence = kept, sequence
	info, err := g.events.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", publisher.EventsStream, err)
	}
	if kept.Last == 0 && info.State.LastSeq > 0 || kept.Differs(info) != nil {
		return false, nil
	}
	g.known, g.suspected = kept, time.Time{}
	g.era.Add(1) // before high is set: writes that began earlier are not compared
	g.high.Store(kept.Last)
	g.lost.Store(nil)
	return true, nil
}

// leave writes the mark a last time.
func (g *guard) leave() {
	if g.marks == nil || g.err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), guardTimeout/4)
	defer cancel()
	g.known.Last = max(g.known.Last, g.high.Load())
	for range 3 { // other replicas write the mark too
		g.keep(ctx)
	}
}
