package validate

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"backhaul/schemas"
)

// eventSchemas reads the schemas of events on first use and keeps them.
type eventSchemas struct {
	read map[string]*eventSchema
}

func newEventSchemas() *eventSchemas { return &eventSchemas{read: make(map[string]*eventSchema)} }

// get returns the schema with this name, which must exist.
func (s *eventSchemas) get(name string) (*eventSchema, error) {
	if schema, ok := s.read[name]; ok {
		return schema, nil
	}
	data, err := schemas.Schema(name)
	if err != nil {
		return nil, err
	}
	schema, err := readEventSchema(data)
	if err != nil {
		return nil, err
	}
	s.read[name] = schema
	return schema, nil
}

// problems returns the problems of an event's data. at is the data's pointer in its
// document.
func (s *eventSchemas) problems(name string, data jsontext.Value, at string) []Problem {
	if len(data) == 0 {
		return []Problem{{Pointer: at, Text: "is required: the data of the event"}}
	}
	schema, err := s.get(name)
	if err != nil {
		return []Problem{{Text: err.Error()}}
	}
	var value any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return []Problem{{Pointer: at, Text: "is not valid JSON: " + err.Error()}}
	}
	var c checker
	c.check(schema, value, at)
	// A map is iterated over, so the order varies.
	slices.SortFunc(c.problems, func(a, b Problem) int { return strings.Compare(a.Pointer+a.Text, b.Pointer+b.Text) })
	return c.problems
}
