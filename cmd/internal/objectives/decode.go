package objectives

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/protection"
	"backhaul/cmd/internal/strictyaml"
	"backhaul/schemas"
)

const (
	// fileKind names the file in its errors.
	fileKind = "objectives"
	// maxFile is the largest size of a file in bytes.
	maxFile = 1 << 20
	// MaxObjectives is how many objectives a file may have: each is a label of metrics.
	MaxObjectives = 200
	// maxText is the longest pattern or owner in characters.
	maxText = 256
)

// The limits of rpo and maxAge.
const (
	MinTime = time.Second
	MaxTime = 10 * 365 * 24 * time.Hour
)

// nameText are the names of objectives, which become labels of metrics.
const nameText = `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`

var isName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(nameText) })

// words maps everyday words, in lower case, to the keys that they stand for.
var words = map[string]string{
	"client": "clientName", "instance": "instanceName", "backupset": "backupsetName",
	"contentgroup": "subclientName", "subclient": "subclientName", "group": "subclientName",
	"age": "maxAge", "outcome": "accept", "accepted": "accept", "team": "owner", "objective": "objectives",
}

// keys are the keys of an objective.
var keys = func() []string {
	all := []string{"name", "owner"}
	for _, n := range names {
		all = append(all, n.key)
	}
	return append(all, "rpo", "maxAge", "accept")
}()

// acceptable are the outcomes that an objective can accept: those that kept something.
var acceptable = func() (all []string) {
	for _, o := range schemas.Outcomes {
		if o.Kept() {
			all = append(all, string(o))
		}
	}
	return all
}()

// decoder walks a YAML document and collects its problems.
type decoder struct {
	strictyaml.Reader
	// lines has the line of each name.
	lines map[string]int
}

func (d *decoder) file(data []byte) (all []objective) {
	root := d.Document(data, maxFile, "objectives")
	if root == nil {
		return nil
	}
	given := false
	whole := d.Mapping(root, "the file", []string{"objectives"}, func(_ string, value *yaml.Node) {
		given = true
		d.Sequence(value, "objectives", "objectives, each with its - name", func(item *yaml.Node) {
			if len(all) == MaxObjectives {
				d.Problem(item.Line, "there are more than %d objectives", MaxObjectives)
				return
			}
			all = append(all, d.objective(item))
		})
	})
	if whole && !given {
		d.Problem(root.Line, "the key objectives is missing")
	}
	return all
}

func (d *decoder) objective(n *yaml.Node) objective {
	var ob objective
	given := make(map[string]bool)
	whole := d.Mapping(n, "an objective", keys, func(key string, value *yaml.Node) {
		given[key] = true
		switch key {
		case "name":
			ob.Name = d.name(value)
		case "owner":
			ob.Owner = d.text(value, "owner")
		case "rpo":
			ob.RPO = d.Duration(value, key, MinTime, MaxTime)
		case "maxAge":
			ob.MaxAge = d.Duration(value, key, MinTime, MaxTime)
		case "accept":
			ob.Accept = d.accept(value)
		default:
			i := slices.IndexFunc(names[:], func(m name) bool { return m.key == key })
			ob.patterns[i] = d.patterns(key, value)
		}
	})
	if !whole {
		return ob
	}
	if !given["name"] {
		d.Problem(n.Line, "the objective has no name")
	}
	for _, m := range names {
		if m.required && !given[m.key] {
			d.Problem(n.Line, "the objective has no %s: list patterns of %s, or \"*\" for any", m.key, m.about)
		}
	}
	if !given["rpo"] && !given["maxAge"] {
		d.Problem(n.Line, "the objective promises nothing: it needs rpo, maxAge or both")
	}
	return ob
}

// name returns a name that no objective before has.
func (d *decoder) name(n *yaml.Node) string {
	name := d.Text(n, "name")
	if name == "" {
		return ""
	}
	if !isName().MatchString(name) {
		d.Problem(n.Line, "name %s must have letters, digits, '.', '_' and '-' only, at most 63, and begin with a letter or digit", strictyaml.Quoted(name))
		return ""
	}
	if first, again := d.lines[name]; again {
		d.Problem(n.Line, "the name %s is given twice, first in line %d", name, first)
		return ""
	}
	if d.lines == nil {
		d.lines = make(map[string]int)
	}
	d.lines[name] = n.Line
	return name
}

// text returns a short text without control characters.
func (d *decoder) text(n *yaml.Node, what string) string {
	text := d.Text(n, what)
	switch {
	case utf8.RuneCountInString(text) > maxText:
		d.Problem(n.Line, "%s has more than %d characters", what, maxText)
	case strings.ContainsFunc(text, func(c rune) bool { return c < 0x20 || c == 0x7f }):
		d.Problem(n.Line, "%s has control characters", what)
	}
	return text
}

// patterns returns a list of patterns, which is not nil.
func (d *decoder) patterns(key string, n *yaml.Node) *patterns {
	all := &patterns{names: make(map[string]bool)}
	d.Sequence(n, key, "patterns such as "+key+`: ["*"]`, func(item *yaml.Node) {
		all.add(d.text(item, "each pattern of "+key))
	})
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		d.Problem(n.Line, "%s has no items, so the objective would fit no content group", key)
	}
	return all
}

// accept returns the accepted outcomes.
func (d *decoder) accept(n *yaml.Node) protection.Outcomes {
	var outcomes []schemas.Outcome
	d.Sequence(n, "accept", "outcomes such as accept: [completed]", func(item *yaml.Node) {
		text := d.Text(item, "each outcome of accept")
		if text != "" && !slices.Contains(acceptable, text) {
			d.Problem(item.Line, "accept: %s must be one of %s; other outcomes keep no data%s", strictyaml.Quoted(text), strings.Join(acceptable, ", "), d.Nearest(text, acceptable))
			return
		}
		outcomes = append(outcomes, schemas.Outcome(text))
	})
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		d.Problem(n.Line, "accept has no items, so no backup would count; leave it out to accept what kept everything")
	}
	return protection.NewOutcomes(outcomes...)
}
