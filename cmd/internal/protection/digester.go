package protection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// Digester makes the digests of a stream from its messages, and writes them.
type Digester struct {
	js      jetstream.JetStream
	pub     *publisher.Publisher
	created time.Time // of the stream
	number  uint64
	digest  *Digest // nil before the first message
}

// NewDigester returns a digester of the events stream that was made at a time.
func NewDigester(js jetstream.JetStream, pub *publisher.Publisher, created time.Time) *Digester {
	return &Digester{js: js, pub: pub, created: created}
}

// CompleteDigest is a digest of which every event is known.
type CompleteDigest struct {
	number uint64
	data   []byte
}

// Take takes a message, and what it says, nil if that is nothing. It returns a digest if the
// message completes one. The messages come in the order of the stream, and without a gap but those
// that a [Past] has digests of.
func (d *Digester) Take(m Message, e *Entry) (complete *CompleteDigest) {
	if number := (m.Sequence - 1) / digestEvents; d.digest == nil || number != d.number {
		complete = d.complete()
		d.number, d.digest = number, NewDigest()
	}
	if d.digest.See(m.Sequence, m.Stored); e != nil {
		d.digest.Add(e)
	}
	if complete == nil && m.Sequence%digestEvents == 0 {
		complete = d.complete()
	}
	return complete
}

// complete returns the digest and begins without one.
func (d *Digester) complete() *CompleteDigest {
	if d.digest == nil {
		return nil
	}
	c := &CompleteDigest{number: d.number, data: d.digest.Bytes(d.created)}
	d.digest = nil
	return c
}

// Write stores a digest, unless another replica has stored the same.
func (d *Digester) Write(ctx context.Context, c *CompleteDigest) error {
	after := uint64(0)
	for range 2 {
		_, err := d.pub.AppendDigest(ctx, c.number, after, c.data)
		if !errors.Is(err, publisher.ErrConflict) {
			return err
		}
		var have []byte
		if have, after, err = publisher.LastDigest(ctx, d.js, c.number); err != nil {
			return fmt.Errorf("read the digest that is stored: %w", err)
		}
		if string(have) == string(c.data) {
			return nil
		}
	}
	return publisher.ErrConflict
}
