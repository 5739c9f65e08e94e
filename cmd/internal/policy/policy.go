// Package policy says which source may ask for which backups.
//
// A policy is a YAML file. Each source has an entry with rules, and a request is
// allowed if one rule of its source's entry allows all of it:
//
//	sources:
//	  billing:
//	    requestsPerHour: 100
//	    allow:
//	      - clientName: [s-adhoc-object-storage]
//	        subclientName: [stestgroup, "load-*"]
//	        onDemandInputFile: [/sk/]
//
// # What a rule allows
//
// A rule lists values by the names that a request has for them. What is not listed
// is denied. A member that the rule does not have must be left at its default by
// the request: no plan, no directive file, level INCREMENTAL, the instance of the
// client's name. So an empty corner of a rule never means "any"; "*" does.
//
// A name in a list stands for itself, compared byte for byte: whatever the vendor
// takes for the same name, such as one in other letters, is another one here. The
// character * in it stands for any characters, or none; there is no other pattern,
// and no way to escape it. The text "" in a list allows to leave the member out,
// and so does a lone *.
//
// A path in a list is a prefix of whole segments: /sk and /sk/ allow /sk/x and not
// /sku/x. A request's path is held against prefixes only when it is clean, so that
// what the vendor opens is where the text says; see [pathFault].
//
// The entry "*" is for every source without an entry of its own; entries are never
// merged. A source without either may ask for nothing.
//
// # Reading a file
//
// Reading is strict: an unknown or repeated key, a value of another type, a rule
// that could never match or an alias is a [*strictyaml.Error], which lists all problems with
// their lines. A policy never changes; any number of goroutines may use one.
//
// How many requests in an hour are too many is only stated here, not counted.
package policy

import (
	"strconv"

	"backhaul/schemas"
)

// AnySource is the name of the entry for sources that have none of their own.
const AnySource = "*"

// Policy is what a file says.
type Policy struct {
	// File is the name of the file, as it was given.
	File string
	// Sum is the SHA-256 of the file in hex.
	Sum string

	sources map[string]*entry
}

// entry is what one source may ask for.
type entry struct {
	line  int
	rules []rule
	// perHour is how many requests are allowed in an hour, 0 for any number.
	perHour, perHourLine int
}

// rule allows the requests all of whose members it lists.
type rule struct {
	line  int
	lists [len(members)]list
}

// list is the allowed values of a member; line is 0 if the rule has no list.
type list struct {
	line   int
	values []string
}

// member is a member of a request that a policy judges.
type member struct {
	name string
	// value is the request's value, with its default filled in.
	value func(r *schemas.BackupRequest) string
	// fallback is what a rule without a list allows; nil if it must have one.
	fallback func(r *schemas.BackupRequest) string
	// kind is how values are listed and compared.
	kind kind
	// optional: a request may have no value at all.
	optional bool
}

type kind int

const (
	nameKind kind = iota
	levelKind
	boolKind
	pathKind
)

// members are all that decide what the vendor does. TestEveryMemberIsJudged keeps
// it so.
var members = [...]member{
	{name: "clientName", value: func(r *schemas.BackupRequest) string { return r.ClientName }},
	{
		name: "instanceName", value: func(r *schemas.BackupRequest) string { return r.InstanceName },
		fallback: func(r *schemas.BackupRequest) string { return r.ClientName },
	},
	{
		name: "backupsetName", value: func(r *schemas.BackupRequest) string { return r.BackupsetName },
		fallback: constant(schemas.DefaultBackupsetName),
	},
	{name: "subclientName", value: func(r *schemas.BackupRequest) string { return r.SubclientName }},
	{
		name: "storagePolicyName", value: func(r *schemas.BackupRequest) string { return r.StoragePolicyName },
		fallback: constant(""), optional: true,
	},
	{
		name: "appName", value: func(r *schemas.BackupRequest) string { return r.AppName },
		fallback: constant(schemas.DefaultAppName),
	},
	{
		name: "backupLevel", value: func(r *schemas.BackupRequest) string { return r.BackupLevel },
		fallback: constant(schemas.DefaultBackupLevel), kind: levelKind,
	},
	{
		name: "adHocBackup", value: func(r *schemas.BackupRequest) string { return strconv.FormatBool(r.AdHocBackup) },
		fallback: func(r *schemas.BackupRequest) string { return strconv.FormatBool(r.OnDemandInputFile != "") }, kind: boolKind,
	},
	{
		name: "onDemandInputFile", value: func(r *schemas.BackupRequest) string { return r.OnDemandInputFile },
		fallback: constant(""), kind: pathKind, optional: true,
	},
}

func constant(value string) func(*schemas.BackupRequest) string {
	return func(*schemas.BackupRequest) string { return value }
}

// Allows tells whether a source may make a normalised request, apart from how many
// it may make in an hour: perHour, 0 for any number.
func (p *Policy) Allows(source string, r *schemas.BackupRequest) (ok bool, perHour int) {
	e := p.entryOf(source)
	if e == nil {
		return false, 0
	}
	for i := range e.rules {
		if e.rules[i].allows(r) {
			return true, e.perHour
		}
	}
	return false, e.perHour
}

func (p *Policy) entryOf(source string) *entry {
	if e, ok := p.sources[source]; ok && source != AnySource {
		return e
	}
	return p.sources[AnySource]
}

func (ru *rule) allows(r *schemas.BackupRequest) bool {
	for i := range members {
		if !ru.allowsMember(i, r) {
			return false
		}
	}
	return true
}

func (ru *rule) allowsMember(i int, r *schemas.BackupRequest) bool {
	m, l := &members[i], &ru.lists[i]
	value := m.value(r)
	if l.line == 0 {
		return m.fallback != nil && value == m.fallback(r)
	}
	for _, listed := range l.values {
		if m.kind == pathKind && matchPath(listed, value) || m.kind != pathKind && matchName(listed, value) {
			return true
		}
	}
	return false
}

// Size is the number of entries and of their rules.
func (p *Policy) Size() (entries, rules int) {
	for _, e := range p.sources {
		rules += len(e.rules)
	}
	return len(p.sources), rules
}
