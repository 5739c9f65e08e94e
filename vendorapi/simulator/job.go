package simulator

import (
	"sort"
	"time"
)

// The first ids are those of the vendor's page.
const (
	firstTaskID = 4038
	firstJobID  = 5976
)

// The status values that the simulator uses. Documented.
const (
	statusQueued        = "Queued"
	statusRunning       = "Running"
	statusCompleted     = "Completed"
	statusWithErrors    = "Completed w/ one or more errors"
	statusCommitted     = "Committed"
	statusFailed        = "Failed"
	statusFailedToStart = "Failed to Start"
	statusKilled        = "Killed"
)

// job is a backup job. Nothing runs: its status at a given time is computed from its
// times, which only a kill or the end of a blackout window changes.
type job struct {
	id, task int
	group    *group
	user     *user
	asked    order
	ending   string        // the status it ends with
	created  time.Time     // jobStartTime
	visible  time.Time     // when job requests begin to list it
	runs     time.Time     // when it begins to run; zero in a blackout window
	length   time.Duration // of the run
	killed   time.Time     // zero unless it was killed
	queued   bool          // runs after the earlier jobs of its group
}

// order holds what a request asked of a job.
type order struct {
	level       *level
	description string
	plan        string
	inputFile   string
	adHoc       bool
}

func (j *job) status(now time.Time) string {
	switch {
	case j.ending == statusFailedToStart:
		return statusFailedToStart
	case !j.killed.IsZero() && !now.Before(j.killed):
		return statusKilled
	case j.runs.IsZero() || now.Before(j.runs):
		return statusQueued
	case now.Before(j.runs.Add(j.length)):
		return statusRunning
	}
	return j.ending
}

// end returns when the job ends by its current times, or the zero time for a job that a
// blackout window delays.
func (j *job) end() time.Time {
	switch {
	case j.ending == statusFailedToStart:
		return j.created
	case !j.killed.IsZero():
		return j.killed
	case j.runs.IsZero():
		return time.Time{}
	}
	return j.runs.Add(j.length)
}

func (j *job) final(now time.Time) bool {
	switch j.status(now) {
	case statusQueued, statusRunning:
		return false
	}
	return true
}

// progress returns percentComplete. It stays below 100 while the job runs.
func (j *job) progress(now time.Time) percent {
	switch j.status(now) {
	case statusQueued:
		return 0
	case statusRunning:
		return min(99, percent(100*now.Sub(j.runs)/j.length))
	case statusKilled:
		if j.runs.IsZero() || j.killed.Before(j.runs) {
			return 0
		}
		return min(99, percent(100*j.killed.Sub(j.runs)/j.length))
	}
	return 100
}

// timeline is a list of jobs with increasing ids.
type timeline struct {
	jobs []*job
	// latest[i] is at or after the end of each of jobs[:i+1]. It tells a search for
	// recently ended jobs where to stop.
	latest []time.Time
}

func (t *timeline) add(j *job, end time.Time) {
	if n := len(t.latest); n > 0 && t.latest[n-1].After(end) {
		end = t.latest[n-1]
	}
	t.jobs, t.latest = append(t.jobs, j), append(t.latest, end)
}

// since returns the jobs that may have ended at or after a time, or that have not ended.
func (t *timeline) since(cutoff time.Time) []*job {
	first := sort.Search(len(t.latest), func(i int) bool { return !t.latest[i].Before(cutoff) })
	return t.jobs[first:]
}

// jobStore holds all jobs. The directory's clients and groups also hold their own.
type jobStore struct {
	length   time.Duration
	visible  time.Duration
	blackout bool
	tasks    int
	all      timeline
}

// start creates a job. A late job is created after that time and is not queued behind the
// jobs of its group.
func (s *jobStore) start(g *group, u *user, asked order, how launch, now time.Time) *job {
	j := &job{
		id: firstJobID + len(s.all.jobs), task: firstTaskID + s.tasks, group: g, user: u, asked: asked,
		ending: how.ending, length: s.length, created: now.Add(how.late),
	}
	j.visible = j.created.Add(s.visible)
	j.queued = how.queue && how.late == 0 && how.ending != statusFailedToStart
	if !s.blackout {
		j.runs = j.created
		if j.queued && g.last != nil {
			j.runs = later(j.runs, g.last.end()) // Documented: conflicting jobs are queued, by setting
		}
	}
	if how.late == 0 && how.ending != statusFailedToStart {
		g.last = j
	}
	end := j.end()
	if end.IsZero() {
		end = now.AddDate(100, 0, 0)
	}
	s.all.add(j, end)
	g.jobs.add(j, end)
	g.set.client.jobs.add(j, end)
	return j
}

// launch selects how a job starts and ends.
type launch struct {
	queue  bool          // wait for the group's earlier jobs
	late   time.Duration // delay before the job is created
	ending string        // the final status
}

// byID returns a job that is visible by now, or nil.
func (s *jobStore) byID(id int, now time.Time) *job {
	i := id - firstJobID
	if i < 0 || i >= len(s.all.jobs) || now.Before(s.all.jobs[i].visible) {
		return nil
	}
	return s.all.jobs[i]
}

// kill ends a job. Jobs that waited for it run earlier.
func (s *jobStore) kill(j *job, now time.Time) {
	j.killed = now
	s.reschedule(j.group, now)
}

// setBlackout opens or closes a blackout window. The jobs that it delayed run when it closes.
//
// Documented: jobs started in a blackout window are queued and resume automatically.
func (s *jobStore) setBlackout(on bool, now time.Time) {
	s.blackout = on
	if on {
		return
	}
	delayed := make(map[*group]bool)
	for _, j := range s.all.jobs {
		if j.runs.IsZero() && !delayed[j.group] {
			delayed[j.group] = true
			s.reschedule(j.group, now)
		}
	}
}

// reschedule computes again when the waiting jobs of a group run.
func (s *jobStore) reschedule(g *group, now time.Time) {
	var free time.Time
	for _, j := range g.jobs.since(now) {
		delayed := j.runs.IsZero()
		if j.final(now) || delayed && s.blackout {
			continue
		}
		if delayed || j.queued && j.runs.After(now) {
			j.runs = later(now, j.created)
			if j.queued {
				j.runs = later(j.runs, free)
			}
		}
		if j.queued {
			free = later(free, j.end())
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
