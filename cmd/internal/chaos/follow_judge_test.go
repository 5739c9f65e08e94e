package chaos

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
)

// The kinds of findings about jobs that are followed, besides those of judgeEnds.
const (
	foundNoEnd       = "missing end"         // the vendor shows the end, and there is no event
	foundFalseEnd    = "false end"           // the event says something else than the vendor
	foundGivenUp     = "given up"            // unfollowed, although the vendor shows the end, or too early
	foundTwoFates    = "ended and given up"  // both events about one job
	foundForgotten   = "forgotten"           // neither ended nor given up, and not followed either
	foundFalseChange = "false change"        // the job was not in that state, or it was told twice
	foundAfterEnd    = "change after an end" // of the same job
	foundNoReason    = "no reason"           // for too many ends that are not completed
	foundWrongReason = "wrong reason"        // of another job
)

// reasonShare is the least share of ends that are not completed, and for which the vendor has
// a reason, that must have one.
const reasonShare = 0.95

// followEvidence is what is observable of jobs from outside.
type followEvidence struct {
	chaosEvidence
	Lives map[string]*vendorLife // by content group
	For   time.Duration          // how long jobs are followed
	// Late: the run was long enough for ends that lists do not show.
	Late bool
	// Unacknowledged is how many messages the durable consumer still has.
	Unacknowledged int
}

// followedJob is a job with its events.
type followedJob struct {
	id, request string
	life        *vendorLife
	// The job was created between these times. Both are zero if no call was seen.
	earliest, latest time.Time
	events           []storedEvent
}

// followed returns the jobs that were announced, by id.
func (e *followEvidence) followed() map[string]*followedJob {
	groups := make(map[string]string, len(e.Requests))
	for _, r := range e.Requests {
		groups[r.id] = r.group
	}
	calls := make(map[string][]startCall)
	for _, c := range e.Starts {
		calls[c.marker] = append(calls[c.marker], c)
	}
	jobs := make(map[string]*followedJob)
	for _, event := range e.Events {
		switch about := event.Event.(type) {
		case *schemas.JobStarted:
			j := &followedJob{id: about.JobID, request: event.Key, life: e.Lives[groups[event.Key]]}
			for _, c := range calls[publisher.NewKey(chaosSource, event.Key).Marker()] {
				j.earliest = earlier(j.earliest, c.came)
				if c.answered.After(j.latest) {
					j.latest = c.answered
				}
			}
			if j.life != nil {
				jobs[j.id] = j
			}
		case schemas.JobEvent:
			if j := jobs[about.Job()]; j != nil {
				j.events = append(j.events, event)
			}
		}
	}
	return jobs
}

// judgeFollowing finds the promises about followed jobs that were broken. It knows nothing but
// the evidence.
func judgeFollowing(e followEvidence) (findings []chaosFinding) {
	jobs := e.followed()
	open, bad, mute := 0, 0, []string{}
	for _, j := range sortedJobs(jobs) {
		findings = append(findings, j.judge(e.For, e.Late)...)
		end := j.end()
		if end == nil {
			open++
			continue
		}
		if finished, ok := end.Event.(*schemas.JobFinished); ok && finished.Outcome != schemas.OutcomeCompleted && j.life.hasReason() {
			if bad++; len(finished.Reasons) == 0 {
				mute = append(mute, fmt.Sprintf("%s of %s, %s", j.id, j.request, j.life.name))
			}
		}
	}
	if open > e.Unacknowledged {
		findings = append(findings, chaosFinding{Kind: foundForgotten, Text: fmt.Sprintf("%d jobs have neither ended nor were they given up, and %d messages are unacknowledged", open, e.Unacknowledged)})
	}
	if float64(len(mute)) > (1-reasonShare)*float64(bad) {
		findings = append(findings, chaosFinding{Kind: foundNoReason, Text: fmt.Sprintf("%d of %d ends:\n  %s", len(mute), bad, strings.Join(mute, "\n  "))})
	}
	return findings
}

// withoutLost leaves out findings about a request whose job was looked for, and whose life hides,
// prunes, ages or repeats a job within seconds: the vendor breaks its part of the promise then,
// because it has to show a job until the visibility window is over.
func (e *followEvidence) withoutLost(findings []chaosFinding) (kept []chaosFinding) {
	histories := e.histories()
	lives := make(map[string]*vendorLife)
	for _, r := range e.Requests {
		lives[r.id] = e.Lives[r.group]
	}
	for _, f := range findings {
		if l, h := lives[f.ID], histories[f.ID]; l == nil || !l.vanishes() || len(h.claims) < 2 && !h.adopted() {
			kept = append(kept, f)
		}
	}
	return kept
}

// adopted reports whether the job was found at the vendor.
func (s *chaosHistory) adopted() bool {
	return slices.ContainsFunc(s.terminals, func(e storedEvent) bool {
		started, ok := e.Event.(*schemas.JobStarted)
		return ok && started.Adopted
	})
}

func sortedJobs(jobs map[string]*followedJob) (all []*followedJob) {
	for _, j := range jobs {
		all = append(all, j)
	}
	slices.SortFunc(all, func(a, b *followedJob) int { return strings.Compare(a.id, b.id) })
	return all
}

