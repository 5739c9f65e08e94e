// Package strictyaml reads YAML files written by people. It reports all problems of a file
// at once, each with its line and, for a misspelt key, with the nearest known one.
//
// A [Reader] walks the nodes of one document and collects their problems: an unknown or
// repeated key, a value of another kind, a merge key, a second document. Callers add their
// own problems with [Reader.Problem]. The document is valid only if [Reader.Err] returns
// nil.
//
// Problems quote the file's values unless the Reader is Secretive.
//
// A Reader is used for one document, by one goroutine.
package strictyaml

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"backhaul/schemas"
	"backhaul/schemas/bounded"
)

// MaxProblems bounds the problems that are reported for one file.
const MaxProblems = 50

// Problem is one problem of a file.
type Problem struct {
	Line int // 0 for the file as a whole
	Text string
}

// Error lists the problems of a file, which is rejected as a whole.
type Error struct {
	What     string // kind of file, such as "policy"
	File     string
	Problems []Problem
}

func (e *Error) Error() string {
	lines := e.Lines()
	if len(lines) == 1 {
		return e.What + ": " + lines[0]
	}
	return e.What + ":\n  " + strings.Join(lines, "\n  ")
}

// First returns the first problem in one line, with the number of the others.
func (e *Error) First() string {
	text := e.What + ": " + e.Lines()[0]
	if others := len(e.Problems) - 1; others > 0 {
		text += fmt.Sprintf(" (and %d more)", others)
	}
	return text
}

// Each returns the text of each problem as a separate error.
func (e *Error) Each() []string {
	lines := e.Lines()
	for i := range lines {
		lines[i] = e.What + ": " + lines[i]
	}
	return lines
}

// Lines returns the problems, each prefixed with its file and line.
func (e *Error) Lines() []string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		if lines[i] = e.File; p.Line > 0 {
			lines[i] += ":" + strconv.Itoa(p.Line)
		}
		lines[i] += ": " + p.Text
	}
	return lines
}

// Reader walks a document and collects its problems.
type Reader struct {
	// Words maps everyday words, in lower case, to the keys that they stand for.
	Words map[string]string
	// Aliases allows an alias as the value of a key. Otherwise it is a problem.
	Aliases bool
	// Secretive keeps values, which may be secrets, out of all problems.
	Secretive bool

	problems []Problem
	visited  int // members and items, by [Reader.Mapping] and [Reader.Sequence]
}

// maxVisits bounds how many members and items are visited in one document. Files within
// their size limit have fewer, unless they repeat values by aliases.
const maxVisits = 4 << 20

// visit reports whether one more member or item may be visited.
func (r *Reader) visit(line int) bool {
	if r.visited++; r.visited == maxVisits+1 {
		r.Problem(line, "has more than %d values, counted with aliases", maxVisits)
	}
	return r.visited <= maxVisits
}

// Problem adds a problem. Those beyond [MaxProblems] are dropped, so that a file with
// many problems costs as much as another.
func (r *Reader) Problem(line int, format string, args ...any) {
	if len(r.problems) > MaxProblems {
		return
	}
	r.problems = append(r.problems, Problem{Line: line, Text: fmt.Sprintf(format, args...)})
}

