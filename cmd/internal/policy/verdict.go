package policy

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/schemas"
)

// Verdict is a policy's decision on a request, with its reasons. Lines are those of
// the policy's file; 0 means that the file has no such line.
type Verdict struct {
	Allowed bool   `json:"allowed"`
	Source  string `json:"source"`
	File    string `json:"file"`
	// Entry is the name of the source's entry: the source, or [AnySource].
	Entry string `json:"entry,omitempty"`
	Line  int    `json:"line,omitzero"`
	// RequestsPerHour is how many requests are allowed in an hour, 0 for any number.
	// The verdict does not depend on how many were made.
	RequestsPerHour     int `json:"requestsPerHour,omitzero"`
	RequestsPerHourLine int `json:"-"`
	// Rules are the entry's rules, up to the one that allows the request.
	Rules []RuleVerdict `json:"rules"`
	// Group is the rule of the request's content group, nil if there is none.
	Group *GroupRule `json:"group,omitempty"`
}

// GroupRule says how the requests of a content group follow each other.
type GroupRule struct {
	Line      int    `json:"line"`
	OnRunning string `json:"onRunning"`
	// MinInterval is a duration such as "15m0s", "" for none.
	MinInterval string `json:"minInterval,omitempty"`
}

// RuleVerdict is the decision of one rule. The rule allows the request if Denied is
// empty.
type RuleVerdict struct {
	Line   int      `json:"line"`
	Denied []Denial `json:"denied,omitempty"`
}

// Denial is a member of the request whose value a rule does not allow.
type Denial struct {
	// Member is the name of the member, such as subclientName.
	Member string `json:"member"`
	// Value is the request's value, "" if it has none.
	Value string `json:"value"`
	// Line is the line of the member's list, or of the rule if it has no such list.
	Line int `json:"line"`
	// Listed holds the values that the rule allows.
	Listed []string `json:"listed"`
	// Why states why the value is denied and what to list to allow it.
	Why string `json:"why"`
}

// Explain returns the verdict on a request with all reasons. [Policy.Allows] returns
// the same decision at a lower cost.
func (p *Policy) Explain(source string, r schemas.BackupRequest) Verdict {
	v := Verdict{Source: source, File: p.File, Rules: []RuleVerdict{}}
	if g := p.groupOf(&r); g != nil {
		v.Group = &GroupRule{Line: g.line, OnRunning: g.rule.OnRunning(), MinInterval: g.rule.Interval()}
	}
	e := p.entryOf(source)
	if e == nil {
		return v
	}
	v.Entry, v.Line = source, e.line
	if p.sources[source] != e {
		v.Entry = AnySource
	}
	v.RequestsPerHour, v.RequestsPerHourLine = e.perHour, e.perHourLine
	for i := range e.rules {
		ru := &e.rules[i]
		verdict := RuleVerdict{Line: ru.line}
		for m := range members {
			if !ru.allowsMember(m, &r) {
				verdict.Denied = append(verdict.Denied, ru.denial(m, &r))
			}
		}
		v.Rules = append(v.Rules, verdict)
		if v.Allowed = len(verdict.Denied) == 0; v.Allowed {
			break
		}
	}
	return v
}

func (ru *rule) denial(i int, r *schemas.BackupRequest) Denial {
	m, l := &members[i], ru.lists[i]
	d := Denial{Member: m.name, Value: m.value(r), Line: l.line, Listed: l.values}
	what, list := m.name+" "+strictyaml.Quoted(d.Value), strictyaml.Quoted(d.Value)
	if m.kind == boolKind {
		what, list = m.name+" "+d.Value, d.Value
	}
	if d.Value == "" {
		what += " (left out)"
	}
	if m.kind == pathKind && d.Value != "" {
		if fault := pathFault(d.Value); fault != "" {
			d.Why = fmt.Sprintf("%s %s: no prefix can allow it", what, fault)
		}
		list = strictyaml.Quoted(directory(d.Value))
	}
	not := "is not listed"
	if l.line == 0 {
		d.Line, d.Listed = ru.line, []string{m.fallback(r)}
		not = "is not the default, and the rule has no list of " + m.name
	}
	if d.Why == "" {
		d.Why = fmt.Sprintf("%s %s; to allow it, list %s", what, not, list)
	}
	near := slices.IndexFunc(l.values, func(listed string) bool { return strings.EqualFold(listed, d.Value) })
	if near >= 0 {
		d.Why += fmt.Sprintf(" (%s is listed: upper and lower case differ)", strictyaml.Quoted(l.values[near]))
	}
	return d
}

// directory returns the narrowest prefix to suggest for a path: its directory.
func directory(p string) string {
	if dir := path.Dir(p); dir != "/" {
		return dir + "/"
	}
	return p
}

// Reason returns in one line why the request is denied. It quotes only the rule that
// denies the fewest members, to reveal no more of the policy.
func (v Verdict) Reason() string {
	file := filepath.Base(v.File)
	switch {
	case v.Line == 0:
		return fmt.Sprintf("source %q has no entry in %s; to allow requests, add one below sources", v.Source, file)
	case len(v.Rules) == 0:
		return fmt.Sprintf("source %q may not request any backup: its entry (%s:%d) has no rules", v.Source, file, v.Line)
	}
	nearest := slices.MinFunc(v.Rules, func(a, b RuleVerdict) int { return len(a.Denied) - len(b.Denied) })
	var why []string
	for _, d := range nearest.Denied {
		why = append(why, fmt.Sprintf("%s (%s:%d)", d.Why, file, d.Line))
	}
	text := fmt.Sprintf("source %q may not request this backup: %s", v.Source, strings.Join(why, "; "))
	if len(v.Rules) > 1 {
		text += fmt.Sprintf(" (the nearest of %d rules)", len(v.Rules))
	}
	return text
}
