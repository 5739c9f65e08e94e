package validate

import (
	stdjson "encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// eventSchema is a JSON Schema with the keywords that the schemas of events use. Another keyword
// is an error. A library for all of JSON Schema compiles the meta-schemas when it is linked: a
// tenth of the time that every command takes to start. The tests compare the two.
type eventSchema struct {
	Type                 string                  `json:"type"`
	Enum                 []string                `json:"enum"`
	Format               string                  `json:"format"`
	Pattern              string                  `json:"pattern"`
	MinLength            int                     `json:"minLength"`
	Minimum              *int64                  `json:"minimum"`
	Maximum              *int64                  `json:"maximum"`
	MinItems             int                     `json:"minItems"`
	Items                *eventSchema            `json:"items"`
	Required             []string                `json:"required"`
	Properties           map[string]*eventSchema `json:"properties"`
	AdditionalProperties *eventSchema            `json:"additionalProperties"`

	// What says nothing about a value.
	Dialect     string         `json:"$schema"`
	ID          string         `json:"$id"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	Examples    jsontext.Value `json:"examples"`

	pattern *regexp.Regexp
}

// readEventSchema reads a schema.
func readEventSchema(data []byte) (*eventSchema, error) {
	var s eventSchema
	if err := json.Unmarshal(data, &s, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	return &s, s.prepare()
}

// prepare compiles the patterns of a schema and of those in it.
func (s *eventSchema) prepare() (err error) {
	if s.Format != "" && s.Format != "date-time" {
		return fmt.Errorf("unknown format %q: must be date-time", s.Format)
	}
	if s.Pattern != "" {
		if s.pattern, err = regexp.Compile(s.Pattern); err != nil {
			return err
		}
	}
	for _, part := range s.parts() {
		if err := part.prepare(); err != nil {
			return err
		}
	}
	return nil
}

// parts returns the schemas that a schema consists of.
func (s *eventSchema) parts() (all []*eventSchema) {
	for _, part := range s.Properties {
		all = append(all, part)
	}
	for _, part := range []*eventSchema{s.Items, s.AdditionalProperties} {
		if part != nil {
			all = append(all, part)
		}
	}
	return all
}

// checker collects the problems of a value.
type checker struct{ problems []Problem }

func (c *checker) add(at, format string, args ...any) {
	c.problems = append(c.problems, Problem{Pointer: at, Text: fmt.Sprintf(format, args...)})
}

// check adds the problems of a value. at is its pointer.
func (c *checker) check(s *eventSchema, value any, at string) {
	if got := typeOf(value); got != s.Type && !(s.Type == "integer" && isInteger(value)) {
		c.add(at, "got %s, want %s", got, s.Type)
		return
	}
	switch v := value.(type) {
	case map[string]any:
		c.object(s, v, at)
	case []any:
		if len(v) < s.MinItems {
			c.add(at, "minItems: got %d, want %d", len(v), s.MinItems)
		}
		for i, item := range v {
			if s.Items != nil {
				c.check(s.Items, item, at+"/"+strconv.Itoa(i))
			}
		}
	case string:
		c.text(s, v, at)
	case stdjson.Number:
		n := rational(v)
		if s.Minimum != nil && n.Cmp(big.NewRat(*s.Minimum, 1)) < 0 {
			c.add(at, "minimum: got %s, want %d", v, *s.Minimum)
		}
		if s.Maximum != nil && n.Cmp(big.NewRat(*s.Maximum, 1)) > 0 {
			c.add(at, "maximum: got %s, want %d", v, *s.Maximum)
		}
	}
}

func (c *checker) object(s *eventSchema, object map[string]any, at string) {
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			c.add(at+"/"+name, "is required")
		}
	}
	for name, member := range object {
		schema, ok := s.Properties[name]
		if !ok {
			schema = s.AdditionalProperties
		}
		if schema != nil {
			c.check(schema, member, at+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
		}
	}
}

func (c *checker) text(s *eventSchema, text, at string) {
	switch {
	case s.Enum != nil && !slices.Contains(s.Enum, text):
		quoted := make([]string, len(s.Enum))
		for i, one := range s.Enum {
			quoted[i] = quote(one)
		}
		c.add(at, "value must be one of %s", strings.Join(quoted, ", "))
		return
	case s.Format != "" && !isDateTime(text):
		c.add(at, "%s is not valid date-time: must be a time as in RFC 3339, such as 2026-11-23T09:00:00Z", quote(text))
		return
	}
	if n := utf8.RuneCountInString(text); n < s.MinLength {
		c.add(at, "minLength: got %d, want %d", n, s.MinLength)
	}
	if s.pattern != nil && !s.pattern.MatchString(text) {
		c.add(at, "%s does not match pattern %s", quote(text), quote(s.Pattern))
	}
}

// typeOf returns the type of a value in the words of JSON Schema.
func typeOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case stdjson.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// isInteger reports whether a value is a number without a fraction, however it is written.
func isInteger(value any) bool {
	number, ok := value.(stdjson.Number)
	if !ok {
		return false
	}
	n := rational(number)
	return n != nil && n.IsInt()
}

// rational returns a number, nil if it has an exponent that no number of an event has.
func rational(number stdjson.Number) *big.Rat {
	n, ok := new(big.Rat).SetString(string(number))
	if !ok {
		return nil
	}
	return n
}

// dateTime matches RFC 3339, but for the days of a month and leap seconds.
var dateTime = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$`)
})

// isDateTime reports whether a text is a time as in RFC 3339. A leap second is the last of a day in
// universal time.
func isDateTime(text string) bool {
	m := dateTime().FindStringSubmatch(text)
	if m == nil {
		return false
	}
	if _, err := time.Parse(time.DateOnly, m[1]); err != nil {
		return false
	}
	upper := []byte(strings.ToUpper(text))
	if upper[17] != '6' {
		return true
	}
	upper[17], upper[18] = '5', '9'
	last, err := time.Parse(time.RFC3339Nano, string(upper))
	return err == nil && last.UTC().Format("15:04") == "23:59"
}

// quote returns a text in single quotes, with escapes for what cannot be printed.
func quote(text string) string {
	text = strings.ReplaceAll(strconv.Quote(text), `\"`, `"`)
	return "'" + strings.ReplaceAll(text[1:len(text)-1], `'`, `\'`) + "'"
}
