package schemas

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Kind is the kind of an event: the second token behind "backup.event" in its
// subject.
type Kind string

// The kinds of events about requests.
const (
	// KindJobSubmitting says that a replica is about to call the vendor. It is
	// also the claim that keeps every other replica from doing so.
	KindJobSubmitting Kind = "job-submitting"
	// KindJobStarted says that the vendor has a job. Terminal.
	KindJobStarted Kind = "job-started"
	// KindJobFailed says that no job will be started, or that it cannot be known
	// whether there is one (OUTCOME_UNKNOWN). Terminal.
	KindJobFailed Kind = "job-failed"
	// KindRequestRejected says that a request id was used again with other
	// content. It is about that message, not about the first request.
	KindRequestRejected Kind = "request-rejected"
	// KindJobChanged says that a started job does not run, and why, or that it runs
	// again. It is about one job of a request, see [Kind.PerJob].
	KindJobChanged Kind = "job-changed"
	// KindJobFinished says how a started job ended. It is about one job of a request.
	KindJobFinished Kind = "job-finished"
	// KindJobUnfollowed says that a job is no longer followed though no end was seen. It
	// is about one job of a request; a job-finished may still come.
	KindJobUnfollowed Kind = "job-unfollowed"
)

// kinds is the closed set of the kinds: what depends on the kind alone stands here,
// and everything that walks the kinds follows. CONTRIBUTING.md, A new event kind,
// leads to the other places.
var kinds = []struct {
	kind Kind
	// ceType is the CloudEvents type.
	ceType string
	// terminal and perJob are what [Kind.Terminal] and [Kind.PerJob] return.
	terminal, perJob bool
	// make returns an empty event of the kind.
	make func() Event
}{
	{KindJobSubmitting, "backhaul.job.submitting.v1", false, false, func() Event { return new(JobSubmitting) }},
	{KindJobStarted, "backhaul.job.started.v1", true, false, func() Event { return new(JobStarted) }},
	{KindJobFailed, "backhaul.job.failed.v1", true, false, func() Event { return new(JobFailed) }},
	{KindRequestRejected, "backhaul.request.rejected.v1", false, false, func() Event { return new(RequestRejected) }},
	{KindJobChanged, "backhaul.job.changed.v1", false, true, func() Event { return new(JobChanged) }},
	{KindJobFinished, "backhaul.job.finished.v1", false, true, func() Event { return new(JobFinished) }},
	{KindJobUnfollowed, "backhaul.job.unfollowed.v1", false, true, func() Event { return new(JobUnfollowed) }},
}

// Kinds lists every kind of event about requests.
var Kinds = func() (all []Kind) {
	for _, k := range kinds {
		all = append(all, k.kind)
	}
	return all
}()

// Type returns the kind's CloudEvents type, such as "backhaul.job.started.v1", "" for
// an unknown kind.
func (k Kind) Type() string {
	for _, known := range kinds {
		if known.kind == k {
			return known.ceType
		}
	}
	return ""
}

// Terminal reports whether an event of this kind is a request's outcome: no claim and
// no other outcome follows it under the same key.
func (k Kind) Terminal() bool {
	for _, known := range kinds {
		if known.kind == k {
			return known.terminal
		}
	}
	return false
}

// PerJob reports whether an event of this kind is about one job of a request: a
// [JobEvent]. Its subject has the job id as one more token, so that no filter of a
// request's claims and outcomes matches it.
func (k Kind) PerJob() bool {
	for _, known := range kinds {
		if known.kind == k {
			return known.perJob
		}
	}
	return false
}

// EventSource is the CloudEvents source of every event of ours. It is the same
// for all replicas, so that source and id together identify an event.
const EventSource = "/backhaul"

// eventTypePrefix begins the CloudEvents type of every event of ours.
const eventTypePrefix = "backhaul."

// Backhaul's own error codes; any other code of a job-failed event is the
// vendor's.
const (
	CodeInvalidRequest    = "INVALID_REQUEST"
	CodeNotAllowed        = "NOT_ALLOWED"
	CodeExpired           = "EXPIRED"
	CodeVendorUnavailable = "VENDOR_UNAVAILABLE"
	CodeAuthFailed        = "AUTH_FAILED"
	CodeOutcomeUnknown    = "OUTCOME_UNKNOWN"
	CodeCancelled         = "CANCELLED"
)

// Who decided that a request failed.
const (
	ErrorSourceVendor   = "vendor"
	ErrorSourceBackhaul = "backhaul"
)

// Event is the data of one event. Each kind has one implementation in this package, a
// struct that is written as it stands; readers get pointers from [DecodeEvent].
type Event interface {
	Kind() Kind
	// Names is what the event says about the request it is about.
	Names() Naming
	// Requested identifies the request message that the event is about.
	Requested() Message
	// At is when that which the event tells of happened.
	At() time.Time
	// capped returns a copy without what the capper leaves out.
	capped(c capper) Event
}

