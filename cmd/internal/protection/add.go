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

// entry is what a message says.
type entry struct {
	kind     schemas.Kind
	key      publisher.Key
	job      uint64
	data     data
	sequence uint64
	stored   instant
}

// parse returns what a message says. ok is false for messages of other kinds, foreign messages and
// data that cannot be read.
func parse(m Message) (e entry, ok bool) {
	kind, key, job, err := publisher.Identify(m.Subject, m.Header)
	if err != nil {
		return entry{}, false
	}
	e = entry{kind: kind, key: key, job: jobNumber(job), sequence: m.Sequence, stored: instantOf(m.Stored)}
	switch kind {
	case schemas.KindJobSubmitting:
		return e, true
	case schemas.KindJobStarted, schemas.KindJobFailed, schemas.KindJobFinished, schemas.KindJobUnfollowed:
		return e, json.Unmarshal(m.Data, &e.data, lenient) == nil
	case schemas.KindJobChanged, schemas.KindRequestRejected:
	}
	return e, false
}

// Add adds a message of the events stream. Messages of other kinds, foreign messages and data
// that cannot be read are ignored.
func (f *Fold) Add(m Message) {
	if e, ok := parse(m); ok {
		f.add(&e)
	}
}

func (f *Fold) add(e *entry) {
	if e.kind == schemas.KindJobSubmitting {
		f.claim(e.key, e.stored)
		return
	}
	d := &e.data
	i, r := f.request(e.key)
	r.describe(d, e.sequence)
	f.name(i, r, Group{d.ClientName, d.InstanceName, d.BackupsetName, d.SubclientName}, e.stored)
	if !e.kind.PerJob() {
		f.decide(r, e)
		return
	}
	switch e.kind {
	case schemas.KindJobFinished:
		f.end(i, r, e)
	case schemas.KindJobUnfollowed:
		r.unfollowed = earlier(r.unfollowed, e.stored)
	case schemas.KindJobChanged: // the job goes on
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
	i, r := f.request(publisher.NewKey(source, req.RequestID))
	r.describe(&d, 0)
	f.name(i, r, Group{req.ClientName, req.InstanceName, req.BackupsetName, req.SubclientName}, instantOf(m.Stored))
}

// jobNumber returns the job id as a number, 0 if it is none.
func jobNumber(id string) uint64 {
	n, _ := strconv.ParseUint(id, 10, 64)
	return n
}

// claim adds a claim of a request.
func (f *Fold) claim(key publisher.Key, stored instant) {
	_, r := f.request(key)
	r.first, r.claimed = earlier(r.first, stored), max(r.claimed, stored)
	if r.group != noGroup {
		f.groups[r.group].settled = nil
	}
}

// describe takes over what every event says of its request. The first in the stream counts;
// sequence is 0 for the request itself.
func (r *record) describe(d *data, sequence uint64) {
	r.requested = earlier(r.requested, instantOf(d.RequestedAt))
	if d.OnDemandInputFile != "" {
		r.flags |= directive
	}
	if d.Labels.Directive == directiveListed {
		r.flags |= listed
	}
	since, err := time.Parse(time.RFC3339Nano, d.Labels.Since)
	if err != nil || r.since != 0 && (sequence == 0 || r.window != 0 && r.window <= sequence) {
		return
	}
	r.window, r.since, r.last = sequence, instantOf(since), r.requested // every change was stored before the request was
	if until, err := time.Parse(time.RFC3339Nano, d.Labels.Until); err == nil && !until.Before(since) {
		r.last = instantOf(until)
	}
}

// directiveListed is the value of the trigger's label for a file that lists all changes.
const directiveListed = "listed"

// decide adds the outcome of a request. The first in the stream counts.
func (f *Fold) decide(r *record, e *entry) {
	if r.outcome != 0 && r.outcome <= e.sequence {
		return
	}
	d := &e.data
	r.outcome, r.decided = e.sequence, e.stored
	r.flags &^= failed | adopted
	if d.JobID == "" {
		r.flags |= failed
		r.code = f.code(d.ErrorCode)
		return
	}
	if d.Adopted {
		r.flags |= adopted
	}
	r.jobs = uint16(min(len(d.JobIDs)+d.Omitted["jobIds"], maxJobs))
	r.job = lower(r.job, jobNumber(d.JobID))
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
func (f *Fold) end(i uint32, r *record, e *entry) {
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
	r.outcomes |= bit(e.data.Outcome)
	if empty := e.data.Empty; empty == nil || !*empty {
		r.flags |= moved
	}
	if e.stored > r.ended || e.stored == r.ended && e.sequence > r.end {
		r.ended, r.end = e.stored, e.sequence
	}
}
