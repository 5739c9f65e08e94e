package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"backhaul/schemas"
	"backhaul/schemas/bounded"
)

// maxFile is far above what all settings can need.
const maxFile = 1 << 20

// entry is what a configuration file says about one setting.
type entry struct {
	text string
	line int
	// twin: the text names a file that has the secret.
	twin bool
}

// file is a configuration file that was read, and what is wrong with it.
type file struct {
	name     string
	entries  map[string]entry // by the setting's key
	problems []string
	// broken: it is no YAML, so nothing is known of what it does not say.
	broken bool
}

func readFile(name string, settings []setting) file {
	data, err := bounded.ReadFile(name, maxFile)
	if err != nil {
		return file{name: name, problems: []string{fmt.Sprintf("configuration file: %v", err)}, broken: true}
	}
	return parseFile(name, data, settings)
}

// parseFile reads sections with settings. Whatever is not exactly that is a
// problem with its line. No problem shows a value that may be a secret.
func parseFile(name string, data []byte, settings []setting) file {
	f := file{name: name, entries: make(map[string]entry)}
	if len(data) > maxFile {
		f.problems, f.broken = []string{fmt.Sprintf("%s: has more than %d bytes", name, maxFile)}, true
		return f
	}
	var document, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return f // nothing but comments
	}
	if err == nil {
		if err = decoder.Decode(&second); errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			f.problem(second.Line, "a second document begins; a configuration file is one")
		}
	}
	if err != nil {
		f.problems, f.broken = []string{syntaxProblem(name, err)}, true
		return f
	}
	f.sections(document.Content[0], keysOf(settings))
	return f
}

var (
	yamlLine = regexp.MustCompile(`line (\d+): `)
	quoted   = regexp.MustCompile(` '.*'`)
)

// syntaxProblem is an error of the parser with the line in front, and without
// what it quotes: that may be of a secret.
func syntaxProblem(name string, err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		name += ":" + text[m[2]:m[3]]
		text = text[:m[0]] + text[m[1]:]
	}
	return fmt.Sprintf("%s: is not YAML: %s", name, quoted.ReplaceAllString(text, ""))
}

// maxProblems bounds what is said of one file.
const maxProblems = 50

// full reports whether no further problem is said.
func (f *file) full() bool { return len(f.problems) > maxProblems }

func (f *file) problem(line int, format string, args ...any) {
	if len(f.problems) >= maxProblems {
		if !f.full() {
			f.problems = append(f.problems, f.name+": and more")
		}
		return
	}
	f.problems = append(f.problems, fmt.Sprintf("%s:%d: %s", f.name, line, fmt.Sprintf(format, args...)))
}

// keys are the names that a file may have.
type keys struct {
	settings map[string]setting // by key; a secret also by its twin's
	sections []string
	names    []string // all of these keys, in order, for the nearest
}

// twinKey is where a file names the file of a secret.
func twinKey(key string) string { return key + "File" }

func keysOf(settings []setting) keys {
	k := keys{settings: make(map[string]setting)}
	for _, s := range settings {
		section, _, _ := strings.Cut(s.key, ".")
		if len(k.sections) == 0 || k.sections[len(k.sections)-1] != section {
			k.sections = append(k.sections, section)
		}
		k.settings[s.key] = s
		k.names = append(k.names, s.key)
		if s.secret() {
			k.settings[twinKey(s.key)] = s
			k.names = append(k.names, twinKey(s.key))
		}
	}
	return k
}

func (f *file) sections(root *yaml.Node, known keys) {
	if isNull(root) {
		return
	}
	if root.Kind != yaml.MappingNode {
		f.problem(root.Line, "must be sections with settings, such as\n    vendor:\n      endpoint: https://m6.metallic.io/webconsole/api")
		return
	}
	f.pairs(root, "", func(key, value *yaml.Node) {
		section := key.Value
		_, isKey := known.settings[section]
		switch {
		case isKey:
			group, name, _ := strings.Cut(section, ".")
			f.problem(key.Line, "%s: write it as %s in the section %s", section, name, group)
		case !slices.Contains(known.sections, section):
			f.unknown(key.Line, "section ", section, schemas.Nearest(section, known.sections))
		case isNull(value): // all of it is commented out
		case value.Kind != yaml.MappingNode:
			f.problem(value.Line, "%s: must be a section with settings", section)
		default:
			f.section(section, value, known)
		}
	})
}

