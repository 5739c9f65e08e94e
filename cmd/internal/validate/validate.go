// Package validate holds JSON documents against the contract with other teams.
//
// A request is read by the decoder that the service uses, so the verdict is the
// service's; its JSON Schema says the same (schemas.TestRequestSchemaAndDecoderAgree).
// Readers of events are lenient on purpose and would take nearly anything, so the
// data of an event is held against its JSON Schema.
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

// RequestSchema is the name of the one schema that is not an event's.
const RequestSchema = "backup-request.v1"

// Document is one document and what is wrong with it.
type Document struct {
	// Line is where it begins, counted from 1.
	Line int `json:"line"`
	// Schema is the name of the one that it was held against.
	Schema   string    `json:"schema"`
	Problems []Problem `json:"problems,omitempty"`
}

// Valid tells whether nothing is wrong.
func (d Document) Valid() bool { return len(d.Problems) == 0 }

// Problem is one thing that is wrong.
type Problem struct {
	Line int `json:"line"`
	// Pointer is the JSON pointer inside the document, "" for all of it.
	Pointer string `json:"pointer,omitempty"`
	Text    string `json:"text"`
}

// Validator knows the schemas.
type Validator struct {
	name   string // of the schema for every document, "" for each its own
	events *eventSchemas
}

// New is a validator for documents of this schema, or with "" of any. The error
// says that there is no such schema.
func New(name string) (*Validator, error) {
	if name != "" {
		if _, err := schemas.Schema(name); err != nil {
			return nil, err
		}
	}
	return &Validator{name: name, events: newEventSchemas()}, nil
}

// sameNames: a member that is given twice is a problem of its document and not
// the end of all.
var sameNames = jsontext.AllowDuplicateNames(true)

// maxAgain bounds how many bytes are read more than once: behind a document that is not
// JSON, from the next line that may begin one, although the fault was seen further on.
const maxAgain = 16 << 20

// Read calls visit with each document in data. Behind one that is not JSON it
// goes on with the next line that begins one. The error is visit's.
func (v *Validator) Read(data []byte, visit func(Document) error) error {
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

// lineCounter counts the lines of data. It counts on from the last offset, so that a
// file of many documents is counted once.
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

// broken is a document that is not JSON, where the next one may begin, and where the fault
// was seen.
func broken(lines *lineCounter, start int, err error) (d Document, next, seen int) {
	data := lines.data
	first := start + len(data[start:]) - len(bytes.TrimLeft(data[start:], " \t\r\n"))
	at, text := len(data), err.Error()
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at, text = min(start+int(syntax.ByteOffset), len(data)), syntax.Err.Error()
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		text = "the document does not end"
	}
	d = Document{Line: lines.at(first), Schema: RequestSchema, Problems: []Problem{
		{Line: lines.at(at), Text: "is not valid JSON: " + text},
	}}
	// The fault may have been seen far behind the line that has it.
	if next := bytes.Index(data[first:], []byte("\n{")); next >= 0 {
		return d, first + next + 1, at
	}
	return d, len(data), at
}

// document holds one value against its schema.
func (v *Validator) document(value jsontext.Value, line int) Document {
	name, data, at := v.name, value, ""
	if kind, inner, ok := ofOurs(value); ok && (name == "" || name == string(kind)+".v1") {
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

// ofOurs tells whether a document is an event of ours, with its data.
func ofOurs(value jsontext.Value) (kind schemas.Kind, data jsontext.Value, ok bool) {
	var event struct {
		SpecVersion string         `json:"specversion"`
		Type        string         `json:"type"`
		Data        jsontext.Value `json:"data"`
	}
	if json.Unmarshal(value, &event, sameNames) != nil || event.SpecVersion == "" {
		return "", nil, false
	}
	if slices.ContainsFunc(schemas.Actions, func(a schemas.Action) bool { return a.Type() == event.Type }) {
		return "operator", event.Data, true // not a kind, but a schema
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
