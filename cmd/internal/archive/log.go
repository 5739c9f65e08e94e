package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/sumdb/tlog"

	"backhaul/publisher"
)

// Log appends to an archive. It belongs to one goroutine.
type Log struct {
	store  Store
	signer Signer
	hold   func(*jetstream.RawStreamMsg) bool // nil: nothing
	unlock func()

	// first is true before the first Append: only then may there be files behind the end.
	first      bool
	checkpoint Checkpoint
	end
}

// end is where a log ends, and what is needed to append to it.
type end struct {
	edge
	size int64
	// bundle has the leaves of the last tile that is not full, and held reports whether one
	// of them is held.
	bundle []byte
	held   bool
	place  publisher.Place
	// last is the last message, without headers and payload; nil if there is none since the
	// stream was made.
	last *jetstream.RawStreamMsg
}

// Options are those of [Open].
type Options struct {
	// Hold reports whether what is kept of a message must be held until someone releases it.
	// Defaults to nothing.
	Hold func(*jetstream.RawStreamMsg) bool
}

// Open opens an archive to append to it. The error is [ErrOther] if another process does. Close
// must be called.
func Open(ctx context.Context, store Store, signer Signer, o Options) (*Log, error) {
	unlock, err := store.Lock()
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", store, err)
	}
	l := &Log{store: store, signer: signer, hold: o.Hold, unlock: unlock, first: true}
	if err := l.load(ctx, signer.Keys); err != nil {
		unlock()
		return nil, fmt.Errorf("archive %s: %w", store, err)
	}
	return l, nil
}

// Close lets other processes append.
func (l *Log) Close() { l.unlock() }

// Checkpoint returns the newest checkpoint; its Note is nil if there is none.
func (l *Log) Checkpoint() Checkpoint { return l.checkpoint }

// Place returns up to where the archive has the stream, the zero Place if it has nothing.
func (l *Log) Place() publisher.Place { return l.place }

// Last returns the last message of the archive without its headers and payload, nil if there is
// none since the stream was made.
func (l *Log) Last() *jetstream.RawStreamMsg { return l.last }

// load reads where the archive ends.
func (l *Log) load(ctx context.Context, keys Keys) error {
	data, err := l.store.Read(ctx, CheckpointName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was signed yet
	}
	if err != nil {
		return err
	}
	r, err := newReader(l.store, data, keys)
	if err != nil {
		return err
	}
	l.checkpoint, l.size, l.place = r.Checkpoint, r.N, r.Place
	if l.edge, err = r.edge(ctx); err != nil {
		return err
	}
	if l.last, err = r.last(ctx); err != nil { // which compares the bundle that is written again, too
		return err
	}
	if l.size%tileWidth == 0 {
		return nil
	}
	if l.bundle, err = r.bundle(ctx, l.size/tileWidth); err != nil {
		return err
	}
	l.held, err = l.holds(l.bundle)
	return err
}

// holds reports whether a message of a bundle must be held. One that is not whole is.
func (l *Log) holds(bundle []byte) (bool, error) {
	if l.hold == nil {
		return false, nil
	}
	leaves, err := entries(bundle)
	if err != nil {
		return false, err
	}
	for _, data := range leaves {
		leaf, err := parseLeaf(data)
		if err != nil {
			return false, err
		}
		if leaf.kind != kindEvent {
			continue
		}
		m, err := leaf.message(leaf.body)
		if err != nil || l.hold(m) {
			return true, nil
		}
	}
	return false, nil
}

// Append appends messages in their order. Those that the archive has already are left out, and
// sequences between two of them become a gap. When it returns without an error, all of them are
// kept and signed; else none is.
//
// begin, if not nil, is where the messages are from, and is written before them: another stream,
// or the same one from an earlier sequence on.
func (l *Log) Append(ctx context.Context, begin *publisher.Place, messages []jetstream.RawStreamMsg) error {
	a := &appending{log: l, end: l.end}
	a.edge = l.edge.clone()
	a.bundle = append([]byte(nil), l.bundle...)
	if begin != nil {
		a.leaf(streamLeaf(*begin))
		a.place, a.last = *begin, nil
	}
	if a.place.Created.IsZero() {
		return fmt.Errorf("archive %s: it is empty, and nothing says which stream the messages are from", l.store)
	}
	for i := range messages {
		a.message(&messages[i])
	}
	if a.size == l.size {
		return nil
	}
	if err := a.write(ctx); err != nil {
		return fmt.Errorf("archive %s: %w", l.store, err)
	}
	return nil
}

