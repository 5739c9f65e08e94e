package protection

import (
	"slices"
	"strconv"
	"time"

	"backhaul/schemas"
)

// State is what is known of a content group at a time.
type State struct {
	Group
	Times
	// NeverBackedUp is true if no backup on record counts.
	NeverBackedUp bool `json:"neverBackedUp,omitempty"`
	// Why is why the oldest exposed change is exposed, "" if none is.
	Why Why `json:"why,omitempty"`
	// Exposed has the windows with exposed changes, the oldest first.
	Exposed []Window `json:"exposed,omitempty"`
	// Last is the job that ended last, nil if none did.
	Last *End `json:"last,omitempty"`
	// Empty is the last job that moved nothing although changes were exposed, if it is the last
	// that ended.
	Empty bool `json:"empty,omitempty"`
	// Running has the jobs that run, as far as it is known.
	Running []Job `json:"running,omitempty"`
	// GoodEnd is the sequence of the event that proves LastGoodStart.
	GoodEnd uint64 `json:"goodEnd,omitempty"`
}

// Times are the times of a [State]. A zero time says that there is none on record.
type Times struct {
	// FirstSeen is when the first event or change of the group was stored.
	FirstSeen time.Time `json:"firstSeen"`
	// LastChange is when the newest change was stored.
	LastChange time.Time `json:"lastChange,omitzero"`
	// LastCovered is when the newest change was stored that a finished backup has.
	LastCovered time.Time `json:"lastCovered,omitzero"`
	// LastGoodStart is when the newest good backup of the whole group started.
	LastGoodStart time.Time `json:"lastGoodStart,omitzero"`
	// ExposedSince is when the oldest change was stored that no finished backup has.
	ExposedSince time.Time `json:"exposedSince,omitzero"`
}

// Window is the window of one request.
type Window struct {
	Since time.Time `json:"since"`
	Last  time.Time `json:"last"`
	Why   Why       `json:"why"`
	// Event is the sequence of the event that has the window, Outcome that of the request's
	// outcome, and End that of the end of its job; 0 if there is none.
	Event   uint64 `json:"event"`
	Outcome uint64 `json:"outcome,omitempty"`
	End     uint64 `json:"end,omitempty"`
	// ErrorCode is the code of a request that failed without a job.
	ErrorCode string `json:"errorCode,omitempty"`
}

// Job is a job of a request. A request that started several has the lowest id.
type Job struct {
	ID      string    `json:"jobId"`
	Started time.Time `json:"started,omitzero"` // when job-started was stored
	Event   uint64    `json:"event,omitempty"`  // sequence of job-started
}

// End is the end of a request's job.
type End struct {
	Job
	Outcome schemas.Outcome `json:"outcome"`
	Ended   time.Time       `json:"ended"` // when job-finished was stored
	End     uint64          `json:"end"`   // sequence of job-finished
	// Moved is false if the job moved nothing.
	Moved bool `json:"moved"`
	// Paths is true if the job had a directive file: it backs up the paths of the file only.
	Paths bool `json:"paths,omitempty"`
}

// settled is a state that stays true until the next event about the group.
type settled struct {
	accept Outcomes
	// from is the last point: the state is that of any later time.
	from  instant
	state State
}

// State returns what is known of a group at a time, for the outcomes that the objective accepts.
// ok is false if nothing of the group was stored before that time. Windows that end later than the
// time are known with hindsight: their first change was stored before it.
func (f *Fold) State(name Group, o Objective, at time.Time) (state State, ok bool) {
	g := f.group(name)
	now := instantOf(at)
	if g == nil || g.first > now {
		return State{}, false
	}
	if g.settled != nil && g.settled.accept == o.accept() && g.settled.from <= now {
		return g.settled.state, true
	}
	s := sweep{accept: o.accept()}
	points := f.points(g)
	n := 0
	for n < len(points) && points[n].at <= now {
		s.step(points[n])
		n++
	}
	state = f.state(g, &s, now)
	if from := f.newest(g); from <= now {
		g.settled = &settled{accept: s.accept, from: from, state: state}
	}
	return state, true
}

// newest returns the time after which nothing on record happens in a group.
func (f *Fold) newest(g *group) (newest instant) {
	for _, i := range g.requests {
		r := f.records.at(i)
		newest = max(newest, r.since, r.last(), r.decided, r.ended, r.unfollowed)
	}
	return newest
}

// state returns the state of a group after a sweep up to a time.
func (f *Fold) state(g *group, s *sweep, now instant) State {
	st := State{Group: g.name, NeverBackedUp: !s.any, GoodEnd: s.goodEnd}
	st.FirstSeen, st.LastChange = g.first.time(), min(s.change, now).time()
	st.LastCovered, st.LastGoodStart = s.covered.time(), s.good.time()
	slices.SortStableFunc(s.windows, func(a, b exposed) int { return int(max(-1, min(1, a.since-b.since))) })
	for _, w := range s.windows {
		st.Exposed = append(st.Exposed, f.window(w, now, s.accept))
	}
	if len(st.Exposed) > 0 {
		st.ExposedSince, st.Why = st.Exposed[0].Since, st.Exposed[0].Why
	}
	if r := s.last; r != nil {
		st.Empty = r == s.empty
		st.Last = &End{Job: jobOfRecord(r), Outcome: r.jobOutcome(), Ended: r.ended.time(), End: r.end, Moved: !r.empty(), Paths: !r.whole()}
	}
	for _, i := range g.requests {
		if r := f.records.at(i); r.runs(now) {
			st.Running = append(st.Running, jobOfRecord(r))
		}
	}
	slices.SortFunc(st.Running, func(a, b Job) int { return a.Started.Compare(b.Started) })
	return st
}

func (f *Fold) window(w exposed, now instant, accept Outcomes) Window {
	r := w.record
	view := Window{Since: w.since.time(), Last: r.last().time(), Why: r.why(now, accept), Event: r.window}
	if r.decided != 0 && r.decided <= now {
		view.Outcome = r.outcome
		if r.flags&failed != 0 {
			view.ErrorCode = f.codes[r.code]
		}
	}
	if r.hasEnded(now) {
		view.End = r.end
	}
	return view
}

func jobOfRecord(r *record) Job {
	j := Job{ID: strconv.FormatUint(r.job, 10)}
	if r.flags&failed == 0 {
		j.Started, j.Event = r.decided.time(), r.outcome
	}
	return j
}

// Broken is a broken promise.
type Broken struct {
	Promise Promise `json:"promise"`
	// Since is from when on the promise is broken.
	Since time.Time `json:"since"`
}

// Due returns when each promise of an objective is broken if nothing happens any more: the times
// may lie in the future or the past. A promise that cannot be broken by waiting is left out.
func (s *State) Due(o Objective) (due []Broken) {
	if o.RPO > 0 && !s.ExposedSince.IsZero() {
		due = append(due, Broken{PromiseRPO, s.ExposedSince.Add(o.RPO)})
	}
	if o.MaxAge > 0 {
		base := s.LastGoodStart
		if base.IsZero() {
			base = s.FirstSeen
		}
		due = append(due, Broken{PromiseMaxAge, base.Add(o.MaxAge)})
	}
	return due
}

// Broken returns the promises that are broken at a time.
func (s *State) Broken(o Objective, at time.Time) []Broken {
	return slices.DeleteFunc(s.Due(o), func(b Broken) bool { return !at.After(b.Since) })
}
