package protection

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"backhaul/schemas"
)

// A Digest has what the events with some sequences say, in few bytes: it takes less than a
// twentieth of the time to read them. It is a copy, and never the only one.
type Digest struct {
	out     []byte
	request map[id]uint64
	text    map[string]uint64

	count int
	added moment // of the last entry
	last  moment // of the last message
}

// moment is the sequence of a message, and when it was stored.
type moment struct {
	sequence uint64
	stored   instant
}

// digestVersion is the first byte of a digest, and the number of outcomes that its writer knew is
// the second. A digest with others is not read: it may have less than a fold needs.
const digestVersion = 1

// digestKinds are the kinds of events in a digest, which has their index.
var digestKinds = []schemas.Kind{
	schemas.KindJobSubmitting, schemas.KindJobStarted, schemas.KindJobFailed, schemas.KindJobFinished, schemas.KindJobUnfollowed,
}

// NewDigest returns a digest of no events.
func NewDigest() *Digest {
	return &Digest{request: make(map[id]uint64), text: make(map[string]uint64)}
}

// See notes that a message was stored, whatever it says. The messages are seen in the order of the
// stream, and then added.
func (d *Digest) See(sequence uint64, stored time.Time) {
	d.last = moment{sequence, instantOf(stored)}
}

// Add adds what a message says.
func (d *Digest) Add(e *Entry) {
	kind := slices.Index(digestKinds, e.kind)
	d.out = append(d.out, byte(kind))
	d.out = binary.AppendUvarint(d.out, e.sequence-d.added.sequence)
	d.out = binary.AppendVarint(d.out, int64(e.stored-d.added.stored))
	d.added = moment{e.sequence, e.stored}
	d.count++
	d.appendRequest(e.request)
	if e.kind == schemas.KindJobSubmitting {
		return
	}
	d.out = append(d.out, byte(e.flags))
	for _, name := range e.group.names() {
		d.appendText(*name)
	}
	d.appendText(e.code)
	for _, t := range []instant{e.requested, e.since, e.until} {
		d.appendTime(t)
	}
	for _, n := range []uint64{e.job, uint64(e.jobs), uint64(e.outcome)} {
		d.out = binary.AppendUvarint(d.out, n)
	}
}

// names returns the names that a group has.
func (g *Group) names() [4]*string {
	return [4]*string{&g.Client, &g.Instance, &g.Backupset, &g.Subclient}
}

// What occurs again is the number of its first occurrence, beginning with 1. 0 is followed by what
// is new.

func (d *Digest) appendRequest(request id) {
	n, known := d.request[request]
	if !known {
		d.request[request] = uint64(len(d.request)) + 1
	}
	if d.out = binary.AppendUvarint(d.out, n); !known {
		d.out = append(d.out, request[:]...)
	}
}

func (d *Digest) appendText(text string) {
	n, known := d.text[text]
	if !known {
		d.text[text] = uint64(len(d.text)) + 1
	}
	if d.out = binary.AppendUvarint(d.out, n); !known {
		d.out = binary.AppendUvarint(d.out, uint64(len(text)))
		d.out = append(d.out, text...)
	}
}

// appendTime appends a time relative to that of the event; 0 is no time.
func (d *Digest) appendTime(t instant) {
	if t == 0 {
		d.out = append(d.out, 0)
		return
	}
	d.out = append(d.out, 1)
	d.out = binary.AppendVarint(d.out, int64(t-d.added.stored))
}

// Bytes returns the digest of a stream that was made at a time.
func (d *Digest) Bytes(created time.Time) []byte {
	head := []byte{digestVersion, byte(len(schemas.Outcomes))}
	head = binary.AppendVarint(head, created.UnixNano())
	head = binary.AppendUvarint(head, d.last.sequence)
	head = binary.AppendVarint(head, int64(d.last.stored))
	head = binary.AppendUvarint(head, uint64(d.count))
	return append(head, d.out...)
}

// A ReadDigest is a digest as it is stored.
type ReadDigest struct {
	// Created is when the stream was made that it is about.
	Created time.Time
	// Last is the sequence of the last event, and Stored when that was stored.
	Last   uint64
	Stored time.Time

	first uint64 // sequence of the first entry, 0 if there is none
	count uint64
	data  []byte // of the entries
}

