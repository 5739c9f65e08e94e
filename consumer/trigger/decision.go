package trigger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// decision is the last window of a content group that was decided: every message up
// to Last that concerns the group is part of it or of one before. It is written
// by compare-and-set, and has the request, so that whoever reads it can publish
// that same request again.
type decision struct {
	Group string `json:"group"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Stored is when the last message was. A later message with a sequence that was
	// decided is one of a stream that was made anew, or restored from a snapshot.
	Stored time.Time `json:"stored,omitzero"`
	// Routes is the mark of the routes by which it was decided. By others a message may
	// have belonged to another group that had not decided about it; "" is not known.
	Routes string `json:"routes,omitempty"`
	// Request is nil for a window in which nothing was left to ask for.
	Request *schemas.BackupRequest `json:"request,omitempty"`
	// Nonce tells its writer that it was the writer.
	Nonce string `json:"nonce"`
}

// key names a content group among all.
func (g Group) key() string {
	name, _ := json.Marshal(g) // strings only
	return string(name)
}

// covers tells whether a message of the group is part of this window or of one
// before.
func (d *decision) covers(m *message) bool {
	return m.sequence <= d.Last && !m.stored.After(d.Stored)
}

// requestID is the same for the same changes: it is made of the content group and
// the places of the window's first and last message in the stream, and of the time
// of the last, because sequences begin again when a stream is made anew.
func requestID(group string, first, last uint64, stored time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %d", group, first, last, stored.UnixNano()))
	return "changes-" + hex.EncodeToString(sum[:16])
}

// decisions are the last decisions about all content groups.
type decisions struct {
	windows jetstream.Stream
	pub     *publisher.Publisher
}

// read is the group's last decision.
func (ds *decisions) read(ctx context.Context, name string) (decision, uint64, error) {
	data, sequence, err := publisher.LastWindow(ctx, ds.windows, name)
	if err != nil || sequence == 0 {
		return decision{}, sequence, err
	}
	var d decision
	if err := json.Unmarshal(data, &d); err != nil {
		return decision{}, 0, fmt.Errorf("record of content group %s: %w", name, err)
	}
	if d.Group != name {
		return decision{}, 0, fmt.Errorf("record of content group %s is about %s", name, d.Group)
	}
	return d, sequence, nil
}

// write puts a record after the one with the sequence after. A conflict that is
// our own earlier write is none.
func (ds *decisions) write(ctx context.Context, d decision, after uint64) (uint64, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return 0, err
	}
	sequence, err := ds.pub.RecordWindow(ctx, d.Group, after, data)
	if err == nil {
		return sequence, nil
	}
	last, at, readErr := ds.read(ctx, d.Group)
	if readErr == nil && last.Nonce == d.Nonce {
		return at, nil
	}
	return 0, err
}