// Naming is the part that every event repeats of its request. All but RequestID
// and Source may be empty when the request could not be read.
type Naming struct {
	RequestID         string            `json:"requestId"`
	Source            string            `json:"source"`
	ClientName        string            `json:"clientName,omitempty"`
	InstanceName      string            `json:"instanceName,omitempty"`
	BackupsetName     string            `json:"backupsetName,omitempty"`
	SubclientName     string            `json:"subclientName,omitempty"`
	StoragePolicyName string            `json:"storagePolicyName,omitempty"`
	BackupLevel       string            `json:"backupLevel,omitempty"`
	OnDemandInputFile string            `json:"onDemandInputFile,omitempty"`
	Labels            map[string]string `json:"labels,omitempty"`
	// ReplayOf is the request, as <source>/<key>, whose dead letter an operator
	// replayed as this one.
	ReplayOf string `json:"replayOf,omitempty"`
}

// Names makes the embedding events report their naming part.
func (n Naming) Names() Naming { return n }

// Message identifies the request message that an event is about: the same
// message delivered twice has the same time, the same request published twice
// has the same hash.
type Message struct {
	// RequestedAt is when JetStream stored the request, to the nanosecond.
	RequestedAt time.Time `json:"requestedAt"`
	// PayloadHash is the SHA-256 of the normalised request, or of the payload
	// when it could not be decoded, in hex.
	PayloadHash string `json:"payloadHash"`
}

// Requested makes the embedding events report their message.
func (m Message) Requested() Message { return m }

// Claim is what a job-submitting event says in addition to the request: who holds it.
type Claim struct {
	// Owner names the process that holds the claim, for people.
	Owner string `json:"owner"`
	// Nonce identifies this one write, so that its writer recognises it when
	// the acknowledgement was lost.
	Nonce string `json:"nonce"`
	// Epoch counts the owners, starting with 1.
	Epoch int `json:"epoch"`
	// LeaseMillis is how long the claim holds, from the time at which JetStream
	// stored it. 0 means released: no replica holds the request any more.
	LeaseMillis int64 `json:"leaseMillis"`
	// DoubtSequence is set when a call to the vendor may have started a job
	// already: the sequence, in this stream, of the claim under which it was made.
	DoubtSequence uint64 `json:"doubtSequence,omitzero"`
	// DoubtTaskID is the task that the vendor made for that call without naming
	// a job of it.
	DoubtTaskID string `json:"doubtTaskId,omitempty"`
	// DoubtUnlikely is true when the vendor did answer that call, and said that it
	// was not available: one look settles the doubt.
	DoubtUnlikely bool `json:"doubtUnlikely,omitzero"`
	// LastError is why the owner has no outcome yet, "" if nothing went wrong since the claim
	// before. Only a renewal or a release has one.
	LastError string `json:"lastError,omitempty"`
	// NextAttemptAt is when a released request is tried again at the latest, by the owner's
	// clock, zero if that is not known.
	NextAttemptAt time.Time `json:"nextAttemptAt,omitzero"`
}

// LostClaim is the DoubtSequence of a doubt that refers to no event of the stream: the
// request is in doubt since it was stored.
const LostClaim = 1<<53 - 1

// JobSubmitting is the data of a job-submitting event.
type JobSubmitting struct {
	RequestID string `json:"requestId"`
	Source    string `json:"source"`
	// ReplayOf is that of [Naming].
	ReplayOf string `json:"replayOf,omitempty"`
	// Request is the whole normalised request.
	Request BackupRequest `json:"request"`
	Message
	Claim
	SubmittingAt time.Time `json:"submittingAt"`
	// Omitted is set when the event was larger than the broker takes: by member, how
	// many entries, or bytes of a text, were left out.
	Omitted map[string]int `json:"omitted,omitempty"`
}

// JobStarted is the data of a job-started event.
type JobStarted struct {
	Naming
	Message
	// JobID is the vendor's job id, a decimal number above 0.
	JobID string `json:"jobId"`
	// JobIDs is every job that the one request started, JobID first.
	JobIDs []string `json:"jobIds"`
	TaskID string   `json:"taskId,omitempty"`
	// Attempts counts the calls of CreateTask that were made by the owner that
	// announces the job; 0 for a job that was found.
	Attempts  int       `json:"attempts"`
	StartedAt time.Time `json:"startedAt"`
	// Adopted is true when the job was found at the vendor after its answer had
	// been lost.
	Adopted bool `json:"adopted"`
	// Omitted is set when the event was larger than the broker takes: by member, how
	// many entries, or bytes of a text, were left out.
	Omitted map[string]int `json:"omitted,omitempty"`
}

// JobFailed is the data of a job-failed event.
type JobFailed struct {
	Naming
	Message
	// ErrorCode is one of the Code constants or the vendor's code, verbatim.
	ErrorCode string `json:"errorCode"`
	// ErrorLogCode is a large vendor code as the vendor's own logs and articles
	// write it, such as "35:4618" for 587207178.
	ErrorLogCode string `json:"errorLogCode,omitempty"`
	// ErrorMessage is the vendor's message verbatim, or ours.
	ErrorMessage string `json:"errorMessage"`
	// ErrorSource is one of the ErrorSource constants.
	ErrorSource string `json:"errorSource"`
	// Retryable tells whether the same request under a new id may succeed
	// without a change to the request or at the vendor.
	Retryable bool      `json:"retryable"`
	Attempts  int       `json:"attempts"`
	FailedAt  time.Time `json:"failedAt"`
	// Candidates are the job ids that may belong to the request, for
	// OUTCOME_UNKNOWN only.
	Candidates []string `json:"candidates,omitempty"`
	// Omitted is set when the event was larger than the broker takes: by member, how
	// many entries, or bytes of a text, were left out.
	Omitted map[string]int `json:"omitted,omitempty"`
}

