package policy

import (
	"cmp"
	"slices"

	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/consumer/turn"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// group is the rule of the content groups that it lists.
type group struct {
	line int
	// clients and subclients are folded patterns of names.
	clients, subclients []string
	rule                turn.Rule
	ruleLine            int // of the first setting
}

// Rule returns the rule of a request's content group.
func (p *Policy) Rule(r *schemas.BackupRequest) turn.Rule {
	if g := p.groupOf(r); g != nil {
		return g.rule
	}
	return turn.Rule{}
}

func (p *Policy) groupOf(r *schemas.BackupRequest) *group {
	if len(p.groups) == 0 {
		return nil
	}
	client, subclient := vendorapi.FoldName(r.ClientName), vendorapi.FoldName(r.SubclientName)
	for i := range p.groups {
		if g := &p.groups[i]; matchAny(g.clients, client) && matchAny(g.subclients, subclient) {
			return g
		}
	}
	return nil
}

func matchAny(listed []string, name string) bool {
	return slices.ContainsFunc(listed, func(l string) bool { return strictyaml.MatchName(l, name) })
}

// NeedsFollowing returns a [*strictyaml.Error] with the content groups whose rule needs jobs to be
// followed, nil if there are none.
func (p *Policy) NeedsFollowing() error {
	var problems []strictyaml.Problem
	for i := range p.groups {
		if g := &p.groups[i]; g.rule.Applies() {
			problems = append(problems, strictyaml.Problem{Line: g.ruleLine, Text: turn.NeedsFollowing})
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &strictyaml.Error{What: fileKind, File: p.File, Problems: problems}
}

// Groups returns the number of items in the list of content groups.
func (p *Policy) Groups() int { return len(p.groups) }

// groupKeys are the keys of an item of groups.
var groupKeys = []string{"clientName", "subclientName", "onRunning", "minInterval"}

func (d *decoder) groups(n *yaml.Node) []group {
	var all []group
	d.Sequence(n, "groups", "content groups, each with its - clientName", func(item *yaml.Node) {
		all = append(all, d.group(item))
	})
	return all
}

func (d *decoder) group(n *yaml.Node) group {
	g := group{line: n.Line}
	given := make(map[string]bool)
	whole := d.Mapping(n, "an item of groups", groupKeys, func(key string, value *yaml.Node) {
		given[key] = true
		switch key {
		case "clientName":
			g.clients = d.folded("clientName", value)
		case "subclientName":
			g.subclients = d.folded("subclientName", value)
		case "onRunning":
			g.rule.Queue = d.Choice(value, key, turn.OnRunningStart, turn.OnRunningQueue) == turn.OnRunningQueue
			g.ruleLine = cmp.Or(g.ruleLine, value.Line)
		case "minInterval":
			g.rule.MinInterval = d.Duration(value, key, turn.LeastInterval, turn.LongestInterval)
			g.ruleLine = cmp.Or(g.ruleLine, value.Line)
		}
	})
	if !whole {
		return g
	}
	for _, key := range groupKeys[:2] {
		if !given[key] {
			d.Problem(n.Line, "the item of groups has no %s: list names, or \"*\" for any", key)
		}
	}
	if !given["onRunning"] && !given["minInterval"] {
		d.Problem(n.Line, "the item of groups has neither onRunning nor minInterval, so it changes nothing")
	}
	return g
}

// folded returns listed names as the vendor compares them.
func (d *decoder) folded(name string, n *yaml.Node) []string {
	i := slices.IndexFunc(members[:], func(m member) bool { return m.name == name })
	values := d.values(&members[i], n)
	for j := range values {
		values[j] = vendorapi.FoldName(values[j])
	}
	return values
}
