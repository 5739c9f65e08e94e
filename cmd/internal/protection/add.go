package protection

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"backhaul/publisher"
	"backhaul/schemas"
)

// data is the part of an event's data that matters here.
type data struct {
	ClientName        string    `json:"clientName"`
	InstanceName      string    `json:"instanceName"`
	BackupsetName     string    `json:"backupsetName"`
	SubclientName     string    `json:"subclientName"`
	OnDemandInputFile string    `json:"onDemandInputFile"`
	Labels            labels    `json:"labels"`
	RequestedAt       time.Time `json:"requestedAt"`
	ofOutcome
	ofEnd
}

// The labels of the trigger that matter here. TestLabels compares them with package trigger.
const (
	labelSince     = "trigger.since"
	labelUntil     = "trigger.until"
	labelDirective = "trigger.directive"
)

// labels are these labels of a request.
type labels struct {
	Since     string `json:"trigger.since"`
	Until     string `json:"trigger.until"`
	Directive string `json:"trigger.directive"`
}

// ofOutcome is what job-started and job-failed have.
type ofOutcome struct {
	JobID     string         `json:"jobId"`
	JobIDs    []string       `json:"jobIds"`
	Adopted   bool           `json:"adopted"`
	ErrorCode string         `json:"errorCode"`
	Omitted   map[string]int `json:"omitted"`
}

// ofEnd is what job-finished has.
type ofEnd struct {
	Outcome schemas.Outcome `json:"outcome"`
	Empty   *bool           `json:"empty"`
}

// lenient are the options for reading data that only has to be readable.
var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// Entry is what a message says about the protection of a content group.
type Entry struct {
	kind     schemas.Kind
	request  id
	sequence uint64
	stored   instant
	facts
}

// facts are what an event other than a claim says.
type facts struct {
	group Group
	window
	requested instant
	// job is the job that the event is about, and of job-started the first of its jobs.
	job     uint64
	jobs    uint16
	code    string
	outcome Outcomes
	flags   flags
}

// window is when the first and last change of a request were stored, 0 if it is not known.
type window struct{ since, until instant }

// Parse returns what a message of the events stream says. ok is false for messages of other kinds,
// foreign messages and data that cannot be read.
func Parse(m Message) (e Entry, ok bool) {
	kind, key, job, err := publisher.Identify(m.Subject, m.Header)
	if err != nil {
		return Entry{}, false
	}
	e = Entry{kind: kind, request: idOf(key), sequence: m.Sequence, stored: instantOf(m.Stored)}
	switch kind {
	case schemas.KindJobSubmitting:
		return e, true
	case schemas.KindJobStarted, schemas.KindJobFailed, schemas.KindJobFinished, schemas.KindJobUnfollowed:
		var d data
		if json.Unmarshal(m.Data, &d, lenient) != nil {
			return Entry{}, false
		}
		e.facts = d.facts()
		if kind.PerJob() {
			e.job = jobNumber(job)
		}
		return e, true
	case schemas.KindJobChanged, schemas.KindRequestRejected:
	}
	return Entry{}, false
}

func (d *data) facts() facts {
	f := facts{
		group: Group{d.ClientName, d.InstanceName, d.BackupsetName, d.SubclientName}, window: d.Labels.window(), requested: instantOf(d.RequestedAt),
		job: jobNumber(d.JobID), jobs: uint16(min(len(d.JobIDs)+d.Omitted["jobIds"], maxJobs)), code: d.ErrorCode, outcome: bit(d.Outcome),
	}
	f.flags = flagIf(d.JobID == "", failed) | flagIf(d.Adopted, adopted) | flagIf(d.OnDemandInputFile != "", directive) |
		flagIf(d.Labels.Directive == directiveListed, listed) | flagIf(d.Empty == nil || !*d.Empty, moved)
	return f
}

func flagIf(condition bool, flag flags) flags {
	if condition {
		return flag
	}
	return 0
}

// window returns the times in the labels. A time that cannot be read is not known, and neither is
// an end before the beginning.
func (l *labels) window() (w window) {
	w.since = parseInstant(l.Since)
	if until := parseInstant(l.Until); w.since != 0 && until >= w.since {
		w.until = until
	}
	return w
}

// parseInstant returns the time that a text has, 0 if it has none that an instant can be.
func parseInstant(text string) instant {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 1970 || t.Year() > 2261 {
		return 0
	}
	return instantOf(t)
}

