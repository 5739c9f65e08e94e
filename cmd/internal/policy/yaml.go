package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// mapping visits the members of a mapping in order. keys are the known ones, nil
// for any. What is not as it should be is a problem and not visited.
func (d *decoder) mapping(n *yaml.Node, what string, keys []string, visit func(key string, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.problem(n.Line, "%s must be a mapping, here is %s", what, nodeName(n))
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		first, again := seen[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			d.problem(key.Line, "%s: the key %s is not a text; put it into quotes", what, quoted(key.Value))
			continue
		case keys != nil && !slices.Contains(keys, key.Value):
			d.problem(key.Line, "%s has no key %s%s", what, quoted(key.Value), nearest(key.Value, keys))
			continue
		case again:
			d.problem(key.Line, "the key %s is given twice, first in line %d", quoted(key.Value), first)
			continue
		}
		seen[key.Value] = key.Line
		value.Line = key.Line // where people look for it
		visit(key.Value, value)
	}
}

// sequence visits the items of a sequence in order.
func (d *decoder) sequence(n *yaml.Node, what, want string, visit func(item *yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n.Line, "%s must be a list of %s; here is %s", what, want, nodeName(n))
		return
	}
	for _, item := range n.Content {
		visit(item)
	}
}

func nodeName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias, and aliases are not read"
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

// words are what people call the members of a request.
var words = map[string]string{
	"client": "clientName", "instance": "instanceName", "backupset": "backupsetName",
	"contentgroup": "subclientName", "subclient": "subclientName",
	"plan": "storagePolicyName", "storagepolicy": "storagePolicyName",
	"agent": "appName", "level": "backupLevel", "path": "onDemandInputFile", "prefix": "onDemandInputFile",
	"directivefile": "onDemandInputFile", "rule": "allow", "rateperhour": "requestsPerHour", "source": "sources",
}

// nearest names the known key that was probably meant.
func nearest(name string, known []string) string {
	lower := strings.ToLower(name)
	for _, word := range []string{lower, strings.TrimSuffix(lower, "s"), strings.TrimSuffix(lower, "es")} {
		if meant, ok := words[word]; ok && slices.Contains(known, meant) {
			return fmt.Sprintf("; did you mean %s?", meant)
		}
	}
	best, distance := "", 4
	for _, candidate := range known {
		if len(lower) > len(candidate)+distance {
			continue // that many edits at least; a key can be very long
		}
		if n := edits(lower, strings.ToLower(candidate)); n < distance {
			best, distance = candidate, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// edits is the Levenshtein distance of two texts in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
