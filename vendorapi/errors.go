package vendorapi

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"backhaul/schemas"
)

// Verdict is what the answer to a call, or the lack of one, means for the job.
type Verdict int

const (
	// Unknown: there may be a job, so a lookup comes first. It is the zero value on purpose.
	Unknown Verdict = iota
	// Refused: no job, and the vendor will refuse the same request again.
	Refused
	// Throttled: no job; the vendor asked for a pause of RetryAfter.
	Throttled
	// AuthRefused: no job; the login is valid, but has no permission for the call.
	AuthRefused
	// NotSent: no job, and no decision about the request: it did not reach CreateTask. It is safe
	// to repeat.
	NotSent
)

func (v Verdict) String() string {
	switch v {
	case Refused:
		return "refused"
	case Throttled:
		return "throttled"
	case AuthRefused:
		return "auth refused"
	case NotSent:
		return "not sent"
	default:
		return "unknown"
	}
}

// Error is the error that every call returns.
type Error struct {
	Verdict Verdict
	// Op is the vendor's operation, such as "CreateTask".
	Op string
	// Status is the HTTP status, 0 without an answer. With a status, the rest of the answer may
	// still be missing.
	Status int
	// Code is the vendor's error code, verbatim; "HTTP_nnn" for a refusal without a code; else "".
	Code string
	// Message is the vendor's message, verbatim, or a text in its place.
	Message string
	// TaskID is the task that the answer names, a decimal number; "" without one. With a task, jobs
	// may exist now or later, so the verdict is Unknown; a task that the vendor has put off must
	// not be sent again.
	TaskID string
	// RetryAfter is how long to wait before the next call, 0 when that is not known.
	RetryAfter time.Duration
	// Err is why there was no answer, or why it could not be read.
	Err error
	// noAnswer means that the vendor could not be reached or sent no answer, although the caller
	// waited at least [patience].
	noAnswer bool
	load     load
	notAsked bool // see NotAsked
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Op, e.Verdict)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": HTTP %d", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, ": code %s", e.Code)
		if logCode := schemas.LogCode(e.Code); logCode != "" {
			fmt.Fprintf(&b, " (%s)", logCode)
		}
	}
	if e.TaskID != "" {
		fmt.Fprintf(&b, ": task %s", e.TaskID)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", strings.TrimSpace(e.Message))
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// VerdictOf returns the verdict of a failed call. Errors other than [*Error] are Unknown.
func VerdictOf(err error) Verdict {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Verdict
	}
	return Unknown
}

// LoginError is the error when the vendor does not accept the credentials. An operator has to act;
// the requests are valid.
type LoginError struct {
	Code    string // of the vendor, "" without one
	Message string
	// Locked is how long the account stays locked, 0 when it is not locked.
	Locked time.Duration
	// By is the process whose password was refused. Until is when that password is sent again at
	// the earliest. They are zero for other credentials.
	By    string
	Until time.Time
	// Setting is [Auth.PasswordName].
	Setting string
	// nearlyLocked means that one more failure may lock the account, by the vendor's count.
	nearlyLocked bool
	// unsure: nothing in the answer is about the credentials, so it may be a fault of the vendor.
	unsure bool
}

func (e *LoginError) Error() string {
	text := "login refused"
	if e.Code != "" {
		text += ": code " + e.Code
	}
	if e.Message != "" {
		text += ": " + strings.TrimSpace(e.Message)
	}
	if e.Locked > 0 {
		text += fmt.Sprintf(": account locked for %s", e.Locked)
	}
	if !e.Until.IsZero() && e.By != "" {
		text += " (to " + e.By + ")"
	}
	if e.Setting != "" {
		text += "; the password is that of " + e.Setting
	}
	if !e.Until.IsZero() {
		text += fmt.Sprintf("; the same password is not sent again before %s, a changed one at once", e.Until.UTC().Format(time.RFC3339))
	}
	return text
}
