package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/sumdb/tlog"
)

// Reader reads an archive as its newest checkpoint says it is. It is safe for concurrent use.
type Reader struct {
	store Store
	Checkpoint
	// upper has tiles that were compared with the checkpoint and are needed for each bundle: a
	// [tlog.Tile] has its data.
	upper *sync.Map
}

// ErrEmpty is the error of an archive without a checkpoint.
var ErrEmpty = errors.New("there is no checkpoint: nothing was archived here yet, or this is no archive")

// NewReader reads the checkpoint of an archive, which one of the keys must have signed.
func NewReader(ctx context.Context, store Store, keys Keys) (*Reader, error) {
	data, err := store.Read(ctx, CheckpointName)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrEmpty
	}
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", store, err)
	}
	r, err := newReader(store, data, keys)
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", store, err)
	}
	return r, nil
}

func newReader(store Store, data []byte, keys Keys) (*Reader, error) {
	c, err := OpenCheckpoint(data, keys)
	return &Reader{store, c, new(sync.Map)}, err
}

// bundles returns how many entry bundles the archive has.
func (r *Reader) bundles() int64 { return (r.N + tileWidth - 1) / tileWidth }

// width returns how many hashes a tile has.
func (r *Reader) width(level int, index int64) int {
	return int(min(tileWidth, r.N>>(tileHeight*level)-index*tileWidth))
}

// tile returns a tile of the tree.
func (r *Reader) tile(ctx context.Context, level int, index int64) ([]tlog.Hash, error) {
	width := r.width(level, index)
	data, err := r.read(ctx, width, func(w int) string { return tileName(level, index, w) })
	if err == nil && len(data) < width*tlog.HashSize {
		err = fmt.Errorf("%s: has %d bytes instead of %d", tileName(level, index, width), len(data), width*tlog.HashSize)
	}
	if err != nil {
		return nil, err
	}
	return tileHashes(data[:width*tlog.HashSize]), nil
}

// bundle returns an entry bundle.
func (r *Reader) bundle(ctx context.Context, index int64) ([]byte, error) {
	width := r.width(0, index)
	data, err := r.read(ctx, width, func(w int) string { return bundleName(index, w) })
	if err != nil || width == tileWidth {
		return data, err
	}
	leaves, err := entries(data)
	if err != nil || len(leaves) <= width {
		return data, nil // what is wrong with it is up to the caller
	}
	data = nil
	for _, leaf := range leaves[:width] {
		data = appendEntry(data, leaf)
	}
	return data, nil
}

