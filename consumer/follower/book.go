package follower

import (
	"time"

	"backhaul/schemas"
	"backhaul/vendorapi"
)

// message is an event job-started that is not acknowledged yet. The event is read again when
// something is to be written: thousands of jobs may be followed, and few of them have news.
type message struct {
	sequence uint64
	reply    string    // to acknowledge its last delivery
	touched  time.Time // when the server last heard of it
	left     int       // jobs of it that are followed
}

// job is a job that is followed.
type job struct {
	id      string
	of      *message
	started time.Time // of its event job-started
	last    uint64    // sequence of the last event about the job, 0 without one
	busy    bool      // an event about it is being written
	after   *news     // its end, which was seen while busy

	seen   sight
	told   schemas.State   // of the last job-changed, "" without one
	reason *schemas.Reason // the last reason of the vendor why it did not go on
	absent absence
}

// sight is what was last seen of a job.
type sight struct {
	at     time.Time // when that look began; zero if it was never seen
	state  vendorapi.JobState
	looks  int    // how many looks running have shown this state
	status string // verbatim
	// strange is after when the job has ended by what the vendor says, although its status is
	// unknown; zero otherwise. It is a time by our clock: the vendor's may be hours away.
	strange time.Time
	// foreign is what another job backs up that the vendor shows under the id, "" for none. A vendor
	// that was installed again, or went back to a copy of its database, gives ids again.
	foreign string
}

// absence is how long the lists have not shown a job.
type absence struct {
	since time.Time // the beginning of the first complete look without it; zero if it was seen since
	next  time.Time // when the job is read by itself
	reads int
	read  time.Time // when it was last read by itself; zero if it was in a list since
}

// The waits between two reads of a job that no list has.
const (
	firstRead = 2 * time.Minute
	rareRead  = time.Hour
)

// news is what a look has shown about a job, and what follows from it.
type news struct {
	job     *job
	info    vendorapi.JobInfo
	outcome schemas.Outcome // of a job that has ended; "" otherwise
	state   schemas.State   // to be told in a job-changed; "" otherwise
}

// book has the jobs that are followed. It belongs to one goroutine.
type book struct {
	messages map[uint64]*message
	jobs     map[string][]*job // by id; several only if requests share a job
	count    int
	// covered is up to when the jobs that ended are known. It is the earliest time of all jobs,
	// and each list that lacks nothing moves it on.
	covered, next time.Time
}

func newBook() book {
	return book{messages: make(map[uint64]*message), jobs: make(map[string][]*job)}
}

// add begins to follow a job.
func (b *book) add(j *job) {
	b.jobs[j.id] = append(b.jobs[j.id], j)
	b.count++
	j.of.left++
	b.messages[j.of.sequence] = j.of
	for _, t := range []*time.Time{&b.covered, &b.next} {
		if t.IsZero() || j.started.Before(*t) {
			*t = j.started
		}
	}
}

// remove ends following a job. It reports whether it was the last one of its message.
func (b *book) remove(j *job) (last bool) {
	others := b.jobs[j.id][:0]
	for _, other := range b.jobs[j.id] {
		if other != j {
			others = append(others, other)
		}
	}
	if b.jobs[j.id] = others; len(others) == 0 {
		delete(b.jobs, j.id)
	}
	b.count--
	if b.count == 0 {
		b.covered, b.next = time.Time{}, time.Time{}
	}
	if j.of.left--; j.of.left > 0 {
		return false
	}
	delete(b.messages, j.of.sequence)
	return true
}

// oldest returns when the oldest job was started, zero without one.
func (b *book) oldest() (t time.Time) {
	for _, jobs := range b.jobs {
		for _, j := range jobs {
			if t.IsZero() || j.started.Before(t) {
				t = j.started
			}
		}
	}
	return t
}

// begin notes that a list of the finished jobs begins. Jobs that are added before its end may
// not be in it.
func (b *book) begin(now time.Time) { b.next = now }

// covers notes that the list which has begun last has shown every job that ended.
func (b *book) covers() { b.covered = b.next }

// read takes what a look that began at a time shows of a job. finished reports that the job was
// in the list of the finished ones. changed reports whether it differs from what was seen before.
func (b *book) read(info vendorapi.JobInfo, finished bool, at time.Time) (all []news, changed bool) {
	for _, j := range b.jobs[info.ID] {
		before := j.seen
		if n, ok := j.read(info, finished, at); ok {
			all = append(all, n)
		}
		changed = changed || j.seen.state != before.state || before.at.IsZero()
	}
	return all, changed
}

