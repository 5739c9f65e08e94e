// Package policy decides which source may request which backups.
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
// A rule lists the allowed values of each member, by the member's name in a request.
// Values that are not listed are denied. If the rule has no list for a member, the
// request must leave it at its default: no plan, no directive file, level
// INCREMENTAL, the instance with the client's name. So a missing list never means
// "any"; "*" does.
//
// A name in a list is compared byte for byte. Names that the vendor treats as equal,
// such as those that differ only in case, are different here. The character * matches
// any number of any characters; there is no other pattern, and * cannot be escaped.
// The text "" in a list allows a request without the member, and so does a lone *.
//
// A path in a list is a prefix of whole segments: /sk and /sk/ allow /sk/x but not
// /sku/x. A request's path can match a prefix only if every system opens the path
// that its text says; see [pathFault].
//
// The entry "*" applies to every source without an entry of its own; entries are
// never merged. A source without either is denied everything.
//
// # Content groups
//
// The list groups says how the requests of content groups follow each other, whichever source they
// are from: see package turn. The first item that matches counts. Names are compared as the vendor
// does, upper and lower case alike, because the item must find every request of the group.
//
// # Reading a file
//
// Reading is strict: an unknown or repeated key, a value of another type, a rule that
// can never match and an alias are errors. The [*strictyaml.Error] lists all problems
// with their lines.
//
// The package only reads the limit of requests per hour; it does not count requests.
//
// # Concurrency
//
// A policy is immutable and safe for concurrent use.
package policy

import (
	"strconv"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/schemas"
)

// AnySource is the name of the entry for sources without an entry of their own.
const AnySource = "*"

// Policy is the content of a policy file.
type Policy struct {
	// File is the name of the file as passed to [Load] or [Parse].
	File string
	// Sum is the SHA-256 of the file in hex.
	Sum string

	sources map[string]*entry
	groups  []group
}

// entry holds what one source may request.
type entry struct {
	line  int
	rules []rule
	// perHour is how many requests are allowed in an hour. 0 means any number.
	perHour, perHourLine int
}

// rule allows a request if it allows the value of every member.
type rule struct {
	line  int
	lists [len(members)]list
}

// list holds the allowed values of a member. line is 0 if the rule has no list.
type list struct {
	line   int
	values []string
}

// member is a member of a request that a policy judges.
type member struct {
	name string
	// value returns the request's value, with its default filled in.
	value func(r *schemas.BackupRequest) string
	// fallback returns the only value that a rule without a list allows. If nil, every
	// rule must have a list.
	fallback func(r *schemas.BackupRequest) string
	// kind selects how values are listed and compared.
	kind kind
	// optional is true if a request may have no value.
	optional bool
}

type kind int

const (
	nameKind kind = iota
	levelKind
	boolKind
	pathKind
)

// members lists every member of a request that affects what the vendor does.
// TestMembers_CoverTheRequest keeps the list complete.
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

// Allows reports whether a source may make a normalised request, and returns how many
// requests it may make per hour (0 for any number). It does not count requests.
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
		if m.kind == pathKind && matchPath(listed, value) || m.kind != pathKind && strictyaml.MatchName(listed, value) {
			return true
		}
	}
	return false
}

// Size returns the number of entries and the number of their rules.
func (p *Policy) Size() (entries, rules int) {
	for _, e := range p.sources {
		rules += len(e.rules)
	}
	return len(p.sources), rules
}