// Add adds a message of the events stream. Messages that [Parse] does not know are ignored.
func (f *Fold) Add(m Message) {
	if e, ok := Parse(m); ok {
		f.AddEntry(&e)
	}
}

// AddEntry adds what a message says.
func (f *Fold) AddEntry(e *Entry) {
	if e.kind == schemas.KindJobSubmitting {
		f.claim(e.request, e.stored)
		return
	}
	i, r := f.request(e.request)
	r.describe(&e.facts, e.sequence)
	f.name(i, r, e.group, e.stored)
	switch e.kind {
	case schemas.KindJobStarted, schemas.KindJobFailed:
		f.decide(r, e)
	case schemas.KindJobFinished:
		f.end(i, r, e)
	case schemas.KindJobUnfollowed:
		r.unfollowed = earlier(r.unfollowed, e.stored)
	case schemas.KindJobSubmitting, schemas.KindJobChanged, schemas.KindRequestRejected:
	}
}

// AddRequest adds a message of the requests stream: a request without an outcome. Its changes are
// exposed, and no event may name them yet. Requests of other publishers than the trigger, and
// messages that are none, are ignored.
func (f *Fold) AddRequest(m Message) {
	source, _, err := publisher.ParseRequestSubject(m.Subject)
	if err != nil {
		return
	}
	decoded, err := schemas.DecodeRequest(m.Header, m.Data)
	req := decoded.Request
	if err != nil || req.RequestID == "" || req.Labels[labelSince] == "" {
		return
	}
	d := data{OnDemandInputFile: req.OnDemandInputFile, RequestedAt: m.Stored}
	d.Labels = labels{Since: req.Labels[labelSince], Until: req.Labels[labelUntil], Directive: req.Labels[labelDirective]}
	facts := d.facts()
	i, r := f.request(idOf(publisher.NewKey(source, req.RequestID)))
	r.describe(&facts, 0)
	f.name(i, r, Group{req.ClientName, req.InstanceName, req.BackupsetName, req.SubclientName}, facts.requested)
}

// jobNumber returns the job id as a number, 0 if it is none.
func jobNumber(id string) uint64 {
	n, _ := strconv.ParseUint(id, 10, 64)
	return n
}

// claim adds a claim of a request.
func (f *Fold) claim(request id, stored instant) {
	_, r := f.request(request)
	r.first, r.claimed = earlier(r.first, stored), max(r.claimed, stored)
	if r.group != noGroup {
		f.groups[r.group].settled = nil
	}
}

// describe takes over what every event says of its request. The first in the stream counts;
// sequence is 0 for the request itself.
func (r *record) describe(e *facts, sequence uint64) {
	r.requested = earlier(r.requested, e.requested)
	r.flags |= e.flags & (directive | listed)
	if e.since == 0 || r.since != 0 && (sequence == 0 || r.window != 0 && r.window <= sequence) {
		return
	}
	r.window, r.since, r.until = sequence, e.since, e.until
}

// directiveListed is the value of the trigger's label for a file that lists all changes.
const directiveListed = "listed"

// decide adds the outcome of a request. The first in the stream counts.
func (f *Fold) decide(r *record, e *Entry) {
	if r.outcome != 0 && r.outcome <= e.sequence {
		return
	}
	r.outcome, r.decided = e.sequence, e.stored
	r.flags = r.flags&^(failed|adopted) | e.flags&(failed|adopted)
	if e.flags&failed != 0 {
		r.code = f.code(e.code)
		return
	}
	r.jobs = e.jobs
	r.job = lower(r.job, e.job)
}

// maxJobs bounds the jobs of a request.
const maxJobs = 1 << 15

// lower returns the lower of two job ids, of which either may be 0.
func lower(a, b uint64) uint64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// end adds the end of a job.
func (f *Fold) end(i uint32, r *record, e *Entry) {
	job := e.job
	switch {
	case r.ends == 0:
		r.endJob = job
	case r.endJob == job || f.further[jobOf{i, job}] || r.ends == maxJobs:
		return
	default:
		f.further[jobOf{i, job}] = true
	}
	r.ends++
	r.job = lower(r.job, job)
	r.outcomes |= e.outcome
	r.flags |= e.flags & moved
	if e.stored > r.ended || e.stored == r.ended && e.sequence > r.end {
		r.ended, r.end = e.stored, e.sequence
	}
}
