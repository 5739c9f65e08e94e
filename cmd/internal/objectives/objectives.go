// Package objectives reads the file that says what is promised for which content groups.
//
// The file is a list. The first objective that fits a content group is the group's:
//
//	objectives:
//	  - name: finance
//	    owner: finance-it
//	    clientName: [s-adhoc-object-storage]
//	    subclientName: ["finance-*"]
//	    rpo: 1h
//	    maxAge: 26h
//
// A content group that fits none has no promise. Reading is strict, as for a policy: an unknown
// or repeated key, a value of another type and an alias are errors, and the
// [*strictyaml.Error] lists all problems with their lines.
//
// # Concurrency
//
// Objectives are immutable and safe for concurrent use.
package objectives

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"backhaul/cmd/internal/protection"
	"backhaul/cmd/internal/strictyaml"
)

// Objectives is the content of a file.
type Objectives struct {
	// File is the name of the file as passed to [Load] or [Parse].
	File string
	// Sum is the SHA-256 of the file in hex.
	Sum string

	all []objective
}

// objective is one objective of a file and the groups that it is for.
type objective struct {
	protection.Objective
	// patterns are of the names in the order of [names]; nil fits any.
	patterns [len(names)]*patterns
}

// patterns are a list of patterns. Many content groups are judged often, and a list may name each
// of them: so names without a * are looked up.
type patterns struct {
	names map[string]bool
	wild  []string
}

func (p *patterns) add(pattern string) {
	if strings.Contains(pattern, "*") {
		p.wild = append(p.wild, pattern)
		return
	}
	p.names[pattern] = true
}

func (p *patterns) match(name string) bool {
	return p.names[name] || slices.ContainsFunc(p.wild, func(pattern string) bool { return strictyaml.MatchName(pattern, name) })
}

// name is a name of a content group that an objective selects.
type name struct {
	key      string
	of       func(g *protection.Group) string
	required bool
	about    string
}

var names = [...]name{
	{"clientName", func(g *protection.Group) string { return g.Client }, true, "the clients"},
	{"subclientName", func(g *protection.Group) string { return g.Subclient }, true, "the content groups"},
	{"instanceName", func(g *protection.Group) string { return g.Instance }, false, "the instances"},
	{"backupsetName", func(g *protection.Group) string { return g.Backupset }, false, "the backup sets"},
}

// Load reads and parses a file. The error is an [*strictyaml.Error].
func Load(file string) (*Objectives, error) {
	data, err := Read(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, data)
}

// Read reads the content of a file. The error is an [*strictyaml.Error].
func Read(file string) ([]byte, error) { return strictyaml.ReadFile(fileKind, file, maxFile) }

// Parse parses the content of a file. The error is an [*strictyaml.Error].
func Parse(file string, data []byte) (*Objectives, error) {
	sum := sha256.Sum256(data)
	d := &decoder{Reader: strictyaml.Reader{Words: words}}
	all := d.file(data)
	if err := d.Err(fileKind, file); err != nil {
		return nil, err
	}
	return &Objectives{File: file, Sum: hex.EncodeToString(sum[:]), all: all}, nil
}

// For returns the objective of a content group. ok is false if none fits. A nil *Objectives has
// none.
func (o *Objectives) For(g protection.Group) (objective protection.Objective, ok bool) {
	if o == nil {
		return protection.Objective{}, false
	}
	for i := range o.all {
		if o.all[i].fits(&g) {
			return o.all[i].Objective, true
		}
	}
	return protection.Objective{}, false
}

// Unused returns the names of the objectives that are those of none of the groups.
func (o *Objectives) Unused(groups []protection.Group) (names []string) {
	used := make(map[string]bool)
	for _, g := range groups {
		if objective, ok := o.For(g); ok {
			used[objective.Name] = true
		}
	}
	for _, objective := range o.All() {
		if !used[objective.Name] {
			names = append(names, objective.Name)
		}
	}
	return names
}

// All returns the objectives in the order of the file.
func (o *Objectives) All() []protection.Objective {
	if o == nil {
		return nil
	}
	all := make([]protection.Objective, len(o.all))
	for i := range o.all {
		all[i] = o.all[i].Objective
	}
	return all
}

func (ob *objective) fits(g *protection.Group) bool {
	for i, patterns := range ob.patterns {
		if patterns != nil && !patterns.match(names[i].of(g)) {
			return false
		}
	}
	return true
}
