package validate

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"backhaul/schemas"
)

// eventSchemas compiles the schemas of events on first use and keeps them.
type eventSchemas struct {
	compiled map[string]*jsonschema.Schema
	english  *message.Printer
}

func newEventSchemas() *eventSchemas {
	return &eventSchemas{compiled: make(map[string]*jsonschema.Schema), english: message.NewPrinter(language.English)}
}

// get returns the schema with this name, which must exist.
func (s *eventSchemas) get(name string) (*jsonschema.Schema, error) {
	if schema, ok := s.compiled[name]; ok {
		return schema, nil
	}
	data, err := schemas.Schema(name)
	if err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(name, document); err != nil {
		return nil, err
	}
	schema, err := compiler.Compile(name)
	if err != nil {
		return nil, err
	}
	s.compiled[name] = schema
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
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return []Problem{{Pointer: at, Text: "is not valid JSON: " + err.Error()}}
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](schema.Validate(value))
	if !ok {
		return nil
	}
	all := s.leaves(invalid, at)
	// The validator iterates over a map, so its order varies.
	slices.SortFunc(all, func(a, b Problem) int { return strings.Compare(a.Pointer+a.Text, b.Pointer+b.Text) })
	return all
}

// leaves returns the innermost errors of a tree of errors.
func (s *eventSchemas) leaves(e *jsonschema.ValidationError, at string) []Problem {
	pointer := at
	for _, token := range e.InstanceLocation {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
	}
	var all []Problem
	for _, cause := range e.Causes {
		all = append(all, s.leaves(cause, at)...)
	}
	if len(all) > 0 {
		return all
	}
	if required, ok := e.ErrorKind.(*kind.Required); ok {
		for _, name := range required.Missing {
			all = append(all, Problem{Pointer: pointer + "/" + name, Text: "is required"})
		}
		return all
	}
	return []Problem{{Pointer: pointer, Text: e.ErrorKind.LocalizedString(s.english)}}
}