// Err returns an [*Error] with the problems sorted by line, or nil without problems.
// what names the kind of file.
func (r *Reader) Err(what, file string) error {
	if len(r.problems) == 0 {
		return nil
	}
	problems := slices.SortedStableFunc(slices.Values(r.problems), func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	if len(problems) > MaxProblems {
		problems = append(problems[:MaxProblems:MaxProblems], Problem{Text: "and more"})
	}
	return &Error{What: what, File: file, Problems: problems}
}

// ReadFile reads a regular file of at most limit bytes. what names the kind of file. The
// error is an [*Error].
func ReadFile(what, file string, limit int64) ([]byte, error) {
	data, err := bounded.ReadFile(file, limit)
	if path, ok := errors.AsType[*os.PathError](err); ok {
		err = path.Err // Error adds the name
	}
	if err != nil {
		return nil, &Error{What: what, File: file, Problems: []Problem{{Text: "cannot be read: " + err.Error()}}}
	}
	return data, nil
}

// Document returns the root of the only document in data, or nil if it has a problem.
// data must have at most limit bytes. The document must not be empty, and the problem
// then names the key that it needs; with key "" it may be empty, and Document returns
// nil.
func (r *Reader) Document(data []byte, limit int, key string) *yaml.Node {
	if len(data) > limit {
		r.Problem(0, "has more than %d bytes", limit)
		return nil
	}
	var doc, next yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	err := dec.Decode(&doc)
	empty := errors.Is(err, io.EOF) || err == nil && (len(doc.Content) != 1 || doc.Content[0].ShortTag() == "!!null")
	if empty && key != "" {
		r.Problem(1, "is empty; it must have the key %s", key)
		return nil
	}
	if err == nil {
		if err = dec.Decode(&next); err == nil {
			r.Problem(next.Line, "has more than one document")
			return nil
		}
	}
	if !errors.Is(err, io.EOF) {
		r.syntax(err)
		return nil
	}
	if empty {
		return nil
	}
	return doc.Content[0]
}

// The library's errors are untyped texts. yamlLine splits the line from the message;
// yamlQuoted matches values of the document that a message quotes.
var (
	yamlLine   = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(?s:(.*))$`)
	yamlQuoted = regexp.MustCompile(` '.*'`)
)

// syntax adds a problem for an error of the YAML library.
func (r *Reader) syntax(err error) {
	m := yamlLine.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(m[1])
	text := m[2]
	if r.Secretive {
		text = yamlQuoted.ReplaceAllString(text, "")
	}
	if strings.Contains(text, "unknown anchor") || strings.Contains(text, "did not find expected alphabetic or numeric character") {
		text += "; put a text that begins with * into quotes"
	}
	r.Problem(line, "is not valid YAML: %s", text)
}

// Mapping calls visit with the members of a mapping in order. keys lists the known keys,
// nil for any. The line of each value is set to that of its key. A member with a problem
// is not visited, and Mapping returns false. Then a missing key may only be misspelt.
func (r *Reader) Mapping(n *yaml.Node, what string, keys []string, visit func(key string, value *yaml.Node)) (whole bool) {
	if n.Kind != yaml.MappingNode {
		r.Problem(n.Line, "%s must be a mapping, here is %s", what, r.Describe(n))
		return false
	}
	whole = true
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !r.visit(key.Line) {
			return false
		}
		first, again := seen[key.Value]
		switch {
		case key.ShortTag() == "!!merge":
			r.Problem(key.Line, "%s: merge keys are not supported", what)
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			r.Problem(key.Line, "%s: the key %s is not a string; put it into quotes", what, Quoted(key.Value))
		case keys != nil && !slices.Contains(keys, key.Value):
			r.Problem(key.Line, "%s has no key %s%s", what, Quoted(key.Value), suggestion{r, key.Value, keys})
		case again:
			r.Problem(key.Line, "the key %s is given twice, first in line %d", Quoted(key.Value), first)
		default:
			seen[key.Value] = key.Line
			visit(key.Value, r.resolved(value, key.Line))
			continue
		}
		whole = false
	}
	return whole
}

// resolved returns a copy of a value, or of what it is an alias of, with the given line.
// It is a copy because an anchor's content can appear in several lines.
func (r *Reader) resolved(value *yaml.Node, line int) *yaml.Node {
	if r.Aliases && value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	here := *value
	here.Line = line
	return &here
}

// Sequence calls visit with the items of a sequence in order. want names the items in the
// problem of a node that is not a sequence.
func (r *Reader) Sequence(n *yaml.Node, what, want string, visit func(item *yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.Problem(n.Line, "%s must be a list of %s; here is %s", what, want, r.Describe(n))
		return
	}
	for _, item := range n.Content {
		if !r.visit(item.Line) {
			return
		}
		visit(item)
	}
}

// suggestion calls [Reader.Nearest] when it is formatted: only if its problem is kept.
type suggestion struct {
	reader *Reader
	name   string
	known  []string
}

func (s suggestion) String() string { return s.reader.Nearest(s.name, s.known) }

// Nearest returns a question whether the nearest known name was meant, or "" if none is
// near.
func (r *Reader) Nearest(name string, known []string) string {
	lower := strings.ToLower(name)
	for _, word := range []string{lower, strings.TrimSuffix(lower, "s"), strings.TrimSuffix(lower, "es")} {
		if meant, ok := r.Words[word]; ok && slices.Contains(known, meant) {
			return "; did you mean " + meant + "?"
		}
	}
	if meant := schemas.Nearest(name, known); meant != "" {
		return "; did you mean " + meant + "?"
	}
	return ""
}

// Describe returns a description of a node that can follow "here is". It quotes a scalar,
// or names its type if the Reader is Secretive.
func (r *Reader) Describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias, which is not supported here"
	case n.ShortTag() == "!!null":
		return "nothing"
	case !r.Secretive:
		return Quoted(n.Value)
	}
	switch n.ShortTag() {
	case "!!str":
		if n.Value == "" {
			return "nothing"
		}
		return "a string"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	}
	return "of another type"
}

// Quoted returns a quoted text that is cut after 100 bytes.
func Quoted(s string) string {
	const most = 100
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "…"
	}
	return strconv.Quote(s)
}
