package state

import (
	"strings"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

// Status is what became of a request so far, in one word for people and URLs.
type Status string

// The states of a request.
const (
	Submitting Status = "submitting"      // a replica holds it
	InDoubt    Status = "in-doubt"        // a call may have started a job already
	Waiting    Status = "waiting"         // given back, to be tried again
	Started    Status = "started"         // the vendor has the job
	Failed     Status = "failed"          // there is no job
	Unknown    Status = "outcome-unknown" // there may be a job
	Rejected   Status = "rejected"        // it used the id of another request
)

// Statuses are all of them, in the order in which people care.
var Statuses = []Status{Submitting, InDoubt, Waiting, Started, Failed, Unknown, Rejected}

// Word is the status as people read it.
func (s Status) Word() string { return strings.ReplaceAll(string(s), "-", " ") }

// Open tells whether the request has no outcome yet.
func (s Status) Open() bool { return s == Submitting || s == InDoubt || s == Waiting }

// Request is what is known of one request.
type Request struct {
	Key publisher.Key
	Naming
	Status Status
	Result
	// Owner has, or had, the claim.
	Owner string
	// Requested is when JetStream stored the request, Changed when its last event.
	Requested, Changed time.Time
	// First and Last are the sequences of its events, as far as they were seen.
	First, Last uint64
}

// Naming says what the request is about.
type Naming struct {
	RequestID, Client, ContentGroup, Level string
}

// Result is what came of it.
type Result struct {
	JobID    string
	Attempts int
	// Adopted: the job was found after its answer had been lost.
	Adopted      bool
	ErrorCode    string
	ErrorLogCode string
	ErrorMessage string
}

// Took is how long the request has taken until its outcome, or until now.
func (r Request) Took(now time.Time) time.Duration {
	if !r.Status.Open() {
		now = r.Changed
	}
	return max(now.Sub(r.Requested), 0)
}

// maxText bounds each text that is held: names and messages come from others.
const maxText = 256

// cut is a text of its own that keeps no longer one alive.
func cut(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return strings.Clone(s)
}

// apply makes the request what it is after an event.
func (r *Request) apply(e eventlog.Event) {
	names := e.Data.Names()
	r.Naming = Naming{
		RequestID: cut(names.RequestID), Client: cut(names.ClientName),
		ContentGroup: cut(names.SubclientName), Level: cut(names.BackupLevel),
	}
	r.Requested, r.Changed, r.Last = e.Data.Requested().RequestedAt, e.Stored, e.Sequence
	switch data := e.Data.(type) {
	case *schemas.JobSubmitting:
		r.Owner = cut(data.Owner)
		r.Status, r.Result = StatusOf(data), Result{}
	case *schemas.JobStarted:
		r.Status = Started
		r.Result = Result{JobID: cut(data.JobID), Attempts: data.Attempts, Adopted: data.Adopted}
	case *schemas.JobFailed:
		r.Status = StatusOf(data)
		r.Result = Result{
			Attempts: data.Attempts, ErrorCode: cut(data.ErrorCode),
			ErrorLogCode: cut(data.ErrorLogCode), ErrorMessage: cut(data.ErrorMessage),
		}
	case *schemas.RequestRejected:
		r.Status, r.Result = Rejected, Result{ErrorMessage: cut(data.Reason)}
	}
}

// StatusOf is the status of a request whose last event this is.
func StatusOf(e schemas.Event) Status {
	switch e := e.(type) {
	case *schemas.JobSubmitting:
		switch {
		case e.LeaseMillis == 0:
			return Waiting
		case e.DoubtSequence != 0:
			return InDoubt
		}
		return Submitting
	case *schemas.JobFailed:
		if e.ErrorCode == schemas.CodeOutcomeUnknown {
			return Unknown
		}
		return Failed
	case *schemas.RequestRejected:
		return Rejected
	default:
		return Started
	}
}

// Filter says which requests to show. Empty members match all; texts are looked
// for anywhere, whatever their case.
type Filter struct {
	Status       Status
	Source       string
	Client       string
	ContentGroup string
	// Text is in the request id, the key, the job id or the error.
	Text string
}

// compile makes the filter ready to be used often.
func (f Filter) compile() Filter {
	f.Source, f.Client = strings.ToLower(f.Source), strings.ToLower(f.Client)
	f.ContentGroup, f.Text = strings.ToLower(f.ContentGroup), strings.ToLower(f.Text)
	return f
}

func (f Filter) matches(r *Request) bool {
	return (f.Status == "" || f.Status == r.Status) &&
		contains(r.Key.Source, f.Source) && contains(r.Client, f.Client) && contains(r.ContentGroup, f.ContentGroup) &&
		(f.Text == "" || contains(r.RequestID, f.Text) || contains(r.Key.Name, f.Text) || contains(r.JobID, f.Text) ||
			contains(r.ErrorCode, f.Text) || contains(r.ErrorLogCode, f.Text) || contains(r.ErrorMessage, f.Text))
}

func contains(s, lower string) bool {
	return lower == "" || strings.Contains(strings.ToLower(s), lower)
}

// Whole is the request that has this as its last event.
func Whole(e eventlog.Event) Request {
	r := Request{Key: e.Key, First: e.Sequence}
	r.apply(e)
	return r
}
