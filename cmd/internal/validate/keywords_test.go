package validate

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Each keyword means what it means to a library for all of JSON Schema, also in schemas that no event
// has yet.
func TestEventSchema_keywords(t *testing.T) {
	t.Parallel()
	for schema, values := range map[string][]string{
		`{"type":"integer","minimum":1,"maximum":5}`:  {`0`, `1`, `5`, `6`, `1.0`, `5.0`, `5.5`, `50e-1`, `"5"`, `null`},
		`{"type":"number","minimum":1,"maximum":5}`:   {`0.999999999999999999999`, `1`, `5`, `5.000000000000000000001`, `true`},
		`{"type":"string","minLength":2}`:             {`""`, `"ü"`, `"üü"`, `"ab"`, `"😀"`, `2`},
		`{"type":"string","pattern":"^a"}`:            {`"a"`, `"ba"`, `"ab"`},
		`{"type":"string","enum":["a","b'\""]}`:       {`"a"`, `"b'\""`, `"c"`, `""`},
		`{"type":"array","minItems":2}`:               {`[]`, `[1]`, `[1,"2"]`, `{}`},
		`{"type":"array","items":{"type":"integer"}}`: {`[]`, `[1,2]`, `["x",1.5]`},
		`{"type":"object","required":["a","b"]}`:      {`{}`, `{"a":null}`, `{"a":1,"b":2}`, `[]`},
		`{"type":"boolean"}`:                          {`true`, `false`, `null`, `0`},
		`{"type":"string","format":"date-time"}`:      {`"2026-11-29T08:00:00Z"`, `"2026-11-31T08:00:00Z"`, `"2026-11-29"`},
		`{"type":"object","additionalProperties":{"type":"string"},"properties":{"a":{"type":"integer"},"a/b~c":{"type":"boolean"}}}`: {
			`{"a":1,"b":"x"}`, `{"a":"x"}`, `{"b":1}`, `{"a/b~c":1,"~":2,"/":3}`,
		},
	} {
		own, err := readEventSchema([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		if err := compiler.AddResource("schema", decoded(t, []byte(schema))); err != nil {
			t.Fatal(err)
		}
		library := compiler.MustCompile("schema")
		for _, text := range values {
			dec := json.NewDecoder(bytes.NewReader([]byte(text)))
			dec.UseNumber()
			var value any
			if err := dec.Decode(&value); err != nil {
				t.Fatal(err)
			}
			var c checker
			c.check(own, value, "/data")
			slices.SortFunc(c.problems, func(a, b Problem) int { return strings.Compare(a.Pointer+a.Text, b.Pointer+b.Text) })
			if got, want := places(texts(c.problems)), places(problemsOfLibrary(t, library, []byte(text), "/data")); !slices.Equal(got, want) {
				t.Errorf("%s: %s\ngot  %q\nwant %q", schema, text, got, want)
			}
		}
	}
}

// places returns the pointer and the keyword of each problem. The library writes a number with a
// fraction in another way.
func places(problems []string) (all []string) {
	for _, p := range problems {
		place, _, _ := strings.Cut(p, ": got ")
		all = append(all, place)
	}
	return all
}
