package schemas

import "time"

// JobEvent is an event about one job that a request started.
type JobEvent interface {
	Event
	// Job returns the vendor's job id, a decimal number above 0.
	Job() string
}

// JobRef names the job that a [JobEvent] is about.
type JobRef struct {
	// JobID is the vendor's job id, a decimal number above 0.
	JobID  string `json:"jobId"`
	TaskID string `json:"taskId,omitempty"`
}

// Job makes the embedding events report their job.
func (j JobRef) Job() string { return j.JobID }

// Outcome is how a job ended.
type Outcome string

// The outcomes of a job. A later version may add outcomes.
const (
	OutcomeCompleted             Outcome = "completed"
	OutcomeCompletedWithWarnings Outcome = "completed-with-warnings"
	OutcomeCompletedWithErrors   Outcome = "completed-with-errors"
	// OutcomeCommitted: the job ended early, and what it had saved until then is kept.
	OutcomeCommitted Outcome = "committed"
	OutcomeFailed    Outcome = "failed"
	// OutcomeFailedToStart: the job had an id and did nothing.
	OutcomeFailedToStart Outcome = "failed-to-start"
	OutcomeKilled        Outcome = "killed"
	// OutcomeNoRun: the vendor did not run the job, because activity was disabled or too
	// many instances ran.
	OutcomeNoRun Outcome = "no-run"
	// OutcomeEnded: the job is over with a status that this version does not know.
	OutcomeEnded Outcome = "ended"
)

// Outcomes lists every outcome, the best first.
var Outcomes = []Outcome{
	OutcomeCompleted, OutcomeCompletedWithWarnings, OutcomeCompletedWithErrors, OutcomeCommitted,
	OutcomeFailed, OutcomeFailedToStart, OutcomeKilled, OutcomeNoRun, OutcomeEnded,
}

// KeptAll reports whether the job kept all that it was to save.
func (o Outcome) KeptAll() bool {
	return o == OutcomeCompleted || o == OutcomeCompletedWithWarnings
}

// Kept reports whether the job kept at least a part of what it was to save.
func (o Outcome) Kept() bool {
	return o.KeptAll() || o == OutcomeCompletedWithErrors || o == OutcomeCommitted
}

// Reason is one thing that the vendor said about why a job does not run or did not
// complete.
type Reason struct {
	// Code is the vendor's code as it was given: "19:1081", or a decimal number.
	Code string `json:"code,omitempty"`
	// LogCode is a large decimal code as the vendor's logs write it, such as "35:4618".
	LogCode string `json:"logCode,omitempty"`
	Text    string `json:"text"`
	// From is one of the ReasonFrom constants.
	From string `json:"from"`
}

// Where a [Reason] was read.
const (
	// ReasonFromPending is the pending reason in the list of jobs.
	ReasonFromPending = "pending"
	// ReasonFromSubmit is the code of a job that failed to start.
	ReasonFromSubmit = "submit"
	// ReasonFromEvent is an event of the job.
	ReasonFromEvent = "event"
	// ReasonFromDetails is the job's details.
	ReasonFromDetails = "details"
)

// State is the state of a job that has not ended.
type State string

// The states that a job-changed event can name.
const (
	StateQueued      State = "queued"
	StateWaiting     State = "waiting"
	StatePending     State = "pending"
	StateSuspended   State = "suspended"
	StateInterrupted State = "interrupted"
	StateRunning     State = "running"
)

// JobChanged is the data of a job-changed event: a job was seen twice in a row in a state
// in which it does not run, or runs again.
type JobChanged struct {
	Naming
	Message
	JobRef
	State State `json:"state"`
	// VendorStatus is the vendor's status, verbatim.
	VendorStatus string   `json:"vendorStatus"`
	Reasons      []Reason `json:"reasons,omitempty"`
	// Phase is the vendor's name of the phase that the job is in.
	Phase string `json:"phase,omitempty"`
	// Percent is how much of the job is done, nil if the vendor did not say.
	Percent   *int      `json:"percent,omitempty"`
	ChangedAt time.Time `json:"changedAt"`
	// Omitted is set when the event was larger than the broker takes: by member, how
	// many entries, or bytes of a text, were left out.
	Omitted map[string]int `json:"omitted,omitempty"`
}