// appending is what one call of Append adds.
type appending struct {
	log *Log
	end
	newest time.Time // of the messages so far
	files  []file
}

type file struct {
	name string
	data []byte
	keep Keep
}

func (a *appending) message(m *jetstream.RawStreamMsg) {
	if m.Sequence < a.place.Next {
		return
	}
	if m.Sequence > a.place.Next {
		a.leaf(gapLeaf(a.place.Next, m.Sequence-1, m.Time))
	}
	held := a.log.hold != nil && a.log.hold(m)
	if m.Time.After(a.newest) { // a clock may have been set back
		a.newest = m.Time
	}
	for _, leaf := range eventLeaves(m) {
		a.held = a.held || held
		a.leaf(leaf)
	}
	a.place.Next, a.last = m.Sequence+1, &jetstream.RawStreamMsg{Sequence: m.Sequence, Time: m.Time, Subject: m.Subject}
}

func (a *appending) leaf(data []byte) {
	index := a.size / tileWidth
	a.bundle = appendEntry(a.bundle, data)
	a.size++
	if a.size%tileWidth == 0 {
		a.files = append(a.files, file{bundleName(index, 0), a.bundle, a.keep(a.held)})
		a.bundle, a.held = nil, false
	}
	a.edge.add(tlog.RecordHash(data), func(level int, hashes []tlog.Hash) {
		index := a.size>>(tileHeight*(level+1)) - 1
		a.files = append(a.files, file{tileName(level, index, 0), tileBytes(hashes), a.keep(false)})
	})
}

// keep returns how long what was added last is to be kept.
func (a *appending) keep(held bool) Keep {
	k := Keep{Newest: a.place.Created, Held: held}
	if a.newest.After(k.Newest) {
		k.Newest = a.newest
	}
	return k
}

// write writes the files, then the checkpoint that says that they count.
func (a *appending) write(ctx context.Context) error {
	l := a.log
	if width := int(a.size % tileWidth); width > 0 {
		a.files = append(a.files, file{bundleName(a.size/tileWidth, width), a.bundle, a.keep(a.held)})
	}
	for level, hashes := range a.edge {
		if len(hashes) > 0 {
			index := a.size >> (tileHeight * (level + 1))
			a.files = append(a.files, file{tileName(level, index, len(hashes)), tileBytes(hashes), a.keep(false)})
		}
	}
	if l.first { // all or nothing, so that a refusal leaves nothing that is in the way later
		if err := writeAll(ctx, vacancy{l.store}, a.files); err != nil {
			return err
		}
	}
	if err := writeAll(ctx, l.store, a.files); err != nil {
		return err
	}
	l.first = false
	checkpoint, err := sign(tlog.Tree{N: a.size, Hash: a.root()}, a.place, l.signer)
	if err != nil {
		return err
	}
	if err := l.store.Swap(ctx, checkpoint.Note, a.keep(false)); err != nil {
		return err
	}
	for _, name := range outdated(l.size, a.size) {
		l.store.Remove(ctx, name)
	}
	l.checkpoint, l.end = checkpoint, a.end
	return nil
}

// outdated returns below which names a tree has tiles and bundles that are full in a larger one.
// Those that are still not full stay: who has read an older checkpoint reads them.
func outdated(old, size int64) (below []string) {
	for level := 0; old>>(tileHeight*level) > 0; level++ {
		index := old >> (tileHeight * (level + 1))
		if size>>(tileHeight*(level+1)) == index {
			return below
		}
		below = append(below, tileName(level, index, 0)+".p")
		if level == 0 {
			below = append(below, bundleName(index, 0)+".p")
		}
	}
	return below
}
