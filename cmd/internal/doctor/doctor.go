// Package doctor looks at all that Backhaul depends on and says what is wrong and
// how to mend it.
//
// It changes nothing, makes no stream and starts no job. At the vendor it logs in,
// which leaves a login in the vendor's audit, and a note on the events stream if it
// is refused (package logins), and reads one page of jobs. What cannot be known without an effect is said to be unknown.
//
// Every check is one function that returns findings; none depends on another, but
// for those behind a door that stays shut.
package doctor

import (
	"fmt"
	"slices"
)

// Level is how bad a finding is.
type Level string

// The levels. Only an Error keeps Backhaul from keeping its promise, or from
// working at all.
const (
	OK      Level = "ok"
	Note    Level = "note"    // as somebody chose it, or not to be known
	Warning Level = "warning" // works, with less safety or not for long
	Error   Level = "error"
)

// Finding is what one check came to.
type Finding struct {
	// Check names what was looked at, such as "vendor login".
	Check string `json:"check"`
	Level Level  `json:"level"`
	What  string `json:"what"`
	// Fix is what to do about it, "" when there is nothing to do.
	Fix string `json:"fix,omitempty"`
	// Unreachable is true when it is NATS or the vendor that cannot be reached.
	Unreachable bool `json:"unreachable,omitempty"`
}

func ok(check, format string, args ...any) Finding {
	return Finding{Check: check, Level: OK, What: fmt.Sprintf(format, args...)}
}

func finding(level Level, check, what, fix string) Finding {
	return Finding{Check: check, Level: level, What: what, Fix: fix}
}

// Unreachable is a finding about something that cannot be reached at all.
func Unreachable(check string, err error, fix string) Finding {
	return Finding{Check: check, Level: Error, What: err.Error(), Fix: fix, Unreachable: true}
}

// Failed tells whether there is an error among the findings.
func Failed(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Level == Error })
}

// OutOfReach tells whether NATS or the vendor could not be reached.
func OutOfReach(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Unreachable })
}
