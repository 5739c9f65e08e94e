package history

import (
	"slices"
	"strings"
	"time"

	"backhaul/schemas"
)

// JobState is where one job of a request stands: one of these, or a [schemas.State].
type JobState string

// The states that no event job-changed names.
const (
	JobStarted    JobState = "started"    // it has an id, and nothing else is on record
	JobFinished   JobState = "finished"   // it has an outcome
	JobUnfollowed JobState = "unfollowed" // no end was seen; one may still be recorded
)

// Over reports whether no event about the job is expected any more.
func (s JobState) Over() bool { return s == JobFinished || s == JobUnfollowed }

// Job is one job of a request.
type Job struct {
	ID    string   `json:"jobId"`
	State JobState `json:"state"`
	// Since is when the state was seen, zero for [JobStarted].
	Since time.Time `json:"since,omitzero"`
	// Outcome is "" for a job without an end.
	Outcome schemas.Outcome `json:"outcome,omitempty"`
	// VendorStatus is the vendor's last status, verbatim.
	VendorStatus string `json:"vendorStatus,omitempty"`
	// Reasons are the vendor's, or why the job is no longer followed.
	Reasons []schemas.Reason `json:"reasons,omitempty"`
	// By is who killed the job.
	By string `json:"by,omitempty"`
	Progress
	schemas.JobSizes
	Times
}

// Progress is what the vendor said of a job that has not ended.
type Progress struct {
	Phase   string `json:"phase,omitempty"`
	Percent *int   `json:"percent,omitempty"`
}

// Times is when a job ran, by the vendor's clock.
type Times struct {
	StartedAt time.Time `json:"startedAt,omitzero"`
	EndedAt   time.Time `json:"endedAt,omitzero"`
	// EndedFrom is that of [schemas.JobTimes].
	EndedFrom string `json:"endedFrom,omitempty"`
}

// jobAfter returns a job as an event about it describes it.
func jobAfter(e schemas.JobEvent) Job {
	j := Job{ID: e.Job(), Since: e.At().UTC()}
	switch e := e.(type) {
	case *schemas.JobChanged:
		j.State, j.VendorStatus, j.Reasons = JobState(e.State), e.VendorStatus, e.Reasons
		j.Progress = Progress{e.Phase, e.Percent}
	case *schemas.JobFinished:
		j.State, j.Outcome, j.VendorStatus = JobFinished, e.Outcome, e.VendorStatus
		j.Reasons, j.By, j.JobSizes = e.Reasons, e.By, e.JobSizes
		j.Times = Times{e.StartedAt.UTC(), e.EndedAt.UTC(), e.EndedFrom}
	case *schemas.JobUnfollowed:
		j.State, j.VendorStatus = JobUnfollowed, e.LastStatus
		j.Reasons = []schemas.Reason{{Text: e.Reason}}
	}
	return j
}

// Jobs are the jobs of one request, in the order in which its events name them.
type Jobs []Job

// After returns the jobs after one more event of the request; js stays as it is. An end is
// final: what is recorded about a job behind its end, and a second end, change nothing.
func (js Jobs) After(e schemas.Event) Jobs {
	switch e := e.(type) {
	case *schemas.JobStarted:
		js = slices.Clone(js)
		for _, id := range append([]string{e.JobID}, e.JobIDs...) {
			if id != "" && js.index(id) < 0 {
				js = append(js, Job{ID: id, State: JobStarted})
			}
		}
	case schemas.JobEvent:
		i, j := js.index(e.Job()), jobAfter(e)
		switch {
		case i < 0:
			return append(slices.Clone(js), j)
		case js[i].State != JobFinished:
			js = slices.Clone(js)
			js[i] = j
		}
	case *schemas.JobSubmitting, *schemas.JobFailed, *schemas.RequestRejected: // not about a job
	}
	return js
}

// State returns the state of a job, "" for one that is not named.
func (js Jobs) State(id string) JobState {
	if i := js.index(id); i >= 0 {
		return js[i].State
	}
	return ""
}

func (js Jobs) index(id string) int {
	return slices.IndexFunc(js, func(j Job) bool { return j.ID == id })
}

// Backup is what became of a request's jobs together. The zero value is that of a request
// without a job.
type Backup struct {
	// State is [JobFinished] if all jobs have ended, otherwise the state of the job that
	// is least certain to end.
	State JobState `json:"state"`
	// Outcome is the worst outcome of the jobs. Before all of them have ended it is set
	// only if one of them did not keep all of its data.
	Outcome schemas.Outcome `json:"outcome,omitempty"`
}

// attention lists the states of jobs, those first that need attention.
var attention = []JobState{
	JobState(schemas.StatePending), JobState(schemas.StateInterrupted), JobState(schemas.StateSuspended),
	JobState(schemas.StateQueued), JobState(schemas.StateWaiting), JobState(schemas.StateRunning),
	JobStarted, JobUnfollowed, JobFinished,
}

// Backup returns what became of the jobs together.
func (js Jobs) Backup() (b Backup) {
	rank := func(s JobState) int { return slices.Index(attention, s) } // one of a later version is -1: first
	for i, j := range js {
		if i == 0 || rank(j.State) < rank(b.State) {
			b.State = j.State
		}
		if j.Outcome != "" && worse(j.Outcome, b.Outcome) {
			b.Outcome = j.Outcome
		}
	}
	if b.State != JobFinished && b.Outcome.KeptAll() {
		b.Outcome = ""
	}
	return b
}

// worse reports whether an outcome is worse than another, "" for none yet. An outcome of a
// later version is the worst.
func worse(o, than schemas.Outcome) bool {
	rank := func(o schemas.Outcome) int {
		if i := slices.Index(schemas.Outcomes, o); i >= 0 {
			return i
		}
		return len(schemas.Outcomes)
	}
	return than == "" || rank(o) > rank(than)
}

// KeptAll reports whether every job has ended and kept all of its data.
func (b Backup) KeptAll() bool { return b.State == JobFinished && b.Outcome.KeptAll() }

// Lost reports whether a job has ended without keeping all of its data.
func (b Backup) Lost() bool { return b.Outcome != "" && !b.Outcome.KeptAll() }

// Open reports whether an end of a job is still expected.
func (b Backup) Open() bool { return b.State != "" && !b.State.Over() }

// Name returns the outcome of a backup that has finished, otherwise its state.
func (b Backup) Name() string {
	if b.State == JobFinished {
		return string(b.Outcome)
	}
	return string(b.State)
}

// Word returns the name as people read it.
func (b Backup) Word() string {
	if b.State == JobStarted {
		return "no end yet"
	}
	return wordOf(b.Name())
}

func wordOf(name string) string { return strings.ReplaceAll(name, "-", " ") }
