package protection

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
)

// origin is the first instant of the tests' histories. A second is their smallest step.
var origin = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return origin.Add(time.Duration(seconds) * time.Second) }

// fact is one event, as the tests write it.
type fact struct {
	kind    schemas.Kind
	request string
	group   Group
	stored  int
	since   int // 0 without a window
	until   int // 0 if the request does not have it
	// requested is when the request was stored.
	requested int
	directive string // "", "file" or "listed"
	adopted   bool
	job       int
	jobs      []int
	outcome   schemas.Outcome
	empty     *bool
}

// message returns the fact as it is on the stream.
func (e *fact) message(sequence int) Message {
	names := schemas.Naming{
		RequestID: e.request, Source: "storage", ClientName: e.group.Client, InstanceName: e.group.Instance,
		BackupsetName: e.group.Backupset, SubclientName: e.group.Subclient, Labels: map[string]string{},
	}
	if e.since != 0 {
		names.Labels["trigger.since"] = at(e.since).Format(time.RFC3339Nano)
	}
	if e.until != 0 {
		names.Labels["trigger.until"] = at(e.until).Format(time.RFC3339Nano)
	}
	if e.directive != "" {
		names.OnDemandInputFile, names.Labels["trigger.directive"] = "/c/d.txt", e.directive
	}
	about := schemas.Message{RequestedAt: at(e.requested)}
	key := publisher.NewKey("storage", e.request)
	ref := schemas.JobRef{JobID: fmt.Sprint(e.job)}
	var event schemas.Event
	switch e.kind {
	case schemas.KindJobSubmitting:
		event = &schemas.JobSubmitting{RequestID: e.request, Source: "storage"}
	case schemas.KindJobStarted:
		ids := make([]string, len(e.jobs))
		for i, job := range e.jobs {
			ids[i] = fmt.Sprint(job)
		}
		event = &schemas.JobStarted{Naming: names, Message: about, JobID: ids[0], JobIDs: ids, Adopted: e.adopted}
	case schemas.KindJobFailed:
		event = &schemas.JobFailed{Naming: names, Message: about, ErrorCode: "EXPIRED"}
	case schemas.KindJobFinished:
		event = &schemas.JobFinished{Naming: names, Message: about, JobRef: ref, Outcome: e.outcome, JobSizes: schemas.JobSizes{Empty: e.empty}}
	case schemas.KindJobUnfollowed:
		event = &schemas.JobUnfollowed{Naming: names, Message: about, JobRef: ref}
	case schemas.KindJobChanged, schemas.KindRequestRejected:
	}
	subject := key.Subject(e.kind)
	if e.kind.PerJob() {
		subject = key.JobSubject(e.kind, ref.JobID)
	}
	m := Message{Subject: subject, Header: map[string][]string{"ce-id": {publisher.EventID(key, event)}}, Sequence: uint64(sequence), Stored: at(e.stored)}
	if e.kind != schemas.KindJobSubmitting {
		m.Data = schemas.EncodeEvent(event)
	}
	return m
}

// last returns when the last change of the window was stored.
func (e *fact) last() int {
	if e.until != 0 {
		return min(e.until, e.requested)
	}
	return e.requested
}

// reference answers what a Fold does, by the rules as they are written, one change after the
// other and without any state.
type reference struct {
	facts  []fact // in the order of the stream
	group  Group
	accept []schemas.Outcome
}

