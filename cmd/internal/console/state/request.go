package state

import (
	"maps"
	"slices"
	"strings"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/publisher"
	"backhaul/schemas"
)

// Request is what is known of one request.
type Request struct {
	Key publisher.Key
	Naming
	// Standing is that of the last event.
	history.Standing
	// Status is that at the time of the view, for requests that a view has.
	Status history.Status
	history.Result
	// Jobs are its jobs, and Backup what became of them together.
	Jobs   history.Jobs
	Backup history.Backup
	// Owner has, or had, the claim.
	Owner string
	// LastError is why it has no outcome yet, nil without an error on record.
	LastError *history.LastError
	// Requested is when JetStream stored the request, Changed when its last event.
	Requested, Changed time.Time
	// First and Last are the sequences of its events, as far as they were seen.
	First, Last uint64
}

// Naming says what the request is about.
type Naming struct {
	RequestID, Client, ContentGroup, Level string
	// Labels are all of them as one text, in the order of their names.
	Labels string
}

// Took returns the time from the request to its outcome, or until now.
func (r Request) Took(now time.Time) time.Duration {
	if !r.Open() {
		now = r.Changed
	}
	return max(now.Sub(r.Requested), 0)
}

// labelsText returns labels as one text: name=value, separated by spaces.
func labelsText(labels map[string]string) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		texts = append(texts, name+"="+labels[name])
	}
	return strings.Join(texts, " ")
}

// maxText bounds each text that is held: names and messages come from others.
const maxText = 256

// cut returns a bounded copy of a text, which does not keep the original in memory.
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
		Labels: cut(labelsText(names.Labels)),
	}
	r.Requested, r.Last = e.Data.Requested().RequestedAt, e.Sequence
	r.applyJobs(e)
	if e.Kind.PerJob() && r.Result != (history.Result{}) {
		return // the request has its outcome, which does not change
	}
	r.Changed = e.Stored
	r.Standing, r.Result = history.After(e.Data, e.Stored), history.ResultOf(e.Data)
	for _, text := range []*string{&r.JobID, &r.TaskID, &r.Code, &r.LogCode, &r.Source, &r.Message} {
		*text = cut(*text)
	}
	if r.LastError = r.LastError.After(e.Data, e.Stored); r.LastError != nil {
		r.LastError.Text = cut(r.LastError.Text)
	}
	if claim, ok := e.Data.(*schemas.JobSubmitting); ok {
		r.Owner = cut(claim.Owner)
	}
}

// applyJobs does so for the request's jobs.
func (r *Request) applyJobs(e eventlog.Event) {
	r.Jobs = slices.Clone(r.Jobs.After(e.Data)) // views have the former one
	for i := range r.Jobs {
		j := &r.Jobs[i]
		for _, text := range []*string{&j.ID, &j.VendorStatus, &j.By, &j.Phase} {
			*text = cut(*text)
		}
		if job, ok := e.Data.(schemas.JobEvent); !ok || job.Job() != j.ID || len(j.Reasons) == 0 {
			continue
		}
		// All of the reasons as one text: they are shown, and searched.
		j.Reasons = []schemas.Reason{{Text: cut(j.ReasonsText())}}
	}
	r.Backup = r.Jobs.Backup()
}

// Filter says which requests to show. Empty members match all; texts are looked
// for anywhere, whatever their case.
type Filter struct {
	Status       history.Status
	Backup       Backup
	Source       string
	Client       string
	ContentGroup string
	Label        string
	// Text is in the request id, the key, a job id, the error or a job's reason.
	Text string
}

// Backup selects requests by what became of their jobs: one of these, or a
// [schemas.Outcome].
type Backup string

// What can be selected in addition to an outcome.
const (
	BackupOpen       Backup = "open"       // a job has no end yet
	BackupFinished   Backup = "finished"   // every job has ended
	BackupNotKept    Backup = "not-kept"   // a job ended without keeping all of its data
	BackupUnfollowed Backup = "unfollowed" // a job has no end and is no longer followed
)

// Backups lists all that can be selected.
var Backups = func() []Backup {
	all := []Backup{BackupOpen, BackupFinished, BackupNotKept, BackupUnfollowed}
	for _, outcome := range schemas.Outcomes {
		all = append(all, Backup(outcome))
	}
	return all
}()

// Word returns it as people read it.
func (b Backup) Word() string { return strings.ReplaceAll(string(b), "-", " ") }

// Matches reports whether a backup is selected.
func (b Backup) Matches(of history.Backup) bool {
	switch b {
	case "":
		return true
	case BackupOpen:
		return of.Open()
	case BackupFinished:
		return of.State == history.JobFinished
	case BackupNotKept:
		return of.Lost()
	case BackupUnfollowed:
		return of.State == history.JobUnfollowed
	}
	return string(b) == of.Name()
}

// compile makes the filter ready to be used often.
func (f Filter) compile() Filter {
	f.Source, f.Client = strings.ToLower(f.Source), strings.ToLower(f.Client)
	f.ContentGroup, f.Label, f.Text = strings.ToLower(f.ContentGroup), strings.ToLower(f.Label), strings.ToLower(f.Text)
	return f
}

func (f Filter) matches(r *Request, now time.Time) bool {
	return (f.Status == "" || f.Status == r.At(now)) && f.Backup.Matches(r.Backup) &&
		contains(r.Key.Source, f.Source) && contains(r.Client, f.Client) && contains(r.ContentGroup, f.ContentGroup) && contains(r.Labels, f.Label) &&
		(f.Text == "" || contains(r.RequestID, f.Text) || contains(r.Key.Name, f.Text) || contains(r.JobID, f.Text) ||
			contains(r.Code, f.Text) || contains(r.LogCode, f.Text) || contains(r.Message, f.Text) ||
			r.LastError != nil && contains(r.LastError.Text, f.Text) ||
			slices.ContainsFunc(r.Jobs, func(j history.Job) bool { return contains(j.ID, f.Text) || contains(j.ReasonsText(), f.Text) }))
}

func contains(s, lower string) bool {
	return lower == "" || strings.Contains(strings.ToLower(s), lower)
}

// RequestOf returns the request that has these events, in the order of the stream, with its
// status at a time. Without events it is the zero value.
func RequestOf(events []eventlog.Event, now time.Time) (r Request) {
	for _, e := range events {
		if r.First == 0 {
			r.Key, r.First = e.Key, e.Sequence
		}
		r.apply(e)
	}
	return r.seen(now)
}

// seen returns the request with its status at a time.
func (r Request) seen(now time.Time) Request {
	r.Status = r.At(now)
	return r
}
