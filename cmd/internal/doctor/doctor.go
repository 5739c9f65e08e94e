// Package doctor checks everything that Backhaul depends on and returns what is wrong and
// how to fix it.
//
// It changes no setting, creates no stream and starts no job. At the vendor it logs in,
// which leaves a login in the vendor's audit, and an event in the events stream if the
// login is refused (package logins), and reads one page of jobs. What cannot be checked
// without an effect is reported as unknown.
//
// Every check is one function that returns findings. A check runs even if another one
// failed, unless it needs the connection that failed.
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
	Note    Level = "note"    // intended, or not known
	Warning Level = "warning" // works, with less safety or not for long
	Error   Level = "error"
)

// Finding is what one check came to.
type Finding struct {
	// Check names what was checked, such as "vendor login".
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

// Unreachable returns a finding about a server that cannot be reached.
func Unreachable(check string, err error, fix string) Finding {
	return Finding{Check: check, Level: Error, What: err.Error(), Fix: fix, Unreachable: true}
}

// Failed reports whether the findings include an error.
func Failed(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Level == Error })
}

// OutOfReach reports whether NATS or the vendor could not be reached.
func OutOfReach(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Unreachable })
}