// JobSizes is what a job moved. What the vendor did not say is nil.
type JobSizes struct {
	Files         *int64 `json:"files,omitempty"`
	FailedFiles   *int64 `json:"failedFiles,omitempty"`
	FailedFolders *int64 `json:"failedFolders,omitempty"`
	// Bytes is the size of the data at its source, MediaBytes on the backup media.
	Bytes      *int64 `json:"bytes,omitempty"`
	MediaBytes *int64 `json:"mediaBytes,omitempty"`
	// Empty is true if the job moved neither files nor bytes, nil if it is not known.
	Empty *bool `json:"empty,omitempty"`
}

// JobFinished is the data of a job-finished event: how a job ended.
type JobFinished struct {
	Naming
	Message
	JobRef
	Outcome Outcome `json:"outcome"`
	// VendorStatus is the vendor's status, verbatim.
	VendorStatus string `json:"vendorStatus"`
	// VendorBackupLevel is the level that the vendor ran, verbatim, such as "Full". It
	// may differ from the level that was requested.
	VendorBackupLevel string   `json:"vendorBackupLevel,omitempty"`
	Reasons           []Reason `json:"reasons,omitempty"`
	// By is who killed the job.
	By string `json:"by,omitempty"`
	JobSizes
	JobTimes
	// Omitted is set when the event was larger than the broker takes: by member, how
	// many entries, or bytes of a text, were left out.
	Omitted map[string]int `json:"omitted,omitempty"`
}

// JobTimes is when a job ran, by the vendor's clock, and when its end was seen, by ours.
type JobTimes struct {
	StartedAt time.Time `json:"startedAt,omitzero"`
	EndedAt   time.Time `json:"endedAt,omitzero"`
	// EndedFrom is [EndedFromUpdate] if the vendor named no end; else "".
	EndedFrom  string    `json:"endedFrom,omitempty"`
	ObservedAt time.Time `json:"observedAt"`
}

// EndedFromUpdate says that EndedAt is the time of the job's last update, because older
// releases of the vendor do not name the end.
const EndedFromUpdate = "update"

// JobUnfollowed is the data of a job-unfollowed event: no end of a job was seen for so
// long that it is no longer followed.
type JobUnfollowed struct {
	Naming
	Message
	JobRef
	// LastStatus is the last status that the vendor showed, verbatim; "" if it never
	// showed the job.
	LastStatus   string    `json:"lastStatus,omitempty"`
	Reason       string    `json:"reason"`
	UnfollowedAt time.Time `json:"unfollowedAt"`
	// Omitted is set when the event was larger than the broker takes: by member, how
	// many entries, or bytes of a text, were left out.
	Omitted map[string]int `json:"omitted,omitempty"`
}

func (*JobChanged) Kind() Kind    { return KindJobChanged }
func (*JobFinished) Kind() Kind   { return KindJobFinished }
func (*JobUnfollowed) Kind() Kind { return KindJobUnfollowed }

func (e *JobChanged) At() time.Time    { return e.ChangedAt }
func (e *JobFinished) At() time.Time   { return e.ObservedAt }
func (e *JobUnfollowed) At() time.Time { return e.UnfollowedAt }

func (e *JobChanged) capped(c capper) Event {
	copied := *e
	copied.Labels = c.labels(e.Labels)
	copied.Reasons = c.reasons(e.Reasons)
	copied.Omitted = c.omitted
	return &copied
}

func (e *JobFinished) capped(c capper) Event {
	copied := *e
	copied.Labels = c.labels(e.Labels)
	copied.Reasons = c.reasons(e.Reasons)
	copied.By = c.text("by", e.By)
	copied.Omitted = c.omitted
	return &copied
}

func (e *JobUnfollowed) capped(c capper) Event {
	copied := *e
	copied.Labels = c.labels(e.Labels)
	copied.Reason = c.text("reason", e.Reason)
	copied.Omitted = c.omitted
	return &copied
}