var errDigest = errors.New("it is not a digest")

// ParseDigest reads a digest.
func ParseDigest(data []byte) (*ReadDigest, error) {
	if len(data) < 2 || data[0] != digestVersion || int(data[1]) != len(schemas.Outcomes) {
		return nil, fmt.Errorf("%w, or it was written by another version", errDigest)
	}
	in := digestReader{rest: data[2:]}
	d := &ReadDigest{Created: time.Unix(0, in.varint()), Last: in.uvarint(), Stored: time.Unix(0, in.varint()), count: in.uvarint()}
	if in.bad || d.count > digestEvents {
		return nil, errDigest
	}
	d.data = in.rest
	in = d.each(func(e *Entry) {
		if d.first == 0 {
			d.first = e.sequence
		}
	})
	if in.bad || len(in.rest) > 0 || in.sequence > d.Last {
		return nil, errDigest
	}
	return d, nil
}

// each calls visit for each entry, which is valid until visit returns. All entries would take ten
// times the memory of the digest.
func (d *ReadDigest) each(visit func(*Entry)) digestReader {
	in := digestReader{rest: d.data}
	e := new(Entry)
	for range d.count {
		*e = Entry{}
		if in.entry(e); in.bad {
			break
		}
		visit(e)
	}
	return in
}

// AddDigest adds the events of a digest from a sequence on.
func (f *Fold) AddDigest(d *ReadDigest, from uint64) {
	d.each(func(e *Entry) {
		if e.sequence >= from {
			f.AddEntry(e)
		}
	})
}

// digestReader reads what a [Digest] has written.
type digestReader struct {
	rest     []byte
	bad      bool // what is read is not to be used
	request  []id
	text     []string
	sequence uint64
	stored   instant
}

func (in *digestReader) entry(e *Entry) {
	kind := in.byte()
	if int(kind) >= len(digestKinds) {
		in.bad = true
		return
	}
	in.sequence += in.uvarint()
	in.stored += instant(in.varint())
	e.kind, e.sequence, e.stored, e.request = digestKinds[kind], in.sequence, in.stored, in.nextRequest()
	if e.kind == schemas.KindJobSubmitting {
		return
	}
	e.flags = flags(in.byte())
	for _, name := range e.group.names() {
		*name = in.nextText()
	}
	e.code = in.nextText()
	for _, t := range []*instant{&e.requested, &e.since, &e.until} {
		*t = in.time()
	}
	e.job, e.jobs, e.outcome = in.uvarint(), uint16(in.uvarint()), Outcomes(in.uvarint())
}

func (in *digestReader) nextRequest() (request id) {
	switch n := in.uvarint(); {
	case n > uint64(len(in.request)):
		in.bad = true
	case n > 0:
		return in.request[n-1]
	default:
		copy(request[:], in.bytes(uint64(len(request))))
		in.request = append(in.request, request)
	}
	return request
}

func (in *digestReader) nextText() (text string) {
	switch n := in.uvarint(); {
	case n > uint64(len(in.text)):
		in.bad = true
	case n > 0:
		return in.text[n-1]
	default:
		text = string(in.bytes(in.uvarint()))
		in.text = append(in.text, text)
	}
	return text
}

func (in *digestReader) time() instant {
	if in.byte() == 0 {
		return 0
	}
	return in.stored + instant(in.varint())
}

func (in *digestReader) byte() byte {
	if b := in.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (in *digestReader) bytes(n uint64) []byte {
	if n > uint64(len(in.rest)) {
		in.bad, in.rest = true, nil
		return nil
	}
	b := in.rest[:n]
	in.rest = in.rest[n:]
	return b
}

func (in *digestReader) uvarint() uint64 {
	n, size := binary.Uvarint(in.rest)
	in.skip(size)
	return n
}

func (in *digestReader) varint() int64 {
	n, size := binary.Varint(in.rest)
	in.skip(size)
	return n
}

func (in *digestReader) skip(size int) {
	if size <= 0 {
		in.bad, in.rest = true, nil
		return
	}
	in.rest = in.rest[size:]
}
