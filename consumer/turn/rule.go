package turn

import (
	"cmp"
	"fmt"
	"time"

	"backhaul/publisher"
	"backhaul/vendorapi"
)

// Values of the setting onRunning, in policies and routes.
const (
	OnRunningStart = "start" // a request is sent even if a job of its content group runs
	OnRunningQueue = "queue" // a request waits while a job of its content group runs
)

// NeedsFollowing is the problem with a rule where jobs are not followed.
const NeedsFollowing = "onRunning and minInterval need started jobs to be followed: set BACKHAUL_FOLLOW to true, or remove them"

// Bounds of the setting minInterval.
const (
	LeastInterval   = time.Second
	LongestInterval = 7 * 24 * time.Hour
)

// Rule says how the requests of a content group follow each other. The zero value is no rule.
type Rule struct {
	// Queue makes a request wait while a job of the group runs.
	Queue bool
	// MinInterval is the least time between the starts of two jobs; 0 is none.
	MinInterval time.Duration
}

// Applies reports whether there is a rule.
func (r Rule) Applies() bool { return r.Queue || r.MinInterval > 0 }

// OnRunning returns the rule's value of the setting.
func (r Rule) OnRunning() string {
	if r.Queue {
		return OnRunningQueue
	}
	return OnRunningStart
}

// Interval returns the least interval as a text, "" for none.
func (r Rule) Interval() string {
	if r.MinInterval == 0 {
		return ""
	}
	return r.MinInterval.String()
}

// Group names a content group and its client.
type Group struct{ Client, Subclient string }

// key returns the same text for names that the vendor takes for the same.
func (g Group) key() string {
	return vendorapi.FoldName(g.Client) + "\x00" + vendorapi.FoldName(g.Subclient)
}

func (g Group) String() string { return g.Client + "/" + g.Subclient }

// Waiting is a content group with requests that wait.
type Waiting struct {
	Group
	Wait
	// Requests is how many requests wait.
	Requests int
}

// Wait is what a request waits for.
type Wait struct {
	// Source and RequestID are those of the request that has the turn.
	Source    string `json:"source"`
	RequestID string `json:"requestId"`
	// Since is when the last event of that request was stored.
	Since time.Time `json:"since"`
	// JobID is the job that runs; "" if there is none.
	JobID string `json:"jobId,omitempty"`
	// Queued is set if that request waits itself: nothing is sent for it.
	Queued bool `json:"queued,omitempty"`
	// Until is when the least interval ends, by the server's clock; zero while a job runs or
	// may start.
	Until time.Time `json:"until,omitzero"`

	key  publisher.Key
	left time.Duration
}

// Key returns the key of the request that has the turn.
func (w *Wait) Key() publisher.Key { return w.key }

// Left returns how long the least interval lasts, 0 while a job runs or may start.
func (w *Wait) Left() time.Duration { return w.left }

// String returns what is waited for, as part of a sentence.
func (w *Wait) String() string {
	of := "request " + w.Source + "/" + cmp.Or(w.RequestID, w.key.Name)
	switch {
	case !w.Until.IsZero():
		return fmt.Sprintf("the content group's least interval since %s was started, until %s", of, w.Until.UTC().Format(time.RFC3339))
	case w.Queued:
		return of + ", which waits for the same content group"
	case w.JobID != "":
		return fmt.Sprintf("job %s of %s, which runs for the same content group", w.JobID, of)
	default:
		return of + ", which is being started for the same content group"
	}
}
