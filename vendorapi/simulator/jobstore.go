package simulator

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// jobStore holds all jobs. The directory's clients and groups also index their own.
type jobStore struct {
	visible  time.Duration
	listed   time.Duration
	blackout bool
	tasks    int
	jobs     []*job // by id
	index    jobIndex
}

// jobIndex finds the active jobs and those that ended after a time without a walk over all.
type jobIndex struct {
	active []*job // by id; some may have ended since the last settle
	done   []*job // by their end
}

func (x *jobIndex) add(j *job) { x.active = append(x.active, j) }

// settle moves the jobs that have ended by now to the ended ones.
func (x *jobIndex) settle(now time.Time) {
	before := len(x.done)
	x.active = slices.DeleteFunc(x.active, func(j *job) bool {
		ended := j.final(now)
		if ended {
			x.done = append(x.done, j)
		}
		return ended
	})
	if len(x.done) == before {
		return
	}
	slices.SortStableFunc(x.done[before:], byEnd)
	if before > 0 && byEnd(x.done[before-1], x.done[before]) > 0 { // the clock went back, or calls overtook each other
		slices.SortStableFunc(x.done, byEnd)
	}
}

func byEnd(a, b *job) int { return a.end().Compare(b.end()) }
func byID(a, b *job) int  { return cmp.Compare(a.id, b.id) }

// since returns the ended jobs that ended at or after a time.
func (x *jobIndex) since(cutoff time.Time) []*job {
	first := sort.Search(len(x.done), func(i int) bool { return !x.done[i].end().Before(cutoff) })
	return x.done[first:]
}

// launch selects how a job starts and what becomes of it.
type launch struct {
	queue  bool          // wait for the group's earlier jobs
	late   time.Duration // delay before the job is created
	course *course
	from   *job // the job that is resubmitted
}

// start creates a job. A late job is created after that time and is not queued behind the
// jobs of its group.
func (s *jobStore) start(g *group, u *user, asked order, how launch, now time.Time) *job {
	j := &job{
		id: firstJobID + len(s.jobs), task: firstTaskID + s.tasks, group: g, user: u, asked: asked,
		course: how.course, created: now.Add(how.late), from: how.from,
	}
	j.visible, j.listed = j.created.Add(s.visible), j.created.Add(s.listed)
	inQueue := how.late == 0 && len(how.course.steps) > 0 // a job that fails to start waits for nothing
	j.queued = how.queue && inQueue
	switch {
	case len(how.course.steps) == 0:
		j.runs = j.created
	case s.blackout:
		j.blackout = true
	case j.queued && g.last != nil && !g.last.final(now):
		if end := g.last.end(); !end.IsZero() {
			j.runs = later(j.created, end) // Documented: conflicting jobs are queued, by setting
		}
	default:
		j.runs = j.created
	}
	if inQueue {
		g.last = j
	}
	s.jobs = append(s.jobs, j)
	s.index.add(j)
	g.index.add(j)
	g.set.client.index.add(j)
	return j
}

// follow creates the job that takes the place of another one when that has ended.
func (s *jobStore) follow(j *job, now time.Time) {
	again := *j.course
	again.end.Later = Later{}
	s.tasks++
	j.next = s.start(j.group, j.user, j.asked, launch{late: never, course: &again, from: j}, now)
	s.moveNext(j)
}

// never is later than any test.
const never = 100 * 365 * 24 * time.Hour

// moveNext makes the job that takes the place of another one start at its end, or never if
// the other one was killed or got another life.
func (s *jobStore) moveNext(j *job) {
	if j.next == nil {
		return
	}
	at := j.end()
	if at.IsZero() || !j.course.end.Later.Resubmitted {
		at = j.created.Add(never)
	}
	j.next.created, j.next.runs, j.next.visible, j.next.listed = at, at, at.Add(s.visible), at.Add(s.listed)
	s.moveNext(j.next)
}

// byID returns a job that job requests know by now, or nil.
func (s *jobStore) byID(id int, now time.Time) *job {
	i := id - firstJobID
	if i < 0 || i >= len(s.jobs) || !s.jobs[i].shown(now) {
		return nil
	}
	return s.jobs[i]
}

// change gives a job another course from now on. Jobs that waited for it run at another time.
func (s *jobStore) change(j *job, c *course, now time.Time) {
	if j.runs.IsZero() || j.runs.After(now) {
		j.runs, j.blackout = now, false
	}
	j.course = c
	s.reschedule(j.group, now)
	s.moveNext(j)
}

// done returns how long the course of a job has gone on.
func (j *job) done(now time.Time) time.Duration {
	if j.runs.IsZero() || j.runs.After(now) {
		return 0
	}
	return now.Sub(j.runs)
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
	for _, j := range s.index.active {
		if j.blackout && !delayed[j.group] {
			delayed[j.group] = true
			s.reschedule(j.group, now)
		}
	}
}

// reschedule computes again when the waiting jobs of a group run.
func (s *jobStore) reschedule(g *group, now time.Time) {
	g.index.settle(now)
	var free time.Time
	blocked := false // by a job of the queue without an end
	for _, j := range g.index.active {
		if j.blackout && s.blackout {
			continue
		}
		if j.runs.IsZero() || j.queued && j.runs.After(now) {
			j.blackout = false
			j.runs = later(now, j.created)
			if j.queued {
				j.runs = later(j.runs, free)
			}
			if j.queued && blocked {
				j.runs = time.Time{}
			}
		}
		if j.queued {
			free = later(free, j.end())
			blocked = blocked || j.end().IsZero()
		}
		s.moveNext(j)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