func (f *file) section(section string, node *yaml.Node, known keys) {
	f.pairs(node, section+".", func(key, value *yaml.Node) {
		name := section + "." + key.Value
		s, ok := known.settings[name]
		switch {
		case !ok:
			f.unknown(key.Line, "", name, known.near(section, key.Value))
		case s.secret() && name == s.key:
			f.problem(key.Line, "%s: a secret must not stand in this file; put it into a file of its own and name that with %s, or set %s", name, twinKey(s.key), s.env)
		default:
			f.take(s, name, value)
		}
	})
}

// near is the setting that was meant: one of the section with a similar name, or
// one with this name in another section.
func (k keys) near(section, name string) string {
	var here, elsewhere []string
	for _, key := range k.names {
		switch group, other, _ := strings.Cut(key, "."); {
		case group == section:
			here = append(here, other)
		case plain(other) == plain(name):
			elsewhere = append(elsewhere, key)
		}
	}
	if other := schemas.Nearest(name, here); other != "" {
		key := section + "." + other
		if s := k.settings[key]; s.secret() {
			return twinKey(s.key)
		}
		return key
	}
	return strings.Join(elsewhere, " or ")
}

// plain is a name without what people write differently.
func plain(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

func (f *file) unknown(line int, what, name, near string) {
	if near != "" {
		near = ", did you mean " + near + "?"
	}
	f.problem(line, "%s%s: unknown%s", what, printable(name), near)
}

// printable is a name as it is, or quoted if that would not be a name.
func printable(name string) string {
	if quoted := fmt.Sprintf("%.60q", name); quoted[1:len(quoted)-1] != name {
		return quoted
	}
	return name
}

// pairs visits what a mapping has, each name once.
func (f *file) pairs(node *yaml.Node, prefix string, visit func(key, value *yaml.Node)) {
	lines := make(map[string]int)
	for i := 0; i+1 < len(node.Content) && !f.full(); i += 2 {
		key, value := node.Content[i], resolved(node.Content[i+1])
		if key.Kind != yaml.ScalarNode {
			f.problem(key.Line, "a name must be plain text")
			continue
		}
		if first, twice := lines[key.Value]; twice {
			f.problem(key.Line, "%s%s: given twice, first in line %d", prefix, printable(key.Value), first)
			continue
		}
		lines[key.Value] = key.Line
		visit(key, value)
	}
}

func resolved(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// take keeps a setting's value if it is of the right type.
func (f *file) take(s setting, name string, node *yaml.Node) {
	e := entry{text: node.Value, line: node.Line, twin: name != s.key}
	if s.list && node.Kind == yaml.SequenceNode && len(node.Content) > 0 {
		var items []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode || item.ShortTag() != "!!str" {
				f.problem(item.Line, "%s: each of the list must be a text", name)
				return
			}
			items = append(items, item.Value)
		}
		e.text = strings.Join(items, ",")
	} else if want := s.wants(node, e.twin); want != "" {
		f.problem(node.Line, "%s: is %s, must be %s", name, kindOf(node), want)
		return
	}
	if s.url && hasUser(e.text) {
		f.problem(node.Line, "%s: has a user or token in it, which must not stand in this file; use settings of their own for them", name)
		return
	}
	f.entries[s.key] = e
}

// wants is the type that the value should have, "" if it has it.
func (s setting) wants(node *yaml.Node, twin bool) string {
	tag := node.ShortTag()
	if node.Kind != yaml.ScalarNode {
		tag = ""
	}
	switch s.field.(type) {
	case *bool:
		if tag != "!!bool" {
			return "true or false"
		}
	case *int:
		if tag != "!!int" {
			return "a whole number"
		}
	case *time.Duration:
		if tag != "!!str" && (tag != "!!int" || node.Value != "0") {
			return "a duration such as 30s"
		}
	default:
		switch {
		case tag == "!!str" && (!twin || node.Value != ""):
		case twin:
			return "the name of a file"
		case node.Kind == yaml.ScalarNode && tag != "!!null":
			return "a text; put it into quotes"
		default:
			return "a text"
		}
	}
	return ""
}

// kindOf names what a value is, without showing it.
func kindOf(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	switch node.ShortTag() {
	case "!!null":
		return "empty"
	case "!!str":
		if node.Value == "" {
			return "empty"
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
