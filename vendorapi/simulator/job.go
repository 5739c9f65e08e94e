package simulator

import "time"

// The first ids are those of the vendor's page.
const (
	firstTaskID = 4038
	firstJobID  = 5976
)

// job is a backup job. Nothing runs: its state at a given time is computed from its times
// and its course, which only actions and the end of a blackout window change.
type job struct {
	id, task int
	group    *group
	user     *user
	asked    order
	course   *course
	created  time.Time // jobStartTime
	visible  time.Time // when job requests begin to show it
	listed   time.Time // when lists begin to, if it is visible
	runs     time.Time // when its course begins; zero until a blackout window or an endless job ends
	queued   bool      // runs after the earlier jobs of its group
	blackout bool      // waits for the end of a blackout window
	from     *job      // the job that it was resubmitted from
	next     *job      // the job that runs when it has ended, by its life
	log      []event   // of actions
}

// order holds what a request asked of a job.
type order struct {
	level       *level
	description string
	plan        string
	inputFile   string
	adHoc       bool
}

// moment is the state of a job at a time.
type moment struct {
	Step
	ended  bool
	worked time.Duration // how long it ran
	ran    time.Duration // since its course began
}

// at returns the state of the job at a time.
func (j *job) at(now time.Time) moment {
	if j.runs.IsZero() || now.Before(j.runs) {
		return moment{Step: Step{Status: statusQueued, Reason: j.queueReason()}}
	}
	m := moment{ran: now.Sub(j.runs)}
	left := m.ran
	for _, step := range j.course.steps {
		if step.For < 0 || left < step.For {
			if step.runs() {
				m.worked += left
			}
			m.Step = step
			return m
		}
		left -= step.For
		if step.runs() {
			m.worked += step.For
		}
	}
	end := &j.course.end
	m.ended, m.ran = true, j.course.total
	m.Step = Step{Status: end.Status, Reason: end.Reason, Code: end.Code, Hidden: left < end.Later.HiddenFor}
	if end.Status == statusKilled {
		m.Reason, m.Code = "", "" // Recorded: only an event says why
	}
	return m
}

// queueReason returns why the job is queued. Assumed: the texts.
func (j *job) queueReason() string {
	if j.blackout {
		return defaultReasons[statusQueued].text
	}
	return "Another job is running for the subclient. The job is queued."
}

// end returns when the job ends by its current times, or the zero time if it does not.
func (j *job) end() time.Time {
	if j.runs.IsZero() || j.course.endless {
		return time.Time{}
	}
	return j.runs.Add(j.course.total)
}

// level returns the level that the vendor runs.
func (j *job) level() *level {
	if j.course.level != nil {
		return j.course.level
	}
	return j.asked.level
}

func (j *job) final(now time.Time) bool {
	end := j.end()
	return !end.IsZero() && !now.Before(end)
}

// progress returns percentComplete. It stays below 100 while the job is active.
func (j *job) progress(m moment) percent {
	if m.ended && m.Status != statusKilled {
		return 100
	}
	if j.course.work <= 0 {
		return 0
	}
	return min(99, percent(100*m.worked/j.course.work))
}

// shown reports whether job requests know the job at a time.
func (j *job) shown(now time.Time) bool {
	if now.Before(j.visible) || j.at(now).Hidden {
		return false
	}
	pruned := j.course.end.Later.PrunedAfter
	return pruned == 0 || !j.final(now) || now.Before(j.end().Add(pruned))
}

// aged reports whether the job is aged at a time.
func (j *job) aged(now time.Time) bool {
	aged := j.course.end.Later.AgedAfter
	return aged != 0 && j.final(now) && !now.Before(j.end().Add(aged))
}
