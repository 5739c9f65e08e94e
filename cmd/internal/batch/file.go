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

// File is what a file of requests holds.
type File struct {
	// Requests have an id each, and no two have the same.
	Requests []schemas.BackupRequest
	// Merged is how many repeated an earlier request with the same id.
	Merged int
	// Derived is how many had no id.
	Derived int
}

// FileError lists what is wrong with a file, in its order.
type FileError struct {
	Faults []error
}

// maxFaults is how many faults are shown; the rest is counted.
const maxFaults = 50

func (e *FileError) Error() string {
	shown := e.Faults[:min(len(e.Faults), maxFaults)]
	text := errors.Join(shown...).Error()
	if n := len(e.Faults) - len(shown); n > 0 {
		text += fmt.Sprintf("\nand %d more", n)
	}
	return text
}

// ReadFile reads JSON documents one after another, such as NDJSON. The error is
// a [*FileError] that names every fault with its line.
//
// A request without an id gets one from the batch's name, its own content and how
// often the same content stood before it. So it is the same id when the file is
// read again, whatever is added to the file or moved in it meanwhile, and another
// one in a batch with another name.
func ReadFile(name string, data []byte, batch string) (File, error) {
	r := fileReader{name: name, batch: batch, seen: make(map[string]seen), times: make(map[[sha256.Size]byte]int)}
	r.read(data)
	if len(r.faults) == 0 && len(r.file.Requests) == 0 {
		r.faults = append(r.faults, fmt.Errorf("%s: no request in it", name))
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
	times       map[[sha256.Size]byte]int // how often a content without an id was there
}

// seen is where a request id was used first.
type seen struct {
	line int
	hash [sha256.Size]byte
}

var (
	utf8BOM    = []byte("\xef\xbb\xbf")
	utf16BOMs  = [][]byte{{0xff, 0xfe}, {0xfe, 0xff}}
	errNotUTF8 = errors.New("the file is UTF-16; save it as UTF-8")
)

func (r *fileReader) read(data []byte) {
	for _, bom := range utf16BOMs {
		if bytes.HasPrefix(data, bom) {
			r.fault(1, errNotUTF8)
			return
		}
	}
	data = bytes.TrimPrefix(data, utf8BOM)
	lines := lineCounter{data: data, line: 1}
	for start := 0; start < len(data); {
		// What is given twice is named by the request's own decoder.
		dec := jsontext.NewDecoder(bytes.NewBuffer(data[start:]), jsontext.AllowDuplicateNames(true))
		next := r.documents(dec, &lines, start)
		if next <= start {
			return
		}
		start = next
	}
}

// documents reads documents up to the end, or up to a syntax error, and returns
// where to go on: at the next line that begins a document.
func (r *fileReader) documents(dec *jsontext.Decoder, lines *lineCounter, start int) (next int) {
	for {
		value, err := dec.ReadValue()
		if errors.Is(err, io.EOF) {
			return len(lines.data)
		}
		if err != nil {
			begin := start + int(dec.InputOffset())
			at := begin
			if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
				at = max(at, start+int(syntax.ByteOffset))
				err = syntax.Err
			}
			at = min(at, len(lines.data))
			r.fault(lines.at(at), fmt.Errorf("not JSON: %w", err))
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

// nextDocument is the start of the line behind a syntax error that looks like
// the beginning of a document. An error at the very beginning of such a line was
// made by the document before it, which has no end.
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

// add takes a valid request, unless it repeats another.
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
		r.fault(line, fmt.Errorf("requestId %q is that of line %d, with other content", req.RequestID, first.line))
	}
}

func derivedID(batch string, content [sha256.Size]byte, time int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %x %s", time, content, batch))
	return "file-" + hex.EncodeToString(sum[:16])
}

// lineCounter counts lines up to offsets that only grow.
type lineCounter struct {
	data         []byte
	offset, line int
}

func (c *lineCounter) at(offset int) int {
	if offset < c.offset { // back by one document at most
		return c.line - bytes.Count(c.data[offset:c.offset], []byte("\n"))
	}
	c.line += bytes.Count(c.data[c.offset:offset], []byte("\n"))
	c.offset = offset
	return c.line
}
