package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/publisher"
	"backhaul/schemas"
)

const (
	// fileKind names the file in its errors.
	fileKind = "policy"
	// maxFile is the largest size of a policy file in bytes.
	maxFile = 1 << 20
	// maxText is the longest name or path in characters. Requests have the same limit.
	maxText = 4096
	// maxPerHour bounds the memory of the count. No vendor accepts that many.
	maxPerHour = 1_000_000
)

var levels = []string{schemas.LevelFull, schemas.LevelIncremental, schemas.LevelDifferential, schemas.LevelSyntheticFull}

// words maps everyday words, in lower case, to the keys that they stand for.
var words = map[string]string{
	"client": "clientName", "instance": "instanceName", "backupset": "backupsetName",
	"contentgroup": "subclientName", "subclient": "subclientName",
	"plan": "storagePolicyName", "storagepolicy": "storagePolicyName",
	"agent": "appName", "level": "backupLevel", "path": "onDemandInputFile", "prefix": "onDemandInputFile",
	"directivefile": "onDemandInputFile", "rule": "allow", "group": "groups", "contentgroups": "groups", "interval": "minInterval", "rateperhour": "requestsPerHour", "source": "sources",
}

// Load reads and parses a file. The error is an [*strictyaml.Error].
func Load(file string) (*Policy, error) {
	data, err := Read(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, data)
}

// Read reads the content of a file. The error is an [*strictyaml.Error].
func Read(file string) ([]byte, error) { return strictyaml.ReadFile(fileKind, file, maxFile) }

// Parse parses the content of a file. The error is an [*strictyaml.Error].
func Parse(file string, data []byte) (*Policy, error) {
	sum := sha256.Sum256(data)
	d := &decoder{strictyaml.Reader{Words: words}}
	p := &Policy{File: file, Sum: hex.EncodeToString(sum[:])}
	d.file(p, data)
	if err := d.Err(fileKind, file); err != nil {
		return nil, err
	}
	return p, nil
}

// decoder walks a YAML document and collects its problems.
type decoder struct{ strictyaml.Reader }

func (d *decoder) file(p *Policy, data []byte) {
	root := d.Document(data, maxFile, "sources")
	if root == nil {
		return
	}
	whole := d.Mapping(root, "a policy", []string{"sources", "groups"}, func(key string, value *yaml.Node) {
		if key == "groups" {
			p.groups = d.groups(value)
			return
		}
		p.sources = d.sources(value)
	})
	if whole && p.sources == nil {
		d.Problem(root.Line, "the key sources is missing")
	}
}

func (d *decoder) sources(n *yaml.Node) map[string]*entry {
	all := make(map[string]*entry)
	d.Mapping(n, "sources", nil, func(source string, value *yaml.Node) {
		if err := publisher.CheckSource(source); err != nil && source != AnySource {
			d.Problem(value.Line, "%v; or use %q for all other sources", err, AnySource)
		}
		all[source] = d.entry(source, value)
	})
	return all
}

func (d *decoder) entry(source string, n *yaml.Node) *entry {
	e := &entry{line: n.Line}
	given := false
	d.Mapping(n, "the entry of "+strconv.Quote(source), []string{"allow", "requestsPerHour"}, func(key string, value *yaml.Node) {
		switch key {
		case "allow":
			given = true
			e.rules = d.rules(value)
		case "requestsPerHour":
			e.perHour, e.perHourLine = d.perHour(value), value.Line
		}
	})
	if n.Kind == yaml.MappingNode && !given {
		d.Problem(n.Line, "the entry of %q has no key allow: list its rules, or allow: [] to deny everything", source)
	}
	return e
}

func (d *decoder) perHour(n *yaml.Node) int {
	number, ok := strictyaml.IntIn(n, 1, maxPerHour)
	if !ok {
		d.Problem(n.Line, "requestsPerHour must be a whole number from 1 to %d; leave it out to allow any number, use allow: [] to deny all", maxPerHour)
	}
	return number
}

func (d *decoder) rules(n *yaml.Node) []rule {
	var rules []rule
	d.Sequence(n, "allow", "rules, each with its - clientName", func(item *yaml.Node) {
		rules = append(rules, d.rule(item))
	})
	return rules
}

func (d *decoder) rule(n *yaml.Node) rule {
	ru := rule{line: n.Line}
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.name
	}
	d.Mapping(n, "a rule", names, func(key string, value *yaml.Node) {
		i := slices.Index(names, key)
		ru.lists[i] = list{line: value.Line, values: d.values(&members[i], value)}
	})
	for i, m := range members {
		if n.Kind == yaml.MappingNode && m.fallback == nil && ru.lists[i].line == 0 {
			d.Problem(n.Line, "the rule has no %s: list names, or \"*\" for any", m.name)
		}
	}
	return ru
}

func (d *decoder) values(m *member, n *yaml.Node) []string {
	var values []string
	items := 0
	d.Sequence(n, m.name, "values such as "+m.name+": [\"*\"]", func(item *yaml.Node) {
		items++
		if value, ok := d.text(m, item); ok {
			values = append(values, value)
		}
	})
	if n.Kind == yaml.SequenceNode && items == 0 {
		d.Problem(n.Line, "%s has no items, so the rule would allow nothing; leave it out to allow its default", m.name)
	}
	return values
}

// text returns a listed value.
func (d *decoder) text(m *member, n *yaml.Node) (string, bool) {
	what := "each value of " + m.name
	if m.kind == boolKind {
		return strconv.FormatBool(d.Bool(n, what)), true
	}
	value, ok := d.AnyText(n, what)
	if !ok {
		return "", false
	}
	if fault := d.valueFault(m, value); fault != "" {
		d.Problem(n.Line, "%s: %s %s", m.name, strictyaml.Quoted(value), fault)
		return "", false
	}
	return value, true
}

// valueFault returns what is wrong with a listed value, or "" if it is valid.
func (d *decoder) valueFault(m *member, value string) string {
	switch {
	case value == "" && !m.optional:
		return "can never be the value of a request"
	case utf8.RuneCountInString(value) > maxText:
		return fmt.Sprintf("has more than %d characters", maxText)
	case strings.ContainsFunc(value, func(c rune) bool { return c < 0x20 || c == 0x7f }):
		return "has control characters, which requests must not have"
	case m.kind == pathKind:
		return prefixFault(value)
	case m.kind == levelKind && value != "*" && !slices.Contains(levels, value):
		return "must be one of " + strings.Join(levels, ", ") + d.Nearest(value, levels)
	}
	return ""
}
