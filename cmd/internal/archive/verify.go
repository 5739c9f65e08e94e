package archive

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"backhaul/schemas"
)

// Report is what verifying an archive has found.
type Report struct {
	Checkpoint Checkpoint
	// Leaves are those that were read, Events the messages among them.
	Leaves, Events int64
	// First and Last are when the first and the last event were stored.
	First, Last time.Time
	// Gaps are what the stream had lost before it could be archived.
	Gaps []Gap
	// Streams are the streams whose events follow each other: more than one if the stream was
	// made again or restored.
	Streams []Begin
	// Checkpoints is how many earlier checkpoints were compared with the tree.
	Checkpoints int
	// ClockSteps are events that were stored earlier than the one before them, at most as many as
	// Gaps: the server's clock was set back, or another server, with another clock, became the
	// leader of the stream. It is no change of the archive. Backwards is how many there are.
	ClockSteps []ClockStep
	Backwards  int64
	// Unknown is how many rules could not be told, because what they need was lost in a gap.
	Unknown int64
	// Problems are what is wrong, at most [MaxProblems]; More is how many further ones there are.
	Problems []Problem
	More     int64
}

// Gap is a range of sequences that are not in an archive.
type Gap struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// ClockStep is an event with a time before that of the event before it.
type ClockStep struct {
	Event  uint64        `json:"event"`
	Stored time.Time     `json:"stored"`
	Back   time.Duration `json:"backNanoseconds"`
}

func (r *Report) clock(s ClockStep) {
	if r.Backwards++; len(r.ClockSteps) < maxGaps {
		r.ClockSteps = append(r.ClockSteps, s)
	}
}

// Begin is where the events of a stream begin.
type Begin struct {
	Leaf    int64
	Stream  string
	Created time.Time
	Next    uint64
}

// Problem is one thing that is wrong with an archive.
type Problem struct {
	// Where is the file or leaf, and for an event its sequence and subject.
	Where string `json:"where"`
	What  string `json:"what"`
}

func (p Problem) String() string { return p.Where + ": " + p.What }

// MaxProblems is how many problems a [Report] has.
const MaxProblems = 100

func (r *Report) problem(where, format string, args ...any) {
	if len(r.Problems) >= MaxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, Problem{where, fmt.Sprintf(format, args...)})
}

