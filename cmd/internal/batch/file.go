package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"backhaul/schemas"
)

// File holds the requests of a file.
type File struct {
	// Requests are the requests, each with an id of its own.
	Requests []schemas.BackupRequest
	// Merged is how many documents repeated an earlier request with the same id.
	Merged int
	// Derived is how many requests had no id and got a derived one.
	Derived int
}

// FileError lists the faults of a file, in the order of the file.
type FileError struct {
	Faults []error
}

// maxFaults is how many faults are shown; the others are only counted.
const maxFaults = 50

func (e *FileError) Error() string {
	shown := e.Faults[:min(len(e.Faults), maxFaults)]
	text := errors.Join(shown...).Error()
	if n := len(e.Faults) - len(shown); n > 0 {
		text += fmt.Sprintf("\nand %d more", n)
	}
	return text
}

// ReadFile reads consecutive JSON documents, such as NDJSON. The error is a [*FileError]
// that names every fault with its line.
//
// A request without an id gets one derived from the batch's name, the request's content
// and how often the same content occurred before it. The id stays the same when the file
// is read again, even if other requests were added or moved, and differs in a batch with
// another name.
func ReadFile(name string, data []byte, batch string) (File, error) {
	r := fileReader{name: name, batch: batch, seen: make(map[string]seen), times: make(map[[sha256.Size]byte]int)}
	r.read(data)
	if len(r.faults) == 0 && len(r.file.Requests) == 0 {
		r.faults = append(r.faults, fmt.Errorf("%s: the file has no requests", name))
	}
	if len(r.faults) > 0 {
		return File{}, &FileError{r.faults}
	}
	return r.file, nil
}

type fileReader struct {
	name, batch string
	file        File
	faults      []error
	seen        map[string]seen           // by request id
	times       map[[sha256.Size]byte]int // occurrences of each content without an id
}

// seen is the first use of a request id.
type seen struct {
	line int
	hash [sha256.Size]byte
}

func (r *fileReader) read(data []byte) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // as Windows writes
	lines := lineCounter{data: data, line: 1}
	for start := 0; start < len(data); {
		// The request's own decoder reports duplicate members.
		dec := jsontext.NewDecoder(bytes.NewBuffer(data[start:]), jsontext.AllowDuplicateNames(true))
		next := r.documents(dec, &lines, start)
		if next <= start {
			return
		}
		start = next
	}
}

// documents reads documents up to the end or a syntax error. It returns the offset at which
// to continue: the next line that begins a document.
func (r *fileReader) documents(dec *jsontext.Decoder, lines *lineCounter, start int) (next int) {
	for {
		value, err := dec.ReadValue()
		if errors.Is(err, io.EOF) {
			return len(lines.data)
		}
		if err != nil {
			begin := start + int(dec.InputOffset())
			text, offset := schemas.Malformed(lines.data[start:], err)
			at := min(max(begin, start+offset), len(lines.data))
			r.fault(lines.at(at), errors.New(text))
			return nextDocument(lines.data, begin, at)
		}
		line := lines.at(start + int(dec.InputOffset()) - len(value))
		m, err := schemas.DecodeRequest(nil, value)
		if err != nil {
			r.fault(line, err)
			continue
		}
		r.add(line, m.Request)
	}
}

// nextDocument returns the offset of the next line after a syntax error that looks like
// the beginning of a document. An error at the very beginning of such a line belongs to
// the document before it, which has no end.
func nextDocument(data []byte, begin, at int) int {
	lineStart := 1 + bytes.LastIndexByte(data[:at], '\n')
	if lineStart > begin && begins(data[lineStart:]) && len(bytes.TrimSpace(data[lineStart:at])) == 0 {
		return lineStart
	}
	for {
		i := bytes.IndexByte(data[at:], '\n')
		if i < 0 {
			return len(data)
		}
		at += i + 1
		if begins(data[at:]) {
			return at
		}
	}
}

func begins(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("{"))
}

func (r *fileReader) fault(line int, err error) {
	r.faults = append(r.faults, fmt.Errorf("%s:%d: %w", r.name, line, err))
}

// add adds a valid request unless it repeats another.
func (r *fileReader) add(line int, req schemas.BackupRequest) {
	hash := sha256.Sum256(req.JSON())
	if req.RequestID == "" {
		r.times[hash]++
		req.RequestID = derivedID(r.batch, hash, r.times[hash])
		r.file.Derived++
		hash = sha256.Sum256(req.JSON())
	}
	first, used := r.seen[req.RequestID]
	switch {
	case !used:
		r.seen[req.RequestID] = seen{line, hash}
		r.file.Requests = append(r.file.Requests, req)
	case first.hash == hash:
		r.file.Merged++
	default:
		r.fault(line, fmt.Errorf("requestId %q is used in line %d with other content", req.RequestID, first.line))
	}
}

func derivedID(batch string, content [sha256.Size]byte, time int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %x %s", time, content, batch))
	return "file-" + hex.EncodeToString(sum[:16])
}

// lineCounter returns the lines of offsets in increasing order.
type lineCounter struct {
	data         []byte
	offset, line int
}

func (c *lineCounter) at(offset int) int {
	if offset < c.offset { // at most one document back
		return c.line - bytes.Count(c.data[offset:c.offset], []byte("\n"))
	}
	c.line += bytes.Count(c.data[c.offset:offset], []byte("\n"))
	c.offset = offset
	return c.line
}
