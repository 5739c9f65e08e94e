package protection

import (
	"math"
	"time"

	"backhaul/schemas"
)

// instant is a time in nanoseconds since 1970. 0 is no time.
type instant int64

const never instant = math.MaxInt64

func instantOf(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return instant(t.UnixNano())
}

// time returns the instant as a time in UTC, the zero time for 0.
func (i instant) time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(i)).UTC()
}

// record is what the fold keeps of one request. A million events are some hundred thousand of
// them, so it has no pointers and few bytes.
type record struct {
	// since and until are when the first and last change of its window were stored, as its labels
	// say it; 0 if they do not.
	since, until instant
	// requested is when the request was stored, first and claimed when its first and last claim
	// were.
	requested, first, claimed instant
	// decided is when job-started or job-failed was stored.
	decided instant
	// ended is when the last end of its jobs was stored, unfollowed when the first event was that a
	// job is no longer followed.
	ended, unfollowed instant
	// window, outcome and end are the sequences of the events that say so.
	window, outcome, end uint64
	// job is the lowest of the vendor's ids of its jobs, endJob that of the job whose end was
	// added first.
	job, endJob uint64
	// group is the index of the content group, or noGroup.
	group int32
	// jobs is how many jobs were started, ends how many have an end.
	jobs, ends uint16
	outcomes   Outcomes
	// code is the index of the error code of a job-failed event.
	code  uint16
	flags flags
}

const noGroup = -1

// flags are facts about a request.
type flags uint8

const (
	// failed: there will be no job.
	failed flags = 1 << iota
	// adopted: the job was found after a lost answer.
	adopted
	// directive: the job backs up the paths in a file.
	directive
	// listed: the file has all paths of the window.
	listed
	// moved: a job moved something, or it is not known whether it did.
	moved
)

// start returns a time before which the request's job cannot have started.
func (r *record) start() instant {
	switch {
	case r.flags&adopted != 0 && r.first != 0:
		return r.first
	case r.flags&adopted == 0 && r.claimed != 0:
		return r.claimed
	}
	return r.requested
}

// begin returns when the request's window begins, 0 without one. The streams of a cluster have
// leaders of their own, and their clocks differ: a window begins before its request in any case.
func (r *record) begin() instant {
	if r.since != 0 && r.requested != 0 {
		return min(r.since, r.requested)
	}
	return r.since
}

// last returns when the last change of the request's window was stored, for the same reason not
// after its request.
func (r *record) last() instant {
	if r.requested != 0 && (r.until == 0 || r.requested < r.until) {
		return r.requested
	}
	return max(r.until, r.since)
}

// hasEnded reports whether all jobs of the request have ended at a time.
func (r *record) hasEnded(at instant) bool {
	return r.ended != 0 && r.ended <= at && r.ends >= max(r.jobs, 1)
}

// runs reports whether a job of the request runs at a time, as far as it is known.
func (r *record) runs(at instant) bool {
	started := r.decided != 0 && r.decided <= at && r.flags&failed == 0
	return started && !r.hasEnded(at) && !r.lostTrack(at)
}

// lostTrack reports whether a job without an end is no longer followed at a time.
func (r *record) lostTrack(at instant) bool {
	return r.unfollowed != 0 && r.unfollowed <= at && !r.hasEnded(at)
}

// good reports whether all jobs ended with an accepted outcome.
func (r *record) good(accept Outcomes) bool { return r.ended != 0 && r.outcomes&^accept == 0 }

// empty reports whether the jobs moved nothing.
func (r *record) empty() bool { return r.ended != 0 && r.flags&moved == 0 }

// whole reports whether the job backs up the whole content group.
func (r *record) whole() bool { return r.flags&directive == 0 }

// Why is why a change is exposed.
type Why string

// The reasons why a change is exposed.
const (
	// WhyWaiting: its request has no job yet.
	WhyWaiting Why = "waiting"
	// WhyNotStarted: its request failed without a job.
	WhyNotStarted Why = "not-started"
	// WhyRunning: its job has not ended.
	WhyRunning Why = "running"
	// WhyUnfollowed: no end of its job was seen, and the job is no longer followed.
	WhyUnfollowed Why = "unfollowed"
	// WhyOutcome: its job ended with an outcome that is not accepted.
	WhyOutcome Why = "outcome"
	// WhyEmpty: its job moved nothing.
	WhyEmpty Why = "empty"
	// WhyNotListed: its job had a directive file of other paths.
	WhyNotListed Why = "not-listed"
)

// Whys lists every reason.
var Whys = []Why{WhyWaiting, WhyNotStarted, WhyRunning, WhyUnfollowed, WhyOutcome, WhyEmpty, WhyNotListed}

// Text returns the reason in words, "" for none.
func (w Why) Text() string {
	switch w {
	case WhyWaiting:
		return "the request has no job yet"
	case WhyNotStarted:
		return "the request failed without a job"
	case WhyRunning:
		return "the job has not ended"
	case WhyUnfollowed:
		return "no end of the job was seen"
	case WhyOutcome:
		return "the job ended with an outcome that is not accepted"
	case WhyEmpty:
		return "the job moved nothing"
	case WhyNotListed:
		return "the job had a directive file of other paths"
	}
	return ""
}

// why returns why the changes of the request's window, which are exposed, are exposed at a
// time.
func (r *record) why(at instant, accept Outcomes) Why {
	switch {
	case r.decided != 0 && r.decided <= at && r.flags&failed != 0:
		return WhyNotStarted
	case r.hasEnded(at) && !r.good(accept):
		return WhyOutcome
	case r.hasEnded(at) && r.empty():
		return WhyEmpty
	case r.hasEnded(at):
		return WhyNotListed
	case r.lostTrack(at):
		return WhyUnfollowed
	case r.runs(at):
		return WhyRunning
	}
	return WhyWaiting
}

// jobOutcome returns the worst outcome of the request's jobs.
func (r *record) jobOutcome() schemas.Outcome { return r.outcomes.worst() }