func (j *job) read(info vendorapi.JobInfo, finished bool, at time.Time) (news, bool) {
	n, before := news{job: j, info: info}, j.seen
	j.absent = absence{}
	if info.Reason.Text != "" {
		j.reason = &schemas.Reason{Code: info.Reason.Code, Text: info.Reason.Text, From: schemas.ReasonFromPending}
	}
	if j.seen.state == info.State && at.After(j.seen.at) {
		j.seen.looks++
	} else if j.seen.state != info.State {
		j.seen.looks = 1
	}
	j.seen.at, j.seen.state, j.seen.status = at, info.State, info.Status
	j.seen.strange = time.Time{}
	switch {
	case info.Outcome != "":
		n.outcome = info.Outcome
	case info.State == vendorapi.StateUnknown && !info.Ended.IsZero() && finished:
		n.outcome = schemas.OutcomeEnded
	case info.State == vendorapi.StateUnknown && !info.Ended.IsZero():
		switch j.seen.strange = before.strange; {
		case before.strange.IsZero() && before.at.IsZero():
			j.seen.strange = j.started
		case before.strange.IsZero():
			j.seen.strange = before.at
		}
	}
	if n.outcome != "" {
		return n, true
	}
	n.state = j.toTell()
	return n, n.state != ""
}

// toTell returns the state that a job-changed has to tell, "" without one: a state in which the
// job does not run, seen in two looks running, and once that it runs again.
func (j *job) toTell() schemas.State {
	state, known := states[j.seen.state]
	switch {
	case !known, state == j.told:
	case state != schemas.StateRunning && j.seen.looks >= 2, state == schemas.StateRunning && j.told != "":
		return state
	}
	return ""
}

// states are the vendor's states that a job-changed can tell.
var states = map[vendorapi.JobState]schemas.State{
	vendorapi.StateQueued:      schemas.StateQueued,
	vendorapi.StateWaiting:     schemas.StateWaiting,
	vendorapi.StatePending:     schemas.StatePending,
	vendorapi.StateSuspended:   schemas.StateSuspended,
	vendorapi.StateInterrupted: schemas.StateInterrupted,
	vendorapi.StateRunning:     schemas.StateRunning,
}

// miss notes the jobs that a complete look, which began at a time, has not shown.
func (b *book) miss(at time.Time) {
	b.each(func(j *job) {
		if j.seen.at.Before(at) && j.absent.since.IsZero() && j.started.Before(at) {
			j.absent.since = at
		}
	})
}

func (b *book) each(do func(*job)) {
	for _, jobs := range b.jobs {
		for _, j := range jobs {
			do(j)
		}
	}
}

// toRead returns the job that should be read by itself: one that was in none of the lists, the
// last of which began at a time, and whose turn is first. A job that was started just now is not
// visible yet, so it is not read.
func (b *book) toRead(now, listed time.Time, after time.Duration) (first *job) {
	b.each(func(j *job) {
		end := j.started.Add(after)
		last := !now.Before(end) && j.absent.read.Before(end) // before it is given up
		switch {
		case j.busy || j.absent.since.IsZero() || !j.absent.since.Before(listed):
		case now.Sub(j.started) < firstRead || now.Before(j.absent.next) && !last:
		case first == nil || j.absent.next.Before(first.absent.next) ||
			j.absent.next.Equal(first.absent.next) && j.started.Before(first.started):
			first = j
		}
	})
	return first
}

// alone takes the answer to a read of one job: nil if the vendor does not show it.
func (j *job) alone(info *vendorapi.JobInfo, now time.Time) (news, bool) {
	kept := j.absent
	kept.read = now
	kept.next = now.Add(min(firstRead<<min(kept.reads, 10), rareRead))
	kept.reads++
	var n news
	var ok bool
	if info != nil {
		n, ok = j.read(*info, false, now)
	}
	j.absent = kept
	return n, ok
}

// strange returns after when all jobs ended that have ended by an unknown status and were not found
// among the finished ones.
func (b *book) strange() (ended time.Time) {
	b.each(func(j *job) {
		if t := j.seen.strange; !t.IsZero() && (ended.IsZero() || t.Before(ended)) {
			ended = t
		}
	})
	return ended
}

// expired returns the jobs that were followed for longer than a time and were looked for after it:
// seen, or read by themselves. A look from before it does not show what became of a job.
func (b *book) expired(now time.Time, after time.Duration) (all []*job) {
	b.each(func(j *job) {
		age := now.Sub(j.started)
		end := j.started.Add(after)
		looked := !j.absent.read.Before(end) || j.absent.since.IsZero() && !j.seen.at.Before(end)
		if !j.busy && age >= after && (looked || age >= after+lookFor) {
			all = append(all, j)
		}
	})
	return all
}

// lookFor is how long a job that is too old may wait for a look at it before it is given up.
const lookFor = 24 * time.Hour
