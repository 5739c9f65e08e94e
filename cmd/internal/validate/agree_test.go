package validate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"pgregory.net/rapid"

	"backhaul/schemas"
	"backhaul/schemas/schemastest"
)

// A library for all of JSON Schema has the second opinion: the same problems, at the same places,
// in the same words but for times.
func TestEventSchemas_agreeWithALibrary(t *testing.T) {
	t.Parallel()
	for _, event := range schemas.Kinds {
		t.Run(string(event), func(t *testing.T) {
			t.Parallel()
			name := string(event) + ".v1"
			library, own := compileWithLibrary(t, name), newEventSchemas()
			compare := func(t rapid.TB, document any) {
				data, err := json.Marshal(document)
				if err != nil {
					t.Fatal(err)
				}
				got, want := texts(own.problems(name, data, "/data")), problemsOfLibrary(t, library, data, "/data")
				if !slices.Equal(got, want) {
					t.Fatalf("%s\ngot  %s\nwant %s", data, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
				}
			}
			var documents []any
			for _, e := range schemastest.Events(t, event) {
				document := decoded(t, schemas.EncodeEvent(e))
				documents = append(documents, document)
				for _, value := range values {
					for changed := range changes(document, value) {
						compare(t, changed)
					}
				}
			}
			rapid.Check(t, func(rt *rapid.T) {
				document := rapid.SampledFrom(documents).Draw(rt, "document")
				for range rapid.IntRange(2, 4).Draw(rt, "changes") {
					value := rapid.OneOf(rapid.SampledFrom(values), rapid.Map(times, func(s string) any { return s })).Draw(rt, "value")
					document = rapid.SampledFrom(slices.Collect(changes(document, value))).Draw(rt, "change")
				}
				compare(rt, document)
			})
		})
	}
}

// removed, as a value, stands for a member that is missing.
type removed struct{}

var values = []any{
	removed{}, nil, true, map[string]any{}, map[string]any{"": json.Number("7")}, []any{}, []any{"x", "12"}, "", "x", "ü'\"\n", "12", "vendor", "breached",
	strings.Repeat("0", 64), json.Number("-1"), json.Number("0"), json.Number("2.0"), json.Number("1.5"), json.Number("101"), json.Number("1e1"),
	json.Number("1e999999999"), "2026-02-29T00:00:00Z", "2024-02-29t23:59:60.5z", "2026-11-23T00:59:60-23:00", "2026-11-23T09:00:00,5Z", "2026-11-23T9:00:00.00Z",
}

var times = rapid.StringMatching(`2026-(0[0-9]|1[0-3])-([0-2][0-9]|3[0-2])[Tt ](0[0-2]|2[1-4]):(00|5[89]|60):(00|59|6[01])(\.[0-9]{0,3})?([Zz]?|[+-](0[0-2]|2[1-4]):(00|01|59|60))`)

// changes iterates over a document with one value replaced each, at any depth, or a member added.
func changes(document, value any) iter.Seq[any] {
	return func(yield func(any) bool) {
		switch v := document.(type) {
		case map[string]any:
			for _, name := range append(slices.Sorted(maps.Keys(v)), "a/b~c") {
				for member := range changes(v[name], value) {
					changed := maps.Clone(v)
					if changed[name] = member; member == (removed{}) {
						delete(changed, name)
					}
					if !yield(changed) {
						return
					}
				}
			}
		case []any:
			for i := range v {
				for item := range changes(v[i], value) {
					changed := slices.Clone(v)
					if changed[i] = item; item == (removed{}) {
						changed = slices.Delete(changed, i, i+1)
					}
					if !yield(changed) {
						return
					}
				}
			}
		}
		yield(value)
	}
}

func texts(problems []Problem) (all []string) {
	for _, p := range problems {
		text, _, _ := strings.Cut(p.Text, "date-time: ")
		all = append(all, p.Pointer+" "+text)
	}
	return all
}

func decoded(t *testing.T, data []byte) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func compileWithLibrary(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	data, err := schemas.Schema(name)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(name, decoded(t, data)); err != nil {
		t.Fatal(err)
	}
	return compiler.MustCompile(name)
}

func problemsOfLibrary(t rapid.TB, schema *jsonschema.Schema, data []byte, at string) []string {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var all []Problem
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](schema.Validate(value)); ok {
		all = leaves(invalid, at, message.NewPrinter(language.English))
	}
	slices.SortFunc(all, func(a, b Problem) int { return strings.Compare(a.Pointer+a.Text, b.Pointer+b.Text) })
	return texts(all)
}

// leaves returns the innermost errors of a tree of errors.
func leaves(e *jsonschema.ValidationError, at string, english *message.Printer) (all []Problem) {
	for _, cause := range e.Causes {
		all = append(all, leaves(cause, at, english)...)
	}
	if len(all) > 0 {
		return all
	}
	pointer := at
	for _, token := range e.InstanceLocation {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
	}
	if required, ok := e.ErrorKind.(*kind.Required); ok {
		for _, name := range required.Missing {
			all = append(all, Problem{Pointer: pointer + "/" + name, Text: "is required"})
		}
		return all
	}
	return []Problem{{Pointer: pointer, Text: e.ErrorKind.LocalizedString(english)}}
}

func TestReadEventSchema_refusesWhatItDoesNotCheck(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"type":"object","properties":{"a":{"type":"string","maxLength":3}}}`: "maxLength",
		`{"type":"array","items":{"type":"string","format":"uri"}}`:            "date-time",
		`{"type":"object","additionalProperties":{"pattern":"("}}`:             "parsing regexp",
	} {
		if _, err := readEventSchema([]byte(schema)); err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: got %v, want an error about %s", schema, err, want)
		}
	}
}
