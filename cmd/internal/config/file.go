package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/serverurl"
	"backhaul/cmd/internal/strictyaml"
	"backhaul/schemas"
)

// maxFile is far above what all settings can need.
const maxFile = 1 << 20

// entry is what a configuration file says about one setting.
type entry struct {
	text string
	line int
	// inFile reports that the text names a file that has the secret.
	inFile bool
}

// file is a configuration file that was read, and what is wrong with it.
type file struct {
	strictyaml.Reader

	name     string
	entries  map[string]entry // by the setting's key
	problems []string
	// broken: it has no root, so nothing is known of what it does not say.
	broken bool
}

// fileKind is what the file is called in the error of one that cannot be read.
const fileKind = "configuration file"

func readFile(name string, settings []setting) file {
	data, err := strictyaml.ReadFile(fileKind, name, maxFile)
	if err != nil {
		return file{name: name, problems: []string{err.Error()}, broken: true}
	}
	return parseFile(name, data, settings)
}

// parseFile reads sections with settings. Anything else is a problem with its line. No
// problem shows a value, which may be a secret.
func parseFile(name string, data []byte, settings []setting) file {
	f := file{name: name, entries: make(map[string]entry), Reader: strictyaml.Reader{Aliases: true, Secretive: true}}
	root := f.Document(data, maxFile, "")
	if root != nil {
		f.sections(root, keysOf(settings))
	}
	if wrong, ok := errors.AsType[*strictyaml.Error](f.Err(fileKind, name)); ok {
		f.problems, f.broken = wrong.Lines(), root == nil
	}
	return f
}

// keys are the names that a file may have.
type keys struct {
	settings map[string]setting // by key; a secret also by the key of its file
	sections []string
	names    []string // all of these keys, in order, for the nearest
}

// fileKey returns the key under which a file names the file of a secret.
func fileKey(key string) string { return key + "File" }

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
			k.settings[fileKey(s.key)] = s
			k.names = append(k.names, fileKey(s.key))
		}
	}
	return k
}

func (f *file) sections(root *yaml.Node, known keys) {
	if root.Kind != yaml.MappingNode {
		f.Problem(root.Line, "must be sections with settings, such as\n    vendor:\n      endpoint: https://m6.metallic.io/webconsole/api")
		return
	}
	f.Mapping(root, "the file", nil, func(section string, value *yaml.Node) {
		_, isKey := known.settings[section]
		switch {
		case isKey:
			group, name, _ := strings.Cut(section, ".")
			f.Problem(value.Line, "%s: write it as %s in the section %s", section, name, group)
		case !slices.Contains(known.sections, section):
			f.Problem(value.Line, "section %s: unknown%s", printable(section), suggestion(func() string { return schemas.Nearest(section, known.sections) }))
		case isNull(value): // all of it is commented out
		case value.Kind != yaml.MappingNode:
			f.Problem(value.Line, "%s: must be a section with settings", section)
		default:
			f.section(section, value, known)
		}
	})
}

func (f *file) section(section string, node *yaml.Node, known keys) {
	f.Mapping(node, "the section "+section, nil, func(key string, value *yaml.Node) {
		name := section + "." + key
		s, ok := known.settings[name]
		switch {
		case !ok:
			f.Problem(value.Line, "%s: unknown%s", printable(name), suggestion(func() string { return known.near(section, key) }))
		case s.secret() && name == s.key:
			f.Problem(value.Line, "%s: a secret must not stand in this file; put it into a file of its own and name that with %s, or set %s", name, fileKey(s.key), s.env)
		default:
			f.take(s, name, value)
		}
	})
}

// suggestion adds a similar known name to a problem. The name is searched only if the
// problem is kept.
type suggestion func() string

func (s suggestion) String() string {
	if near := s(); near != "" {
		return ", did you mean " + near + "?"
	}
	return ""
}

// near returns the setting that was probably meant: one of the section with a similar
// name, or one with this name in another section.
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
			return fileKey(s.key)
		}
		return key
	}
	return strings.Join(elsewhere, " or ")
}

// plain returns a name in lower case and without separators.
func plain(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// printable returns a name, quoted if it has characters that a name cannot have.
func printable(name string) string {
	if quoted := fmt.Sprintf("%.60q", name); quoted[1:len(quoted)-1] != name {
		return quoted
	}
	return name
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// take keeps a setting's value if it is of the right type.
func (f *file) take(s setting, name string, node *yaml.Node) {
	e := entry{text: node.Value, line: node.Line, inFile: name != s.key}
	if s.list && node.Kind == yaml.SequenceNode && len(node.Content) > 0 {
		var items []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode || item.ShortTag() != "!!str" {
				f.Problem(item.Line, "%s: each item of the list must be a string", name)
				return
			}
			items = append(items, item.Value)
		}
		e.text = strings.Join(items, ",")
	} else if want := s.wants(node, e.inFile); want != "" {
		f.Problem(node.Line, "%s: must be %s, here is %s", name, want, f.Describe(node))
		return
	}
	if s.url && serverurl.HasUser(e.text) {
		f.Problem(node.Line, "%s: has a user or token in it, which must not stand in this file; use settings of their own for them", name)
		return
	}
	f.entries[s.key] = e
}

// wants returns the type that the value should have, "" if it has that type.
func (s setting) wants(node *yaml.Node, inFile bool) string {
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
		case tag == "!!str" && (!inFile || node.Value != ""):
		case inFile:
			return "the name of a file"
		case node.Kind == yaml.ScalarNode && tag != "!!null":
			return "a string; put it into quotes"
		default:
			return "a string"
		}
	}
	return ""
}
