// Package strictyaml reads YAML that people write. It reports every problem at once, each
// with its line and with the name that was probably meant.
//
// A [Reader] walks the nodes of one document and collects what is wrong with them: an
// unknown or repeated key, a value of another kind, a merge key, a second document. A
// caller adds its own problems with [Reader.Problem]; the document is good only if
// [Reader.Err] is nil.
//
// A problem quotes the file's values unless the Reader is Secretive.
//
// A Reader is for one document and one goroutine.
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

// MaxProblems bounds what is said of one file.
const MaxProblems = 50

// Problem is something that is wrong with a file.
type Problem struct {
	Line int // 0 for the file as a whole
	Text string
}

// Error lists what is wrong with a file. Nothing of the file is in force.
type Error struct {
	What     string // the file is, such as "policy"
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

// Each returns each problem as an error of its own.
func (e *Error) Each() []string {
	lines := e.Lines()
	for i := range lines {
		lines[i] = e.What + ": " + lines[i]
	}
	return lines
}

// Lines returns the problems, each with its file and line in front.
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

// Reader walks a document and collects what is wrong with it.
type Reader struct {
	// Words are what people call some of the keys, in small letters.
	Words map[string]string
	// Aliases allows an alias as the value of a key. Otherwise it is a problem.
	Aliases bool
	// Secretive keeps values, which may be secrets, out of all problems.
	Secretive bool

	problems []Problem
	visited  int // members and items, by [Reader.Mapping] and [Reader.Sequence]
}

// maxVisits is how many members and items are visited in one document. The largest
// file of a reader has fewer; with aliases a small one can stand for any number.
const maxVisits = 4 << 20

// visit reports whether one more member or item may be visited.
func (r *Reader) visit(line int) bool {
	if r.visited++; r.visited == maxVisits+1 {
		r.Problem(line, "has more than %d values, counted with aliases", maxVisits)
	}
	return r.visited <= maxVisits
}

// Problem states a problem. What is beyond [MaxProblems] is not kept, so that a
// file of nothing but faults costs no more than any other.
func (r *Reader) Problem(line int, format string, args ...any) {
	if len(r.problems) > MaxProblems {
		return
	}
	r.problems = append(r.problems, Problem{Line: line, Text: fmt.Sprintf(format, args...)})
}

// Err is an [*Error] with the problems in the order of their lines, nil if there
// are none. what is what the file is.
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

// ReadFile reads a regular file of at most limit bytes. what is what the file is. The error
// is an [*Error].
func ReadFile(what, file string, limit int64) ([]byte, error) {
	data, err := bounded.ReadFile(file, limit)
	if path, ok := errors.AsType[*os.PathError](err); ok {
		err = path.Err // the error has the name already
	}
	if err != nil {
		return nil, &Error{What: what, File: file, Problems: []Problem{{Text: "cannot be read: " + err.Error()}}}
	}
	return data, nil
}

// Document returns the root of the one document in data, nil after a problem. data may
// have limit bytes. The document must have the key; with key "" it may be empty, and the
// root is nil then.
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

// The library's messages have no type. yamlLine takes the line out of one; yamlQuoted is
// what one quotes of the document.
var (
	yamlLine   = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(?s:(.*))$`)
	yamlQuoted = regexp.MustCompile(` '.*'`)
)

func (r *Reader) syntax(err error) {
	m := yamlLine.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(m[1])
	text := m[2]
	if r.Secretive {
		text = yamlQuoted.ReplaceAllString(text, "")
	}
	r.Problem(line, "is not valid YAML: %s", text)
}

// Mapping visits the members of a mapping in order. keys are the known ones, nil
// for any. A value's line is that of its key, where people look for it. What is
// not as it should be is a problem and not visited; then the mapping is not whole,
// and what it lacks may only be misspelt.
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
			r.Problem(key.Line, "%s: merge keys are not read", what)
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			r.Problem(key.Line, "%s: the key %s is not a text; put it into quotes", what, Quoted(key.Value))
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

// resolved is a value as it stands in a line. It is a copy: an anchor's content
// may stand in several.
func (r *Reader) resolved(value *yaml.Node, line int) *yaml.Node {
	if r.Aliases && value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	here := *value
	here.Line = line
	return &here
}

// Sequence visits the items of a sequence in order. want is what they are.
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

// suggestion is [Reader.Nearest] as a text that is computed only if its problem is kept.
type suggestion struct {
	reader *Reader
	name   string
	known  []string
}

func (s suggestion) String() string { return s.reader.Nearest(s.name, s.known) }

// Nearest asks whether a known name was meant, "" if none is near.
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

// Describe returns what a node is, as the end of "here is …". A scalar is quoted, or with
// Secretive named by its type.
func (r *Reader) Describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias, which is not read here"
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
		return "a text"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	}
	return "of another type"
}

// Quoted shows a text, however long.
func Quoted(s string) string {
	const most = 100
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "…"
	}
	return strconv.Quote(s)
}
