package trigger

import "time"

// Observer receives what happens to notifications, for metrics. Its methods must return
// quickly without waiting, and may be called from many goroutines.
type Observer interface {
	// Change is called for each change of a notification when this process first reads it,
	// with its format and the reason why it starts a backup or not.
	Change(format Format, reason Reason)
	// Refused is called for a notification that became a dead letter because all or a part
	// of it cannot be decoded. unknown reports whether its format is unknown.
	Refused(unknown bool)
	// Requested is called for a request that is in its stream, with the number of its
	// changes, how long the first of them waited, and one of [DirectiveResults], or "" for a
	// route without directive.
	Requested(changes int, waited time.Duration, directive string)
	// Cancelled is called for a window that has no changes left to request.
	Cancelled()
	// Uploaded is called for each attempt to write a directive file.
	Uploaded(size int, err error)
	// Activated is called each time that this process begins to read.
	Activated()
}

type silent struct{}

func (silent) Change(Format, Reason)                {}
func (silent) Refused(bool)                         {}
func (silent) Requested(int, time.Duration, string) {}
func (silent) Cancelled()                           {}
func (silent) Uploaded(int, error)                  {}
func (silent) Activated()                           {}

// State is what a trigger is doing.
type State struct {
	// Reading is false while another replica reads, or none can.
	Reading bool `json:"reading"`
	// Owner names the process.
	Owner string `json:"owner,omitempty"`
	// Windows is how many windows are open, or ended without a published request yet.
	Windows int `json:"windows"`
	// Held is how many of them wait for a job of their content group.
	Held int `json:"held,omitempty"`
	// Blackout is how many of them wait for the end of a blackout.
	Blackout int `json:"blackout,omitempty"`
	// Notifications is how many notifications in windows are not acknowledged.
	Notifications int `json:"notifications"`
	// Changes is how many objects they are about.
	Changes int `json:"changes"`
	// Oldest is when the oldest change in a window was stored; zero without one.
	Oldest time.Time `json:"oldest,omitzero"`
	// OldestFree is the same for windows that wait neither for a job nor for the end of a blackout.
	OldestFree time.Time `json:"oldestFree,omitzero"`
	// Asked counts the requests of this process.
	Asked Asked `json:"asked"`
	// Unrouted has the changes that no route takes, since the process began to read; nil without
	// any.
	Unrouted *Unrouted `json:"unrouted,omitempty"`
	// Waits has the content groups with a window that ended and is not requested, at most 10, the
	// oldest first.
	Waits []Wait `json:"waits,omitempty"`
	// Conditions has what is wrong with the replica.
	Conditions []Condition `json:"conditions,omitempty"`
}

// Wait is a content group that waits for its request.
type Wait struct {
	ContentGroup string `json:"contentGroup"`
	// Since is when its first change was stored.
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
}

// Condition is something that is not well, by the name of its check.
type Condition struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Asked counts the requests that were published, and their changes.
type Asked struct {
	// Since is when the process began to read; zero if it never did.
	Since time.Time `json:"since,omitzero"`
	// Requests is how many requests were published, and Changes how many changes they have.
	Requests int `json:"requests"`
	Changes  int `json:"changes"`
}