// of returns the facts of a kind about a request.
func (r *reference) of(request string, kind schemas.Kind) (all []fact) {
	for _, e := range r.facts {
		if e.request == request && e.kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// requests returns the requests of the group.
func (r *reference) requests() []string {
	all := make(map[string]bool)
	for _, e := range r.facts {
		if e.group == r.group && e.kind != schemas.KindJobSubmitting {
			all[e.request] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// any returns a fact that names the request.
func (r *reference) any(request string) fact {
	i := slices.IndexFunc(r.facts, func(e fact) bool { return e.request == request && e.kind != schemas.KindJobSubmitting })
	return r.facts[i]
}

// job is the end of all jobs of a request.
type refJob struct {
	request      string
	start, ended int
	sequence     int
	good, empty  bool
	whole        bool
	listed       bool
}

// jobs returns the requests whose jobs have all ended until a time, in the order of their ends.
func (r *reference) jobs(until int) (all []refJob) {
	for _, request := range r.requests() {
		ends, need := make(map[int]fact), 1
		started := r.of(request, schemas.KindJobStarted)
		if len(started) > 0 {
			need = len(started[0].jobs)
		}
		j := refJob{request: request, good: true, empty: true}
		for sequence, e := range r.facts {
			if e.request == request && e.kind == schemas.KindJobFinished {
				ends[e.job] = e
				j.ended, j.sequence = e.stored, sequence
				j.good = j.good && slices.Contains(r.accept, e.outcome)
				j.empty = j.empty && e.empty != nil && *e.empty
			}
		}
		if len(ends) < need || j.ended > until {
			continue
		}
		e := r.any(request)
		j.start, j.whole, j.listed = e.requested, e.directive == "", e.directive == "listed"
		if claims := r.of(request, schemas.KindJobSubmitting); len(claims) > 0 {
			j.start = claims[len(claims)-1].stored
			if len(started) > 0 && started[0].adopted {
				j.start = claims[0].stored
			}
		}
		all = append(all, j)
	}
	slices.SortFunc(all, func(a, b refJob) int { return cmp.Compare(a.sequence, b.sequence) })
	return all
}

// covers reports whether a job has a change of a request's window.
func (j *refJob) covers(request string, change int) bool {
	return j.whole && (j.request == request || change < j.start) || !j.whole && j.listed && j.request == request
}

// backups returns the jobs that cover something until a time, and the last one that is a finding.
func (r *reference) backups(until int) (good []refJob, finding string) {
	for _, j := range r.jobs(until) {
		if !j.good {
			continue
		}
		if j.empty {
			found := false
			for _, request := range r.requests() {
				e := r.any(request)
				for change := e.since; change != 0 && change <= e.last(); change++ {
					relevant := request == j.request || j.whole && change < j.start
					if relevant && !covered(good, request, change) {
						found = true
					}
				}
			}
			if found {
				finding = j.request
				continue
			}
		}
		good = append(good, j)
	}
	return good, finding
}

func covered(backups []refJob, request string, change int) bool {
	return slices.ContainsFunc(backups, func(j refJob) bool { return j.covers(request, change) })
}

// refState is what the reference knows at a time.
type refState struct {
	change, covered, good, exposed int
	never, finding                 bool
	running                        int
}

func (r *reference) state(until int) (s refState) {
	backups, finding := r.backups(until)
	s.never = len(backups) == 0
	for _, j := range backups {
		if j.whole {
			s.good = max(s.good, j.start)
		}
	}
	if jobs := r.jobs(until); len(jobs) > 0 {
		s.finding = jobs[len(jobs)-1].request == finding
	}
	for _, request := range r.requests() {
		e := r.any(request)
		if e.since != 0 && e.since <= until {
			s.change = max(s.change, min(e.last(), until))
			for change := e.since; change <= e.last(); change++ {
				if covered(backups, request, change) {
					if change == e.since || change == e.last() {
						s.covered = max(s.covered, change)
					}
				} else if s.exposed == 0 || change < s.exposed {
					s.exposed = change
				}
			}
		}
		s.running += r.running(request, until)
	}
	return s
}

// running returns 1 if a job of the request runs.
func (r *reference) running(request string, until int) int {
	started := r.of(request, schemas.KindJobStarted)
	if len(started) == 0 || started[0].stored > until {
		return 0
	}
	for _, e := range r.of(request, schemas.KindJobUnfollowed) {
		if e.stored <= until {
			return 0
		}
	}
	if slices.ContainsFunc(r.jobs(until), func(j refJob) bool { return j.request == request }) {
		return 0
	}
	return 1
}
