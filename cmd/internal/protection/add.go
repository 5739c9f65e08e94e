package protection

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"backhaul/publisher"
	"backhaul/schemas"
)

// Kinds are the kinds of events that a [Fold] needs whole. Of job-submitting it needs the
// subject and headers only.
var Kinds = []schemas.Kind{schemas.KindJobStarted, schemas.KindJobFailed, schemas.KindJobFinished, schemas.KindJobUnfollowed}

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

// labels are the labels of the trigger that matter here. TestLabels compares them with
// package trigger.
type labels struct {
	Since     string `json:"trigger.since"`
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

// Add adds a message of the events stream. Messages of other kinds, foreign messages and data
// that cannot be read are ignored.
func (f *Fold) Add(m Message) {
	kind, key, job, err := publisher.Identify(m.Subject, m.Header)
	if err != nil {
		return
	}
	stored := instantOf(m.Stored)
	if kind == schemas.KindJobSubmitting {
		f.claim(key, stored)
		return
	}
	var d data
	switch kind {
	case schemas.KindJobStarted, schemas.KindJobFailed, schemas.KindJobFinished, schemas.KindJobUnfollowed:
		if json.Unmarshal(m.Data, &d, lenient) != nil {
			return
		}
	case schemas.KindJobSubmitting, schemas.KindJobChanged, schemas.KindRequestRejected:
		return
	default:
		return
	}
	i, r := f.request(key)
	r.describe(&d, m.Sequence)
	f.name(i, r, Group{d.ClientName, d.InstanceName, d.BackupsetName, d.SubclientName}, stored)
	switch kind {
	case schemas.KindJobStarted, schemas.KindJobFailed:
		f.decide(r, &d, m.Sequence, stored)
	case schemas.KindJobFinished:
		f.end(i, r, jobNumber(job), &d, m.Sequence, stored)
	default:
		r.unfollowed = earlier(r.unfollowed, stored)
	}
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

// describe takes over what every event says of its request.
func (r *record) describe(d *data, sequence uint64) {
	r.requested = earlier(r.requested, instantOf(d.RequestedAt))
	if d.OnDemandInputFile != "" {
		r.flags |= directive
	}
	if d.Labels.Directive == directiveListed {
		r.flags |= listed
	}
	since, err := time.Parse(time.RFC3339Nano, d.Labels.Since)
	if err != nil || r.flags&own != 0 {
		return
	}
	// Every change was stored before the request was.
	r.since, r.last = instantOf(since), r.requested
	if r.window == 0 || sequence < r.window {
		r.window = sequence
	}
}

// directiveListed is the value of the trigger's label for a file that lists all changes.
const directiveListed = "listed"

// decide adds the outcome of a request. The first in the stream counts.
func (f *Fold) decide(r *record, d *data, sequence uint64, stored instant) {
	if r.outcome != 0 && r.outcome <= sequence {
		return
	}
	r.outcome, r.decided = sequence, stored
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
func (f *Fold) end(i uint32, r *record, job uint64, d *data, sequence uint64, stored instant) {
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
	r.outcomes |= bit(d.Outcome)
	if d.Empty == nil || !*d.Empty {
		r.flags |= moved
	}
	if stored > r.ended || stored == r.ended && sequence > r.end {
		r.ended, r.end = stored, sequence
	}
}
