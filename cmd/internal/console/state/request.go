package state

import (
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

// Took returns the time from the request to its outcome, or until now.
func (r Request) Took(now time.Time) time.Duration {
	if !r.Open() {
		now = r.Changed
	}
	return max(now.Sub(r.Requested), 0)
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
	}
	r.Requested, r.Changed, r.Last = e.Data.Requested().RequestedAt, e.Stored, e.Sequence
	r.Standing, r.Result = history.After(e.Data, e.Stored), history.ResultOf(e.Data)
	for _, text := range []*string{&r.JobID, &r.TaskID, &r.Code, &r.LogCode, &r.Source, &r.Message} {
		*text = cut(*text)
	}
	if claim, ok := e.Data.(*schemas.JobSubmitting); ok {
		r.Owner = cut(claim.Owner)
	}
}

// Filter says which requests to show. Empty members match all; texts are looked
// for anywhere, whatever their case.
type Filter struct {
	Status       history.Status
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

func (f Filter) matches(r *Request, now time.Time) bool {
	return (f.Status == "" || f.Status == r.At(now)) &&
		contains(r.Key.Source, f.Source) && contains(r.Client, f.Client) && contains(r.ContentGroup, f.ContentGroup) &&
		(f.Text == "" || contains(r.RequestID, f.Text) || contains(r.Key.Name, f.Text) || contains(r.JobID, f.Text) ||
			contains(r.Code, f.Text) || contains(r.LogCode, f.Text) || contains(r.Message, f.Text))
}

func contains(s, lower string) bool {
	return lower == "" || strings.Contains(strings.ToLower(s), lower)
}

// RequestOf returns the request that has this as its last event, with its status at
// a time.
func RequestOf(e eventlog.Event, now time.Time) Request {
	r := Request{Key: e.Key, First: e.Sequence}
	r.apply(e)
	return r.seen(now)
}

// seen returns the request with its status at a time.
func (r Request) seen(now time.Time) Request {
	r.Status = r.At(now)
	return r
}
