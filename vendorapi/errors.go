package vendorapi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Verdict is what an answer, or the lack of one, says about the job.
type Verdict int

const (
	// Unknown: there may be a job. Look before anything else. It is the zero
	// value on purpose.
	Unknown Verdict = iota
	// Refused: no job, and the same request will be refused again.
	Refused
	// Throttled: no job; the vendor wants to be left alone for RetryAfter.
	Throttled
	// AuthRefused: no job; the login works, but may not do this.
	AuthRefused
	// NotSent: no job, and nothing was decided about the request: it never
	// reached CreateTask. Safe to repeat.
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

// Error is any end of a call but the hoped-for one.
type Error struct {
	Verdict Verdict
	// Op is the vendor's operation, such as "CreateTask".
	Op string
	// Status is the HTTP status, 0 when none came. With one, the rest of the
	// answer may still be missing.
	Status int
	// Code is the vendor's error code, verbatim; "HTTP_nnn" for a refusal
	// without one; "" when there is none.
	Code string
	// Message is the vendor's message, verbatim, or what stands for it.
	Message string
	// TaskID is the task that the answer named, as a decimal number; "" when it
	// named none. With a task, jobs may exist now or later, so the verdict is
	// Unknown, and a task that the vendor has put off is not to be sent again.
	TaskID string
	// RetryAfter is how long to leave the vendor alone, 0 when it did not say.
	RetryAfter time.Duration
	// Err is the cause when there was no answer, or why it could not be read.
	Err error
	// noAnswer: the vendor could not be reached or said nothing, although the
	// caller was patient.
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
		if logCode := LogCode(e.Code); logCode != "" {
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

// VerdictOf is the verdict of a failed call. An error that is none of ours says
// nothing about the job: Unknown.
func VerdictOf(err error) Verdict {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Verdict
	}
	return Unknown
}

// LoginError says that the vendor does not accept our credentials at all. No
// request is at fault; an operator has to act.
type LoginError struct {
	Code    string // the vendor's, "" when it gave none
	Message string
	// Locked is how long the account stays locked, 0 when it is not.
	Locked time.Duration
	// By is the process whose password was refused, and Until when that password is
	// sent again at the earliest. They are empty for other credentials.
	By    string
	Until time.Time
	// nearlyLocked: by the vendor's count, one more failure may lock the account.
	nearlyLocked bool
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
	if !e.Until.IsZero() {
		if e.By != "" {
			text += " (to " + e.By + ")"
		}
		text += fmt.Sprintf("; the same password is not sent again before %s, a changed one at once", e.Until.UTC().Format(time.RFC3339))
	}
	return text
}

// LogCode is a large error code as the vendor's logs and articles write it:
// facility and number, "35:4618" for 587207178. It is "" for other codes.
// Basis: 318767272 is printed as "19:168" in the vendor's own job events.
func LogCode(code string) string {
	n, err := strconv.ParseUint(code, 10, 32)
	if err != nil || n < 1<<24 {
		return ""
	}
	return fmt.Sprintf("%d:%d", n>>24, n&(1<<24-1))
}
