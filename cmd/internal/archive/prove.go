package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/sumdb/tlog"

	"backhaul/publisher"
)

// proofFormat names the format of a [Proof].
const proofFormat = "backhaul-proof/v1"

// Proof shows, without the archive, that events are in it: those of one request.
type Proof struct {
	Format string `json:"format"`
	// Request is <source>/<key> of each request that the events are about.
	Requests []string `json:"requests"`
	// Checkpoint is the signed head of the archive.
	Checkpoint string        `json:"checkpoint"`
	Events     []ProvenEvent `json:"events"`
}

// ProvenEvent is an event, and the way from its leaves to the root of the tree. What is to be read
// by people is in the leaves as well, which alone are proven.
type ProvenEvent struct {
	Sequence uint64       `json:"sequence"`
	Stored   time.Time    `json:"stored"`
	Subject  string       `json:"subject"`
	Leaves   []ProvenLeaf `json:"leaves"`
}

// ProvenLeaf is a leaf and its inclusion proof (RFC 6962).
type ProvenLeaf struct {
	Index int64       `json:"index"`
	Data  []byte      `json:"data"`
	Path  []tlog.Hash `json:"path"`
}

// ErrNoSuchRequest means that the archive has no event of a request.
var ErrNoSuchRequest = errors.New("the archive has no event of this request")

// Prove returns the proof of the events that wanted selects, by the keys of their requests.
func Prove(ctx context.Context, r *Reader, wanted func(publisher.Key) bool) (*Proof, error) {
	p := &Proof{Format: proofFormat, Checkpoint: string(r.Note)}
	err := r.Messages(ctx, 0, func(m Message) error {
		_, key, _, err := publisher.ParseEventSubject(m.Subject)
		if err != nil || !wanted(key) {
			return nil
		}
		if name := key.String(); !slices.Contains(p.Requests, name) {
			p.Requests = append(p.Requests, name)
		}
		e := ProvenEvent{Sequence: m.Sequence, Stored: m.Time, Subject: m.Subject}
		for i, data := range eventLeaves(m.RawStreamMsg) {
			index := m.Leaf + int64(i)
			path, err := tlog.ProveRecord(r.N, index, r.hashes(ctx))
			if err != nil {
				return fmt.Errorf("archive %s: leaf %d: %w; `backhaul verify` says what is wrong", r.store, index, err)
			}
			if err := tlog.CheckRecord(path, r.N, r.Hash, index, tlog.RecordHash(data)); err != nil {
				return fmt.Errorf("archive %s: leaf %d is not what was signed; `backhaul verify` says what is wrong", r.store, index)
			}
			e.Leaves = append(e.Leaves, ProvenLeaf{Index: index, Data: data, Path: path})
		}
		p.Events = append(p.Events, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(p.Events) == 0 {
		return nil, fmt.Errorf("archive %s: %w", r.store, ErrNoSuchRequest)
	}
	return p, nil
}

// DecodeProof reads a proof.
func DecodeProof(data []byte) (*Proof, error) {
	var p Proof
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("is no proof: %w", err)
	}
	if p.Format != proofFormat {
		return nil, fmt.Errorf("is no proof: its format is %.40q, must be %q", p.Format, proofFormat)
	}
	if len(p.Events) == 0 {
		return nil, errors.New("proves nothing: it has no events")
	}
	return &p, nil
}

// Check returns the messages that the proof proves, and the checkpoint that they are in.
func (p *Proof) Check(keys Keys) ([]jetstream.RawStreamMsg, Checkpoint, error) {
	c, err := OpenCheckpoint([]byte(p.Checkpoint), keys)
	if err != nil {
		return nil, c, err
	}
	var all []jetstream.RawStreamMsg
	last := int64(-1)
	for _, e := range p.Events {
		m, err := e.check(c.Tree)
		if err == nil && e.Leaves[0].Index <= last {
			err = errors.New("it is not behind the one before it: events must be in the order of the archive, each once")
		}
		if err != nil {
			return nil, c, fmt.Errorf("event %d (%s): %w", e.Sequence, e.Subject, err)
		}
		all, last = append(all, *m), e.Leaves[0].Index
	}
	return all, c, nil
}

func (e ProvenEvent) check(tree tlog.Tree) (*jetstream.RawStreamMsg, error) {
	var open assembly
	for i, l := range e.Leaves {
		if l.Index != e.Leaves[0].Index+int64(i) {
			return nil, fmt.Errorf("its leaf %d does not follow leaf %d", l.Index, e.Leaves[0].Index)
		}
		if err := tlog.CheckRecord(l.Path, tree.N, tree.Hash, l.Index, tlog.RecordHash(l.Data)); err != nil {
			return nil, fmt.Errorf("leaf %d is not in the tree that was signed", l.Index)
		}
		parsed, err := parseLeaf(l.Data)
		if err != nil {
			return nil, fmt.Errorf("leaf %d %w", l.Index, err)
		}
		m, err := open.add(l.Index, parsed)
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", l.Index, err)
		}
		if m == nil || i < len(e.Leaves)-1 {
			continue
		}
		if m.Sequence != e.Sequence || m.Subject != e.Subject || !m.Time.Equal(e.Stored) {
			return nil, fmt.Errorf("its leaves are of another event: %d (%s), stored on %s", m.Sequence, m.Subject, m.Time.Format(time.RFC3339Nano))
		}
		return m.RawStreamMsg, nil
	}
	return nil, errors.New("its leaves are not a whole event")
}