// Verify reads a whole archive and compares it with its checkpoint, with the witnesses, which are
// checkpoints that were kept elsewhere, and with the rules of the ledger. What is wrong is in the
// report; the error is why it could not be read.
func Verify(ctx context.Context, r *Reader, keys Keys, witnesses []Checkpoint) (*Report, error) {
	v := &verifying{reader: r, keys: keys, report: &Report{Checkpoint: r.Checkpoint}, rules: newRules()}
	for got := range inOrder(ctx, 0, r.bundles(), 2*runtime.GOMAXPROCS(0), v.look) {
		v.bundle(got)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v.finish(ctx)
	for _, w := range witnesses {
		v.compareTree(ctx, fmt.Sprintf("checkpoint of %d leaves that was given", w.N), w)
	}
	return v.report, nil
}

// verifying is an archive that is being verified. Its fields but reader belong to one goroutine.
type verifying struct {
	reader  *Reader
	keys    Keys
	report  *Report
	edge    edge
	order   order
	rules   *rules
	open    assembly
	earlier []earlier
}

// looked is a bundle with what can be found out without the others.
type looked struct {
	index  int64
	hashes []tlog.Hash // of the leaves
	tile   []tlog.Hash // what the tile says that they are
	leaves []leaf
	facts  []fact // of the leaves that are events
	wrong  []Problem
}

// look reads a bundle and its tile.
func (v *verifying) look(ctx context.Context, index int64) looked {
	got := looked{index: index}
	width := v.reader.width(0, index)
	problem := func(where, format string, args ...any) {
		got.wrong = append(got.wrong, Problem{where, fmt.Sprintf(format, args...)})
	}
	var err error
	if got.tile, err = v.reader.tile(ctx, 0, index); err != nil {
		problem(tileName(0, index, width), "cannot be read: %v", err)
	}
	name := bundleName(index, width)
	data, err := v.reader.bundle(ctx, index)
	if err != nil {
		problem(name, "cannot be read: %v", err)
		return got
	}
	all, err := entries(data)
	if err != nil {
		problem(name, "%v", err)
	}
	for i, data := range all {
		got.hashes = append(got.hashes, tlog.RecordHash(data))
		l, err := parseLeaf(data)
		if err != nil {
			problem(leafName(index*tileWidth+int64(i), leaf{}), "%v", err)
		}
		got.leaves = append(got.leaves, l)
		got.facts = append(got.facts, factOf(l))
	}
	if len(all) != width {
		problem(name, "has %d leaves instead of %d", len(all), width)
	}
	got.wrong = append(got.wrong, v.compare(index, got)...)
	return got
}

// leafName says where a leaf is, and which event it is.
func leafName(index int64, l leaf) string {
	name := fmt.Sprintf("leaf %d in %s", index, bundleName(index/tileWidth, 0))
	switch l.kind {
	case kindEvent:
		name += fmt.Sprintf(" (event %d, %s)", l.first, l.subject)
	case kindMore:
		name += fmt.Sprintf(" (a part of event %d)", l.first)
	case kindGap:
		name += fmt.Sprintf(" (gap from %d to %d)", l.first, l.last)
	}
	return name
}

// compare names the leaves of a bundle that are not those of its tile.
func (v *verifying) compare(index int64, got looked) (wrong []Problem) {
	if got.tile == nil {
		return nil
	}
	at := func(i int) string {
		var l leaf
		if i < len(got.leaves) {
			l = got.leaves[i]
		}
		return leafName(index*tileWidth+int64(i), l)
	}
	for i := 0; i < len(got.tile); i++ {
		switch {
		case i >= len(got.hashes):
			return append(wrong, Problem{at(i), "is missing"})
		case got.hashes[i] == got.tile[i]:
			continue
		}
		other := slices.Index(got.tile, got.hashes[i])
		switch {
		case other > i && other < len(got.hashes) && got.hashes[other] == got.tile[i]:
			wrong = append(wrong, Problem{at(i), fmt.Sprintf("was swapped with leaf %d", index*tileWidth+int64(other))})
		case other >= 0 && other < i && got.hashes[other] == got.tile[i]: // was said
		case other == i+1 && sameFrom(got.hashes[i:], got.tile[i+1:]):
			what := "was removed"
			if i > 0 && got.leaves[i-1].kind == kindEvent {
				what += fmt.Sprintf("; it followed event %d", got.leaves[i-1].first)
			}
			return append(wrong, Problem{leafName(index*tileWidth+int64(i), leaf{}), what})
		case i+1 < len(got.hashes) && got.hashes[i+1] == got.tile[i] && len(got.hashes) > len(got.tile):
			return append(wrong, Problem{at(i), "was added"})
		default:
			wrong = append(wrong, Problem{at(i), "was changed: it is not what was signed"})
		}
	}
	return wrong
}

// sameFrom reports whether the shorter one is how the longer one begins.
func sameFrom(a, b []tlog.Hash) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

// bundle takes the next bundle.
func (v *verifying) bundle(got looked) {
	for _, p := range got.wrong {
		v.report.problem(p.Where, "%s", p.What)
	}
	for i, l := range got.leaves {
		index := got.index*tileWidth + int64(i)
		v.report.Leaves++
		if l.kind == "" {
			continue
		}
		v.leaf(index, l, got.facts[i])
	}
	// The tree is that of the tile, so that one wrong leaf is one problem, and not also a wrong
	// tile and a wrong root.
	hashes := got.tile
	if hashes == nil {
		hashes = got.hashes
	}
	for _, h := range hashes {
		v.edge.add(h, nil)
	}
}

// size returns how many leaves the tree has so far.
func (e edge) size() (n int64) {
	for level, hashes := range e {
		n += int64(len(hashes)) << (tileHeight * level)
	}
	return n
}

// leaf takes the next leaf.
func (v *verifying) leaf(index int64, l leaf, f fact) {
	where := func() string { return leafName(index, l) }
	v.order.next(v.report, where, index, l)
	switch l.kind {
	case kindStream:
		v.rules.restart()
	case kindGap:
		v.rules.gap()
	}
	m, err := v.open.add(index, l)
	if err != nil {
		v.report.problem(where(), "%v", err)
		v.open = assembly{}
	}
	if m == nil {
		return
	}
	v.report.Events++
	if v.report.First.IsZero() {
		v.report.First = m.Time
	}
	v.report.Last = m.Time
	if m.Leaves > 1 {
		f = factOfMessage(m.RawStreamMsg)
	}
	if f.checkpoint != nil {
		v.checkpoint(where(), index, *f.checkpoint)
	}
	for _, what := range v.rules.take(f) {
		v.report.problem(where(), "%s", what)
	}
}

// finish compares the tiles above the leaves, and the root.
func (v *verifying) finish(ctx context.Context) {
	r, report := v.reader, v.report
	report.Unknown = v.rules.unknown
	v.levels(ctx)
	if root := v.edge.root(); root != r.Hash || v.edge.size() != r.N {
		report.problem(CheckpointName, "it is of %d leaves with the root %s, and the archive has %d with the root %s", r.N, r.Hash, v.edge.size(), root)
	}
	for _, c := range v.earlier {
		v.compareTree(ctx, c.where, c.Checkpoint)
		report.Checkpoints++
	}
	if want, have := r.Place, v.order.place; !have.Created.Equal(want.Created) || have.Next != want.Next || have.Stream != want.Stream {
		report.problem(CheckpointName, "says that event %d of %s is the next one, and after the leaves it is event %d of %s", want.Next, want.Stream, have.Next, have.Stream)
	}
}

// levels compares each tile above level 0 with those below it.
func (v *verifying) levels(ctx context.Context) {
	r := v.reader
	for level := 1; r.N>>(tileHeight*level) > 0; level++ {
		count := r.N >> (tileHeight * level)
		for index := int64(0); index*tileWidth < count; index++ {
			name := tileName(level, index, r.width(level, index))
			tile, err := r.tile(ctx, level, index)
			if err != nil {
				v.report.problem(name, "cannot be read: %v", err)
				continue
			}
			for i, h := range tile {
				below, err := r.tile(ctx, level-1, index*tileWidth+int64(i))
				if err == nil && fold(below) != h {
					v.report.problem(name, "hash %d of it is not that of %s: one of them was changed", i, tileName(level-1, index*tileWidth+int64(i), 0))
				}
			}
		}
	}
}

// earlier is an earlier checkpoint that is in the archive as an event.
type earlier struct {
	where string
	Checkpoint
}

// checkpoint takes a checkpoint that was published, in the leaf of this index.
func (v *verifying) checkpoint(where string, index int64, published schemas.Checkpoint) {
	if published.Log != v.keys.Name() {
		return // of another archive of the same stream
	}
	c, err := OpenCheckpoint([]byte(published.Note), v.keys)
	switch {
	case err != nil:
		v.report.problem(where, "the checkpoint that it publishes: %v", err)
	case c.N > index:
		v.report.problem(where, "the checkpoint that it publishes is of %d leaves, and only %d are before it", c.N, index)
	default:
		v.earlier = append(v.earlier, earlier{where, c})
	}
}

// compareTree compares an earlier checkpoint with the tree as it was then.
func (v *verifying) compareTree(ctx context.Context, where string, c Checkpoint) {
	if c.N > v.reader.N {
		v.report.problem(where, "the archive has only %d leaves: it was cut back, or is another one", v.reader.N)
		return
	}
	root, err := tlog.TreeHash(c.N, v.reader.hashes(ctx))
	switch {
	case err != nil && len(v.report.Problems) == 0:
		v.report.problem(where, "cannot be compared with the tree: %v", err)
	case err == nil && root != c.Hash:
		v.report.problem(where, "the first %d leaves had the root %s when it was signed, and have %s: the archive was made anew", c.N, c.Hash, root)
	}
}
