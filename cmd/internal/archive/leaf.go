package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// The kinds of leaves: the first word of each.
const (
	kindEvent  = "event"
	kindMore   = "more"
	kindGap    = "gap"
	kindStream = "stream"
)

// maxLeaf is the largest leaf: an entry bundle has 16 bits for its length.
const maxLeaf = 1<<16 - 1

// leaf is one leaf of the tree, taken apart. Its first line says what it is:
//
//	stream <name> <created> <next>                            events of this stream follow, from the sequence next on
//	event <sequence> <stored> <subject> <headers> <payload>   a message, then its headers and payload of these lengths
//	more <sequence> <offset>                                  the next part of a message that does not fit into one leaf
//	gap <first> <last> <stored>                               the stream no longer had these, when it had what follows
//
// Times are nanoseconds since 1970, of the server. So a leaf depends on the stream alone.
type leaf struct {
	kind string
	// first and last are the sequences that the leaf is about; they differ in a gap only.
	first, last uint64
	// time is when the message was stored, that after a gap, or when the stream was made.
	time    time.Time
	subject string // of an event, or the name of a stream
	// headers and payload are the lengths of an event's parts.
	headers, payload int
	// offset is where a part of a message begins, in headers and payload together.
	offset int
	// body is what follows the first line.
	body []byte
}

// rest returns how much of the message follows in further leaves.
func (l leaf) rest() int {
	if l.kind != kindEvent {
		return 0
	}
	return l.headers + l.payload - len(l.body)
}

// eventLeaves returns the leaves of a message.
func eventLeaves(m *jetstream.RawStreamMsg) [][]byte {
	headers := encodeHeaders(m.Header)
	rest := slices.Concat(headers, m.Data)
	head := fmt.Appendf(nil, "%s %d %d %s %d %d\n", kindEvent, m.Sequence, m.Time.UnixNano(), m.Subject, len(headers), len(m.Data))
	var leaves [][]byte
	for offset := 0; ; {
		n := min(len(rest)-offset, maxLeaf-len(head))
		leaves = append(leaves, append(head, rest[offset:offset+n]...))
		if offset += n; offset >= len(rest) {
			return leaves
		}
		head = fmt.Appendf(nil, "%s %d %d\n", kindMore, m.Sequence, offset)
	}
}

func gapLeaf(first, last uint64, next time.Time) []byte {
	return fmt.Appendf(nil, "%s %d %d %d\n", kindGap, first, last, next.UnixNano())
}

func streamLeaf(p publisher.Place) []byte {
	return fmt.Appendf(nil, "%s %s %d %d\n", kindStream, p.Stream, p.Created.UnixNano(), p.Next)
}

// parseLeaf takes a leaf apart. The body refers to data.
func parseLeaf(data []byte) (leaf, error) {
	line, body, ok := bytes.Cut(data, []byte("\n"))
	f := fields{all: strings.Split(string(line), " ")}
	l := leaf{kind: f.next(), body: body}
	switch l.kind {
	case kindEvent:
		l.first, l.time, l.subject = f.number(), f.moment(), f.next()
		l.last, l.headers, l.payload = l.first, f.size(), f.size()
		if l.headers+l.payload < len(body) {
			f.wrong = errors.New("it is longer than it says")
		}
	case kindMore:
		l.first, l.offset = f.number(), f.size()
		l.last = l.first
	case kindGap:
		l.first, l.last, l.time = f.number(), f.number(), f.moment()
	case kindStream:
		l.subject, l.time, l.first = f.next(), f.moment(), f.number()
		l.last = l.first - 1
	default:
		return l, fmt.Errorf("is no leaf that this version knows: it begins with %.20q", line)
	}
	switch {
	case f.wrong != nil:
	case !ok:
		f.wrong = errors.New("its first line does not end")
	case len(f.all) > 0:
		f.wrong = errors.New("its first line has too many words")
	case (l.kind == kindGap || l.kind == kindStream) && len(body) > 0:
		f.wrong = errors.New("something follows its first line")
	}
	if f.wrong != nil {
		return l, fmt.Errorf("is no leaf of the kind %s: %.80q: %w", l.kind, line, f.wrong)
	}
	return l, nil
}

// fields are the words of a leaf's first line. The first wrong one is kept.
type fields struct {
	all   []string
	wrong error
}

func (f *fields) next() string {
	if len(f.all) == 0 || f.all[0] == "" {
		f.wrong = errors.New("a word is missing")
		return ""
	}
	word := f.all[0]
	f.all = f.all[1:]
	return word
}

func (f *fields) number() uint64 {
	n, err := strconv.ParseUint(f.next(), 10, 64)
	if err != nil && f.wrong == nil {
		f.wrong = err
	}
	return n
}

func (f *fields) size() int { return int(f.number() & (1<<31 - 1)) }

func (f *fields) moment() time.Time {
	n, err := strconv.ParseInt(f.next(), 10, 64)
	if err != nil && f.wrong == nil {
		f.wrong = err
	}
	return time.Unix(0, n).UTC()
}

const headersBegin = "NATS/1.0\r\n"

// encodeHeaders returns headers as NATS sends them, in the order of their names: a client does
// not keep the order in which they were published. No headers are no bytes.
func encodeHeaders(h nats.Header) []byte {
	if len(h) == 0 {
		return nil
	}
	b := []byte(headersBegin)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			b = fmt.Appendf(b, "%s: %s\r\n", name, value)
		}
	}
	return append(b, "\r\n"...)
}

func decodeHeaders(data []byte) (nats.Header, error) {
	if len(data) == 0 {
		return nil, nil
	}
	text, ok := strings.CutPrefix(string(data), headersBegin)
	text, ended := strings.CutSuffix(text, "\r\n")
	if !ok || !ended {
		return nil, errors.New("has headers that do not begin and end as headers of NATS do")
	}
	h := nats.Header{}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("has a header without a name: %.40q", line)
		}
		h[name] = append(h[name], value)
	}
	return h, nil
}

// message returns the message whose first leaf l is and whose body is whole.
func (l leaf) message(body []byte) (*jetstream.RawStreamMsg, error) {
	if len(body) != l.headers+l.payload {
		return nil, fmt.Errorf("has %d bytes of headers and payload instead of %d", len(body), l.headers+l.payload)
	}
	header, err := decodeHeaders(body[:l.headers])
	if err != nil {
		return nil, err
	}
	return &jetstream.RawStreamMsg{Subject: l.subject, Sequence: l.first, Time: l.time, Header: header, Data: body[l.headers:]}, nil
}

// appendEntry appends a leaf to an entry bundle.
func appendEntry(bundle, leaf []byte) []byte {
	return append(binary.BigEndian.AppendUint16(bundle, uint16(len(leaf))), leaf...)
}

// entries returns the leaves of an entry bundle.
func entries(bundle []byte) ([][]byte, error) {
	leaves := make([][]byte, 0, tileWidth)
	for len(bundle) > 0 {
		if len(bundle) < 2 {
			return leaves, errors.New("ends within a length")
		}
		n := int(binary.BigEndian.Uint16(bundle))
		if bundle = bundle[2:]; len(bundle) < n {
			return leaves, fmt.Errorf("ends within leaf %d of it", len(leaves))
		}
		leaves, bundle = append(leaves, bundle[:n:n]), bundle[n:]
	}
	return leaves, nil
}
