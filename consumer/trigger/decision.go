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

// decision is a window of a content group that was decided. Every message up to Last that
// concerns the group is part of this window or of an earlier one. A decision is written by
// compare-and-set. It has the request, so that any replica can publish the same request
// again.
type decision struct {
	Group string `json:"group"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Stored is when the last message was stored. A later message with a decided sequence is
	// one of a stream that was created again, or restored from a snapshot.
	Stored time.Time `json:"stored,omitzero"`
	// Routes is the mark of the routes of the decision; "" if it is not known. By other routes
	// a message may have concerned another group.
	Routes string `json:"routes,omitempty"`
	// Request is nil if the window had no changes left to request.
	Request *schemas.BackupRequest `json:"request,omitempty"`
	// Asked is the group's last request, this one or an earlier one, if its route has a rule.
	Asked *asked `json:"asked,omitempty"`
	// Nonce identifies the writer to itself.
	Nonce string `json:"nonce"`
}

// key returns a text that identifies the content group.
func (g Group) key() string {
	name, _ := json.Marshal(g) // strings only
	return string(name)
}

// covers reports whether a message of the group is part of this window or of an earlier
// one.
func (d *decision) covers(m *message) bool {
	return m.sequence <= d.Last && !m.stored.After(d.Stored)
}

// requestID returns the request id of a window, the same for the same changes. It is a hash of
// the content group, of the stream sequences of the window's first and last message, and of
// the time of the last, because a stream that is created again has the same sequences.
func requestID(group string, first, last uint64, stored time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %d", group, first, last, stored.UnixNano()))
	return "changes-" + hex.EncodeToString(sum[:16])
}

// decisions reads and writes the last decision about each content group.
type decisions struct {
	windows jetstream.Stream
	pub     *publisher.Publisher
}

// read returns the group's last decision and the stream sequence of its record.
func (ds *decisions) read(ctx context.Context, name string) (decision, uint64, error) {
	data, sequence, err := publisher.LastWindow(ctx, ds.windows, name)
	if err != nil || sequence == 0 {
		return decision{}, sequence, err
	}
	var d decision
	if err := json.Unmarshal(data, &d); err != nil {
		return decision{}, 0, fmt.Errorf("read the decision about content group %s, message %d of %s: %w", name, sequence, publisher.WindowsStream, err)
	}
	if d.Group != name {
		return decision{}, 0, fmt.Errorf("message %d of %s is on the subject of content group %s, but decides about %q", sequence, publisher.WindowsStream, name, d.Group)
	}
	return d, sequence, nil
}

// write writes a decision after the record with the sequence after, and returns its own
// sequence. If its first attempt was stored and the PubAck lost, write finds it by the nonce.
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
