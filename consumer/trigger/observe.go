package trigger

import "time"

// Observer is told what becomes of notifications, for metrics. Its methods must be
// quick and never wait; they may be called from many goroutines.
type Observer interface {
	// Change is told of each change in a notification that is read for the first
	// time by this process, by its format and why it starts a backup or none.
	Change(format Format, reason Reason)
	// Refused is told of a notification, or a part of one, that is set aside as a
	// dead letter.
	Refused(unknown bool)
	// Requested is told of a request that is in its stream: how many changes it is
	// about, how long the first of them waited, and what became of its directive
	// file, "" for a route without one.
	Requested(changes int, waited time.Duration, directive string)
	// Cancelled is told of a window in which nothing was left to ask for.
	Cancelled()
	// Uploaded is told of each attempt to write a directive file.
	Uploaded(size int, err error)
	// Activated is told each time that this process begins to read.
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
	// Reading is false while another replica reads, or nobody can.
	Reading bool `json:"reading"`
	// Windows are open or wait for their request to be published.
	Windows int `json:"windows"`
	// Notifications are held, unacknowledged.
	Notifications int `json:"notifications"`
	// Changes is how many changed objects they are about.
	Changes int `json:"changes"`
	// Oldest is when the oldest change that is held was stored; zero without one.
	Oldest time.Time `json:"oldest,omitzero"`
	// Asked is what this process has asked for.
	Asked Asked `json:"asked"`
}

// Asked is what changes became.
type Asked struct {
	// Since is when the process began to read; zero if it never did.
	Since time.Time `json:"since,omitzero"`
	// Requests were published, and Changes became part of them.
	Requests int `json:"requests"`
	Changes  int `json:"changes"`
}