// RequestRejected is the data of a request-rejected event: its request id was
// used before with other content. The first request keeps its outcome.
type RequestRejected struct {
	Naming
	Message
	// First is the request that had the id before.
	First      Message   `json:"first"`
	Reason     string    `json:"reason"`
	RejectedAt time.Time `json:"rejectedAt"`
	// Omitted is set when the event was larger than the broker takes: by member, how
	// many entries, or bytes of a text, were left out.
	Omitted map[string]int `json:"omitted,omitempty"`
}

func (*JobSubmitting) Kind() Kind   { return KindJobSubmitting }
func (*JobStarted) Kind() Kind      { return KindJobStarted }
func (*JobFailed) Kind() Kind       { return KindJobFailed }
func (*RequestRejected) Kind() Kind { return KindRequestRejected }

// Names is the naming part of the request that is being submitted.
func (e *JobSubmitting) Names() Naming {
	n := e.Request.Naming(e.Source)
	n.RequestID, n.ReplayOf = e.RequestID, e.ReplayOf
	return n
}

func (e *JobSubmitting) capped(c capper) Event {
	copied := *e
	copied.Request.Labels = c.labels(e.Request.Labels)
	copied.LastError = c.text("lastError", e.LastError)
	copied.Omitted = c.omitted
	return &copied
}

func (e *JobStarted) capped(c capper) Event {
	copied := *e
	copied.Labels = c.labels(e.Labels)
	copied.JobIDs = c.list("jobIds", e.JobIDs)
	copied.Omitted = c.omitted
	return &copied
}

func (e *JobFailed) capped(c capper) Event {
	copied := *e
	copied.Labels = c.labels(e.Labels)
	copied.ErrorMessage = c.text("errorMessage", e.ErrorMessage)
	copied.Candidates = c.list("candidates", e.Candidates)
	copied.Omitted = c.omitted
	return &copied
}

func (e *RequestRejected) capped(c capper) Event {
	copied := *e
	copied.Labels = c.labels(e.Labels)
	copied.Reason = c.text("reason", e.Reason)
	copied.Omitted = c.omitted
	return &copied
}

// Cancelled reports whether an operator ended the request before anything was sent.
func (e *JobFailed) Cancelled() bool {
	return e.ErrorCode == CodeCancelled && e.ErrorSource == ErrorSourceBackhaul
}

func (e *JobSubmitting) At() time.Time   { return e.SubmittingAt }
func (e *JobStarted) At() time.Time      { return e.StartedAt }
func (e *JobFailed) At() time.Time       { return e.FailedAt }
func (e *RequestRejected) At() time.Time { return e.RejectedAt }

// EncodeEvent is the event's data as JSON.
func EncodeEvent(e Event) []byte { return appendEvent(make([]byte, 0, encodedSize), e) }

func appendEvent(data []byte, e Event) []byte {
	switch e := e.(type) {
	case *JobSubmitting:
		w := objectWriter{data}
		w.submitting(e)
		return w.data
	case *JobStarted:
		w := objectWriter{data}
		w.started(e)
		return w.data
	case *JobFailed, *RequestRejected, *JobChanged, *JobFinished, *JobUnfollowed: // rarer
	}
	return append(data, mustMarshal(e)...)
}

// DecodeEvent reads the data of an event of this kind. Unknown members are
// ignored. An unknown kind is an error.
func DecodeEvent(kind Kind, data []byte) (Event, error) {
	for _, known := range kinds {
		if known.kind != kind {
			continue
		}
		e := known.make()
		if err := json.Unmarshal(data, e, allowInvalidUTF8); err != nil {
			return nil, fmt.Errorf("decode %s event: %w", kind, err)
		}
		return e, nil
	}
	return nil, fmt.Errorf("event of unknown kind %q: must be one of %q", kind, Kinds)
}

// NewCloudEvent wraps the event's data with its attributes. id must be unique for
// each event of [EventSource].
func NewCloudEvent(id string, e Event, traceparent string) CloudEvent {
	return AppendCloudEvent(make([]byte, 0, encodedSize), id, e, traceparent)
}

// AppendCloudEvent is NewCloudEvent with the event's data in a buffer of the caller, which is empty.
func AppendCloudEvent(buffer []byte, id string, e Event, traceparent string) CloudEvent {
	names := e.Names()
	subject := ""
	if names.ClientName != "" && names.SubclientName != "" {
		subject = names.ClientName + "/" + names.SubclientName
	}
	return CloudEvent{
		ID: id, Source: EventSource, Type: e.Kind().Type(), Subject: subject,
		Time: e.At(), Traceparent: traceparent, Data: appendEvent(buffer, e),
	}
}
