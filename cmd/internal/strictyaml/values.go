package strictyaml

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// AnyText returns the value of a string, which may be empty. ok is false after a problem.
func (r *Reader) AnyText(n *yaml.Node, what string) (text string, ok bool) {
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null":
		r.Problem(n.Line, "%s must be a string, here is %s", what, r.Describe(n))
		return "", false
	case n.ShortTag() != "!!str":
		value := "it"
		if !r.Secretive {
			value = Quoted(n.Value)
		}
		r.Problem(n.Line, "%s must be a string; put %s into quotes", what, value)
		return "", false
	}
	return n.Value, true
}

// Text returns the value of a string that is not empty, or "" after a problem.
func (r *Reader) Text(n *yaml.Node, what string) string {
	text, ok := r.AnyText(n, what)
	if ok && text == "" {
		r.Problem(n.Line, "%s is empty; leave it out", what)
	}
	return text
}

// Bool returns a value that is true or false, or false after a problem.
func (r *Reader) Bool(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		r.Problem(n.Line, "%s must be true or false, here is %s", what, r.Describe(n))
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

// Int returns a whole number from least to most, or 0 after a problem.
func (r *Reader) Int(n *yaml.Node, what string, least, most int) int {
	number, ok := IntIn(n, least, most)
	if !ok {
		r.Problem(n.Line, "%s must be a whole number from %d to %d, here is %s", what, least, most, r.Describe(n))
	}
	return number
}

// IntIn returns the whole number that a node has, and reports whether it is one from least
// to most. Unlike [Reader.Int] it leaves the problem to the caller.
func IntIn(n *yaml.Node, least, most int) (number int, ok bool) {
	number, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || number < least || number > most {
		return 0, false
	}
	return number, true
}

// Bytes returns a number of bytes from 1, or 0 after a problem. It may have a unit.
func (r *Reader) Bytes(n *yaml.Node, what string) int64 {
	digits, unit := n.Value, int64(1)
	for i, name := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, ok := strings.CutSuffix(n.Value, name); ok {
			digits, unit = strings.TrimSpace(rest), 1<<(10*(i+1))
		}
	}
	number, err := strconv.ParseInt(digits, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || number < 1 || number > math.MaxInt64/unit {
		r.Problem(n.Line, "%s must be a number of bytes such as 500, 64KiB, 10MiB, 2GiB or 1TiB, here is %s", what, r.Describe(n))
		return 0
	}
	return number * unit
}

// Duration returns a duration from least to most, or 0 after a problem.
func (r *Reader) Duration(n *yaml.Node, what string, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d < least || d > most {
		r.Problem(n.Line, "%s must be a duration such as 30s, from %s to %s, here is %s", what, least, most, r.Describe(n))
		return 0
	}
	return d
}

// Choice returns a string that is one of the known ones, or "" after a problem.
func (r *Reader) Choice(n *yaml.Node, what string, known ...string) string {
	text := r.Text(n, what)
	if text != "" && !slices.Contains(known, text) {
		r.Problem(n.Line, "%s is %s, must be %s%s", what, Quoted(text), strings.Join(known, " or "), r.Nearest(text, known))
		return ""
	}
	return text
}