// hasReason reports whether the vendor says why the job ended as it did.
func (l *vendorLife) hasReason() bool { return l.outcome != schemas.OutcomeEnded }

// end returns the event that ends following the job, or nil.
func (j *followedJob) end() *storedEvent {
	for i := range j.events {
		if j.events[i].Event.Kind() != schemas.KindJobChanged {
			return &j.events[i]
		}
	}
	return nil
}

func (j *followedJob) judge(followFor time.Duration, late bool) (findings []chaosFinding) {
	found := func(kind, format string, args ...any) {
		text := fmt.Sprintf("job %s (%s): ", j.id, j.life.name) + fmt.Sprintf(format, args...)
		findings = append(findings, chaosFinding{Kind: kind, ID: j.request, Text: text})
	}
	kinds := make(map[schemas.Kind]int)
	told, step := schemas.State(""), -1
	for _, event := range j.events {
		kinds[event.Event.Kind()]++
		switch e := event.Event.(type) {
		case *schemas.JobFinished:
			j.judgeFinished(e, event.Stored, found)
		case *schemas.JobUnfollowed:
			j.judgeUnfollowed(event.Stored, followFor, found)
		case *schemas.JobChanged:
			if end := j.end(); end != nil && end.Sequence < event.Sequence {
				found(foundAfterEnd, "%s at %d, after the %s at %d", e.State, event.Sequence, end.Event.Kind(), end.Sequence)
			}
			step = j.judgeChanged(e, told, step, found)
			told = e.State
		}
	}
	if kinds[schemas.KindJobFinished] > 0 && kinds[schemas.KindJobUnfollowed] > 0 {
		found(foundTwoFates, "%v", kinds)
	}
	if _, ends := j.life.ends(); ends && j.end() == nil && !j.life.gone() && (late || !j.life.late) {
		found(foundNoEnd, "%d events", len(j.events))
	}
	return findings
}

func (j *followedJob) judgeFinished(e *schemas.JobFinished, stored time.Time, found func(kind, format string, args ...any)) {
	after, ends := j.life.ends()
	if !ends {
		found(foundFalseEnd, "%s, %q, and it has not ended", e.Outcome, e.VendorStatus)
		return
	}
	if e.Outcome != j.life.outcome || e.VendorStatus != j.life.End.Status {
		found(foundFalseEnd, "%s, %q; it ended as %s, %q", e.Outcome, e.VendorStatus, j.life.outcome, j.life.End.Status)
	}
	if e.Empty != nil && *e.Empty != j.life.End.Empty {
		found(foundFalseEnd, "empty is %v", *e.Empty)
	}
	if e.By != "" && e.By != j.life.by {
		found(foundFalseEnd, "killed by %q, want %q", e.By, j.life.by)
	}
	if !j.earliest.IsZero() {
		// The vendor's times are whole seconds.
		first, last := j.earliest.Add(after), j.latest.Add(after)
		if stored.Before(first) {
			found(foundFalseEnd, "stored %s before it ended", first.Sub(stored))
		}
		if e.EndedAt.Before(first.Truncate(time.Second)) || e.EndedAt.After(last) {
			found(foundFalseEnd, "ended at %s, want %s to %s", e.EndedAt, first, last)
		}
	}
	j.judgeReasons(e.Reasons, found)
}

func (j *followedJob) judgeUnfollowed(stored time.Time, followFor time.Duration, found func(kind, format string, args ...any)) {
	if _, ends := j.life.ends(); ends && !j.life.gone() {
		found(foundGivenUp, "the vendor shows its end")
	}
	// An adopted job began at the vendor's time, which is in whole seconds.
	if age := stored.Sub(j.earliest); age < followFor-time.Second {
		found(foundGivenUp, "after %s, want %s", age, followFor)
	}
}

// judgeChanged judges a change after the state that was told before it, which the job entered
// with a step. It returns the step of this one.
func (j *followedJob) judgeChanged(e *schemas.JobChanged, told schemas.State, before int, found func(kind, format string, args ...any)) (step int) {
	j.judgeReasons(e.Reasons, found)
	switch {
	case e.State == told:
		found(foundFalseChange, "%s is told twice", e.State)
		return before
	case e.State == schemas.StateRunning && told == "":
		found(foundFalseChange, "running again, and no other state was told")
		return before
	}
	at, step, ok := j.life.enters(e.State, before)
	switch {
	case !ok:
		found(foundFalseChange, "%s after %q", e.State, told)
		return before
	case !j.earliest.IsZero() && e.ChangedAt.Before(j.earliest.Add(at)):
		found(foundFalseChange, "%s, %s too early", e.State, j.earliest.Add(at).Sub(e.ChangedAt))
	}
	return step
}

// reasonMark finds the life that a reason is of.
var reasonMark = regexp.MustCompile(`life=[a-z-]+`)

func (j *followedJob) judgeReasons(reasons []schemas.Reason, found func(kind, format string, args ...any)) {
	for _, r := range reasons {
		if mark := reasonMark.FindString(r.Text); mark != "" && mark != j.life.mark() {
			found(foundWrongReason, "%q", r.Text)
		}
	}
}
