package trigger

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"backhaul/schemas"
)

// Problem is something that is wrong with a routes file.
type Problem struct {
	Line int // 0 for the file as a whole
	Text string
}

// FileError lists what is wrong with a routes file. Nothing of it is in force.
type FileError struct {
	File     string
	Problems []Problem
}

func (e *FileError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = e.File + ": " + p.Text
		if p.Line > 0 {
			lines[i] = e.File + ":" + strconv.Itoa(p.Line) + ": " + p.Text
		}
	}
	if len(lines) == 1 {
		return "routes: " + lines[0]
	}
	return "routes:\n  " + strings.Join(lines, "\n  ")
}

// maxProblems bounds what is said of one file.
const maxProblems = 50

// loader walks a YAML document and collects what is wrong with it.
type loader struct{ problems []Problem }

func (l *loader) problem(line int, format string, args ...any) {
	l.problems = append(l.problems, Problem{Line: line, Text: fmt.Sprintf(format, args...)})
}

func (l *loader) err(file string) error {
	if len(l.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(l.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	if len(l.problems) > maxProblems {
		l.problems = append(l.problems[:maxProblems:maxProblems], Problem{Text: "and more"})
	}
	return &FileError{File: file, Problems: l.problems}
}

// yamlLine takes the line out of the library's messages, which have no type.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(?s:(.*))$`)

func (l *loader) syntax(err error) {
	m := yamlLine.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(m[1])
	l.problem(line, "is not valid YAML: %s", m[2])
}

// document is the root of the one document of a file, nil if there is none.
func (l *loader) document(data []byte) *yaml.Node {
	if len(data) > maxFile {
		l.problem(0, "has more than %d bytes", maxFile)
		return nil
	}
	var doc, next yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && (len(doc.Content) != 1 || doc.Content[0].ShortTag() == "!!null") {
		l.problem(1, "is empty; it must have the key routes")
		return nil
	}
	if err == nil {
		if err = dec.Decode(&next); err == nil {
			l.problem(next.Line, "has more than one document")
			return nil
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		l.syntax(err)
		return nil
	}
	return doc.Content[0]
}

// mapping visits the members of a mapping in order. keys are the known ones, nil
// for any. What is not as it should be is a problem and not visited; then the
// mapping is not whole, and what it lacks may only be misspelt.
func (l *loader) mapping(n *yaml.Node, what string, keys []string, visit func(key string, line int, value *yaml.Node)) bool {
	if n.Kind != yaml.MappingNode {
		l.problem(n.Line, "%s must be a mapping, here is %s", what, nodeName(n))
		return false
	}
	whole, seen := true, make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		first, again := seen[key.Value]
		switch {
		case key.ShortTag() == "!!merge":
			l.problem(key.Line, "%s: merge keys are not read; an alias may stand for a whole value, such as window: *w", what)
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			l.problem(key.Line, "%s: the key %s is not a text; put it into quotes", what, quoted(key.Value))
		case keys != nil && !slices.Contains(keys, key.Value):
			l.problem(key.Line, "%s has no key %s%s", what, quoted(key.Value), nearest(key.Value, keys))
		case again:
			l.problem(key.Line, "the key %s is given twice, first in line %d", quoted(key.Value), first)
		default:
			seen[key.Value] = key.Line
			if value.Kind == yaml.AliasNode {
				value = value.Alias // an anchor's content may serve several routes
			}
			visit(key.Value, key.Line, value)
			continue
		}
		whole = false
	}
	return whole
}

// sequence visits the items of a sequence in order.
func (l *loader) sequence(n *yaml.Node, what, want string, visit func(item *yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		l.problem(n.Line, "%s must be a list of %s; here is %s", what, want, nodeName(n))
		return
	}
	for _, item := range n.Content {
		visit(item)
	}
}

// text is a string that is not empty; "" after a problem.
func (l *loader) text(n *yaml.Node, what string, line int) string {
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null":
		l.problem(line, "%s must be a text, here is %s", what, nodeName(n))
	case n.ShortTag() != "!!str":
		l.problem(line, "%s must be a text; put %s into quotes", what, quoted(n.Value))
	case n.Value == "":
		l.problem(line, "%s is empty; leave it out", what)
	default:
		return n.Value
	}
	return ""
}

func (l *loader) boolean(n *yaml.Node, what string, line int) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		l.problem(line, "%s must be true or false, here is %s", what, nodeName(n))
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

func (l *loader) number(n *yaml.Node, what string, line, least, most int) int {
	number, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || number < least || number > most {
		l.problem(line, "%s must be a whole number from %d to %d, here is %s", what, least, most, nodeName(n))
	}
	return number
}

func (l *loader) duration(n *yaml.Node, what string, line int, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d < least || d > most {
		l.problem(line, "%s must be a duration such as 30s, from %s to %s, here is %s", what, least, most, nodeName(n))
		return 0
	}
	return d
}

func nodeName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.ShortTag() == "!!null":
		return "nothing"
	default:
		return quoted(n.Value)
	}
}

// quoted shows a text, however long.
func quoted(s string) string {
	const most = 100
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "…"
	}
	return strconv.Quote(s)
}

// nearest names the key that was probably meant.
func nearest(name string, known []string) string {
	meant, ok := words[strings.ToLower(name)]
	if !ok || !slices.Contains(known, meant) {
		meant = schemas.Nearest(name, known)
	}
	if meant == "" {
		return ""
	}
	return "; did you mean " + meant + "?"
}
