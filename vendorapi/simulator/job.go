package simulator

import (
	"sort"
	"time"
)

// The first ids, so that the first job is the one of the vendor's page.
const (
	firstTaskID = 4038
	firstJobID  = 5976
)

// The status values that the simulator uses, as the documentation lists them.
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

// job is a backup job. Nothing runs: what a job is at a given time is worked
// out from the times it has, which only a kill or the end of a blackout window
// changes.
type job struct {
	id, task int
	group    *group
	user     *user
	asked    order
	ending   string        // the status it ends with
	created  time.Time     // jobStartTime
	visible  time.Time     // when job requests begin to know it
	runs     time.Time     // when it begins to run; zero in a blackout window
	length   time.Duration // of the run
	killed   time.Time     // zero unless it was killed
	inTurn   bool          // it runs after the jobs before it in its group
}

// order is what the request asked of a job.
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

// end is when the job ends, as things are now. It is the zero time for a job
// that a blackout window holds.
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

// progress is percentComplete. It stays below 100 while the job runs.
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

// timeline is a list of jobs by rising id.
type timeline struct {
	jobs []*job
	// latest[i] is at or after the end of each of jobs[:i+1], so that a look
	// back for what ended lately knows where to stop.
	latest []time.Time
}

func (t *timeline) add(j *job, end time.Time) {
	if n := len(t.latest); n > 0 && t.latest[n-1].After(end) {
		end = t.latest[n-1]
	}
	t.jobs, t.latest = append(t.jobs, j), append(t.latest, end)
}

// since returns the jobs that may have ended at or after a time, or not at all.
func (t *timeline) since(cutoff time.Time) []*job {
	first := sort.Search(len(t.latest), func(i int) bool { return !t.latest[i].Before(cutoff) })
	return t.jobs[first:]
}

// jobStore holds all jobs. The directory's clients and groups hold theirs too.
type jobStore struct {
	length   time.Duration
	visible  time.Duration
	blackout bool
	tasks    int
	all      timeline
}

// start makes a job. A late one comes into being after that time and does not
// take its turn among its group's jobs.
func (s *jobStore) start(g *group, u *user, asked order, how launch, now time.Time) *job {
	j := &job{
		id: firstJobID + len(s.all.jobs), task: firstTaskID + s.tasks, group: g, user: u, asked: asked,
		ending: how.ending, length: s.length, created: now.Add(how.late),
	}
	j.visible = j.created.Add(s.visible)
	j.inTurn = how.queue && how.late == 0 && how.ending != statusFailedToStart
	if !s.blackout {
		j.runs = j.created
		if j.inTurn && g.last != nil {
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

// launch is how a job starts and ends.
type launch struct {
	queue  bool          // wait for the group's earlier jobs
	late   time.Duration // come into being so much later
	ending string        // the status at the end
}

// byID returns a job that is visible by now, or nil.
func (s *jobStore) byID(id int, now time.Time) *job {
	i := id - firstJobID
	if i < 0 || i >= len(s.all.jobs) || now.Before(s.all.jobs[i].visible) {
		return nil
	}
	return s.all.jobs[i]
}

// kill ends a job. Those that waited for it move up.
func (s *jobStore) kill(j *job, now time.Time) {
	j.killed = now
	s.reschedule(j.group, now)
}

// setBlackout opens or closes a blackout window. Jobs that it held run then.
//
// Documented: jobs started in a blackout window are queued and resume by themselves.
func (s *jobStore) setBlackout(on bool, now time.Time) {
	s.blackout = on
	if on {
		return
	}
	held := make(map[*group]bool)
	for _, j := range s.all.jobs {
		if j.runs.IsZero() && !held[j.group] {
			held[j.group] = true
			s.reschedule(j.group, now)
		}
	}
}

// reschedule works out anew when the waiting jobs of a group run.
func (s *jobStore) reschedule(g *group, now time.Time) {
	var free time.Time
	for _, j := range g.jobs.since(now) {
		held := j.runs.IsZero()
		if j.final(now) || held && s.blackout {
			continue
		}
		if held || j.inTurn && j.runs.After(now) {
			j.runs = later(now, j.created)
			if j.inTurn {
				j.runs = later(j.runs, free)
			}
		}
		if j.inTurn {
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