// read reads a file of which width entries are wanted. If more have come meanwhile, it may be
// full, and the one that was not is gone.
func (r *Reader) read(ctx context.Context, width int, name func(width int) string) ([]byte, error) {
	data, err := r.store.Read(ctx, name(width))
	if errors.Is(err, fs.ErrNotExist) && width < tileWidth {
		if full, fullErr := r.store.Read(ctx, name(0)); fullErr == nil {
			return full, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: is missing: %w", name(width), fs.ErrNotExist)
	}
	return data, err
}

// edge returns the right edge of the tree, which has the root that the checkpoint says.
func (r *Reader) edge(ctx context.Context) (edge, error) {
	var e edge
	for level := 0; r.N>>(tileHeight*level) > 0; level++ {
		hashes := make([]tlog.Hash, 0, tileWidth)
		if count := r.N >> (tileHeight * level); count%tileWidth > 0 {
			tile, err := r.tile(ctx, level, count/tileWidth)
			if err != nil {
				return nil, err
			}
			hashes = append(hashes, tile...)
		}
		e = append(e, hashes)
	}
	if e.root() != r.Hash {
		return nil, errors.New("the tiles do not have the root of the checkpoint; `backhaul verify` says what is wrong")
	}
	return e, nil
}

// last returns the last message, nil if there is none since the stream was made.
func (r *Reader) last(ctx context.Context) (*jetstream.RawStreamMsg, error) {
	for index := r.bundles() - 1; index >= 0; index-- {
		leaves, err := r.leaves(ctx, index)
		if err != nil {
			return nil, err
		}
		for i := len(leaves) - 1; i >= 0; i-- {
			switch l := leaves[i]; l.kind {
			case kindEvent:
				return &jetstream.RawStreamMsg{Sequence: l.first, Time: l.time, Subject: l.subject}, nil
			case kindStream:
				return nil, nil
			}
		}
	}
	return nil, nil
}

// leaves returns the leaves of a bundle, which are those that were signed.
func (r *Reader) leaves(ctx context.Context, index int64) ([]leaf, error) {
	data, err := r.bundle(ctx, index)
	if err != nil {
		return nil, err
	}
	return r.leavesOf(ctx, index, data)
}

// leavesOf returns the leaves of a bundle that was read, after a comparison with the tree.
func (r *Reader) leavesOf(ctx context.Context, index int64, data []byte) ([]leaf, error) {
	const verify = "`backhaul verify` says what is wrong"
	width := r.width(0, index)
	all, err := entries(data)
	if err == nil && len(all) != width {
		err = fmt.Errorf("has %d leaves instead of %d", len(all), width)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; %s", bundleName(index, width), err, verify)
	}
	places := make([]int64, width)
	for i := range places {
		places[i] = tlog.StoredHashIndex(0, index*tileWidth+int64(i))
	}
	signed, err := r.hashes(ctx).ReadHashes(places)
	if err != nil {
		return nil, fmt.Errorf("the hashes of %s: %w; %s", bundleName(index, width), err, verify)
	}
	leaves := make([]leaf, width)
	for i, data := range all {
		at := index*tileWidth + int64(i)
		leaves[i], err = parseLeaf(data)
		switch {
		case tlog.RecordHash(data) != signed[i]:
			return nil, fmt.Errorf("%s is not what was signed; %s", leafName(at, leaves[i]), verify)
		case err != nil:
			return nil, fmt.Errorf("%s: leaf %d: %w", bundleName(index, width), at, err)
		}
	}
	return leaves, nil
}

// Message is a message of an archive.
type Message struct {
	// Leaf is the first of its leaves, of which it has Leaves.
	Leaf   int64
	Leaves int
	*jetstream.RawStreamMsg
}

// ErrStop ends a [Reader.Messages] without being an error of it.
var ErrStop = errors.New("stop")

// Messages calls visit for each message in the order of the archive, from the bundle of the leaf
// from on. Each of them is what was signed.
func (r *Reader) Messages(ctx context.Context, from int64, visit func(Message) error) error {
	var open assembly
	for got := range r.ahead(ctx, from/tileWidth) {
		if got.err != nil {
			return fmt.Errorf("archive %s: %w", r.store, got.err)
		}
		for i, l := range got.leaves {
			m, err := open.add(got.index*tileWidth+int64(i), l)
			if err != nil {
				return fmt.Errorf("archive %s: leaf %d: %w", r.store, got.index*tileWidth+int64(i), err)
			}
			if m == nil {
				continue
			}
			if err := visit(*m); errors.Is(err, ErrStop) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// readAhead is how many bundles are read at once.
const readAhead = 8

// bundleRead is a bundle that was read.
type bundleRead struct {
	index  int64
	leaves []leaf
	err    error
}

// ahead returns the bundles from one on in their order, and reads the next ones meanwhile.
func (r *Reader) ahead(ctx context.Context, first int64) func(yield func(bundleRead) bool) {
	return inOrder(ctx, first, r.bundles(), readAhead, func(ctx context.Context, index int64) bundleRead {
		leaves, err := r.leaves(ctx, index)
		return bundleRead{index, leaves, err}
	})
}

// inOrder calls do for the numbers from first to before last, some at once, and yields the
// results in their order.
func inOrder[T any](ctx context.Context, first, last int64, atOnce int, do func(context.Context, int64) T) func(yield func(T) bool) {
	return func(yield func(T) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		results := make(chan chan T, atOnce)
		running.Go(func() {
			defer close(results)
			for n := first; n < last; n++ {
				result := make(chan T, 1)
				select {
				case results <- result:
				case <-ctx.Done():
					return
				}
				running.Go(func() { result <- do(ctx, n) })
			}
		})
		for result := range results {
			if !yield(<-result) {
				return
			}
		}
	}
}

// assembly puts a message together that has several leaves.
type assembly struct {
	head  leaf
	index int64
	count int
	body  []byte
}

// add takes the next leaf, and returns the message that it completes. Parts of a message whose
// beginning was not added are left out.
func (a *assembly) add(index int64, l leaf) (*Message, error) {
	switch {
	case l.kind == kindEvent && l.rest() == 0:
		*a = assembly{}
		m, err := l.message(l.body)
		return &Message{index, 1, m}, err
	case l.kind == kindEvent:
		*a = assembly{head: l, index: index, count: 1, body: append([]byte(nil), l.body...)}
	case l.kind == kindMore && a.count > 0 && (l.first != a.head.first || l.offset != len(a.body)):
		return nil, fmt.Errorf("is no part of the message %d at %d, which it follows", a.head.first, len(a.body))
	case l.kind == kindMore && a.count > 0:
		a.body = append(a.body, l.body...)
		if a.count++; len(a.body) >= a.head.headers+a.head.payload {
			m, err := a.head.message(a.body)
			whole := &Message{a.index, a.count, m}
			*a = assembly{}
			return whole, err
		}
	case l.kind != kindMore && a.count > 0:
		return nil, fmt.Errorf("a part of the message %d is missing before it", a.head.first)
	}
	return nil, nil
}

// hashes returns a reader of the tree's hashes that compares each with the checkpoint.
func (r *Reader) hashes(ctx context.Context) tlog.HashReader {
	return tlog.TileHashReader(r.Tree, &tileReader{r, ctx})
}

// tileReader implements [tlog.TileReader].
type tileReader struct {
	*Reader
	ctx context.Context
}

func (*tileReader) Height() int { return tileHeight }

func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		if known, ok := r.upper.Load(t); ok {
			data[i] = known.([]byte)
			continue
		}
		hashes, err := r.tile(r.ctx, t.L, t.N)
		if err != nil {
			return nil, err
		}
		if len(hashes) < t.W {
			return nil, fmt.Errorf("%s: has %d hashes instead of %d", tileName(t.L, t.N, t.W), len(hashes), t.W)
		}
		data[i] = tileBytes(hashes[:t.W])
	}
	return data, nil
}

// SaveTiles implements [tlog.TileReader]. It is called for tiles that fit the checkpoint.
func (r *tileReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, t := range tiles {
		if t.L > 0 || t.W < tileWidth {
			r.upper.Store(t, data[i])
		}
	}
}
