// Package validate checks JSON documents against the published schemas.
//
// A request is read by the service's own decoder, so both decide the same. The JSON Schema
// of requests agrees with that decoder (schemas.TestDecodeRequest_agreesWithTheSchema). The
// decoders of events are lenient on purpose and accept nearly anything, so the data of an
// event is validated against its JSON Schema.
//
// A [Validator] must not be used by several goroutines at a time.
package validate

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"backhaul/schemas"
)

// RequestSchema is the name of the schema of requests. All others are of events.
const RequestSchema = "backup-request.v1"

// Document is the result for one document.
type Document struct {
	// Line is the line where the document begins, counted from 1.
	Line int `json:"line"`
	// Schema is the name of the schema that the document was validated against.
	Schema   string    `json:"schema"`
	Problems []Problem `json:"problems,omitempty"`
}

// Valid reports whether the document has no problems.
func (d Document) Valid() bool { return len(d.Problems) == 0 }

// Problem is one problem of a document.
type Problem struct {
	Line int `json:"line"`
	// Pointer is the JSON pointer to the value, "" for the document as a whole.
	Pointer string `json:"pointer,omitempty"`
	Text    string `json:"text"`
}

// Validator validates documents.
type Validator struct {
	name   string // schema of every document, "" to choose it by the document
	events *eventSchemas
}

// New returns a validator for documents of the named schema, or of any schema if name is
// "". It returns an error if the schema does not exist.
func New(name string) (*Validator, error) {
	if name != "" {
		if _, err := schemas.Schema(name); err != nil {
			return nil, err
		}
	}
	return &Validator{name: name, events: newEventSchemas()}, nil
}

// sameNames lets reading continue behind a duplicate member, which becomes a problem of
// its document only.
var sameNames = jsontext.AllowDuplicateNames(true)

// maxAgain bounds how many bytes are read more than once. After a document that is not
// JSON, reading continues at the next line that may begin a document, although the fault
// may have been found further on.
const maxAgain = 16 << 20

// Read calls visit with the result for each document in data. After a document that is
// not JSON it continues at the next line that may begin one. It stops at an error of
// visit and returns it.
func (v *Validator) Read(data []byte, visit func(Document) error) error {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // as Windows writes
	lines := lineCounter{data: data}
	again := 0
	for start := 0; ; {
		dec := jsontext.NewDecoder(bytes.NewReader(data[start:]), sameNames)
		value, err := dec.ReadValue()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			d, next, seen := broken(&lines, start, err)
			if again += max(0, seen-next); again > maxAgain {
				d.Problems = append(d.Problems, Problem{Line: d.Line, Text: "too much of the file is not JSON; what follows is not read"})
				next = len(data)
			}
			if err := visit(d); err != nil {
				return err
			}
			start = next
			continue
		}
		end := start + int(dec.InputOffset())
		if err := visit(v.document(value, lines.at(end-len(value)))); err != nil {
			return err
		}
		start = end
	}
}

// lineCounter counts the lines of data. It continues from the last offset, so that a file
// of many documents is counted once.
type lineCounter struct {
	data         []byte
	offset, line int // line breaks before the offset
}

// at returns the line of an offset, counted from 1.
func (c *lineCounter) at(offset int) int {
	if offset < c.offset {
		return 1 + c.line - bytes.Count(c.data[offset:c.offset], []byte("\n"))
	}
	c.line += bytes.Count(c.data[c.offset:offset], []byte("\n"))
	c.offset = offset
	return 1 + c.line
}

// broken returns the result for a document that is not JSON, the offset where the next one
// may begin, and the offset where the fault was found.
func broken(lines *lineCounter, start int, err error) (d Document, next, seen int) {
	data := lines.data
	first := start + len(data[start:]) - len(bytes.TrimLeft(data[start:], " \t\r\n"))
	text, offset := schemas.Malformed(data[start:], err)
	at := len(data)
	if offset >= 0 {
		at = min(start+offset, len(data))
	}
	d = Document{Line: lines.at(first), Schema: RequestSchema, Problems: []Problem{
		{Line: lines.at(at), Text: text},
	}}
	// The fault may have been found far behind the line that causes it.
	if next := bytes.Index(data[first:], []byte("\n{")); next >= 0 {
		return d, first + next + 1, at
	}
	return d, len(data), at
}

// document validates one value against its schema.
func (v *Validator) document(value jsontext.Value, line int) Document {
	name, data, at := v.name, value, ""
	if kind, inner, ok := eventOf(value); ok && (name == "" || name == string(kind)+".v1") {
		name, data, at = string(kind)+".v1", inner, "/data"
	}
	d := Document{Line: line, Schema: name}
	if name == "" || name == RequestSchema {
		d.Schema = RequestSchema
		d.Problems = requestProblems(value)
	} else {
		d.Problems = v.events.problems(name, data, at)
	}
	locate(d.Problems, value, line)
	slices.SortStableFunc(d.Problems, func(a, b Problem) int { return a.Line - b.Line })
	return d
}

// eventOf reports whether a document is one of Backhaul's events, and returns its kind
// and data.
func eventOf(value jsontext.Value) (kind schemas.Kind, data jsontext.Value, ok bool) {
	var event struct {
		SpecVersion string         `json:"specversion"`
		Type        string         `json:"type"`
		Data        jsontext.Value `json:"data"`
	}
	if json.Unmarshal(value, &event, sameNames) != nil || event.SpecVersion == "" {
		return "", nil, false
	}
	if slices.ContainsFunc(schemas.Actions, func(a schemas.Action) bool { return a.Type() == event.Type }) {
		return "operator", event.Data, true // a schema that is not of a kind
	}
	if slices.ContainsFunc(schemas.ProtectionStates, func(s schemas.ProtectionState) bool { return s.Type() == event.Type }) {
		return "protection", event.Data, true
	}
	i := slices.IndexFunc(schemas.Kinds, func(k schemas.Kind) bool { return k.Type() == event.Type })
	if i < 0 {
		return "", nil, false
	}
	return schemas.Kinds[i], event.Data, true
}

func requestProblems(value jsontext.Value) []Problem {
	_, err := schemas.DecodeRequest(nil, value)
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*schemas.InvalidError](err)
	if !ok {
		return []Problem{{Text: err.Error()}}
	}
	var all []Problem
	for _, p := range invalid.Problems {
		if strings.HasPrefix(p.Field, "/") {
			all = append(all, Problem{Pointer: p.Field, Text: p.Text})
		} else {
			all = append(all, Problem{Text: p.String()})
		}
	}
	return all
}
