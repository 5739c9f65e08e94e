package follower

import (
	"context"
	"errors"
	"time"

	"backhaul/vendorapi"
)

const (
	// young is the age up to which a job's state is expected to change soon.
	young = 2 * time.Minute
	// hidden is the age up to which a job that was never seen is expected to be visible soon.
	hidden = 10 * time.Minute
	// unsupportedPause is the first wait before a vendor that cannot list jobs is asked again. It is
	// doubled up to unsupportedMost: a web server that starts answers 404 as well.
	unsupportedPause = time.Minute
	unsupportedMost  = time.Hour
)

// looks decides which list is read next, and has what is known of the lists.
type looks struct {
	results chan *look
	flying  bool
	// inARow is how many lists were begun since a single job was last read or had no need of it.
	inARow int
	// split is true while the active jobs do not fit into one page with the finished ones.
	split    bool
	finished extent
	active   extent
	listed   time.Time // the beginning of the last list that showed every job that ended
	good     time.Time // the end of the last list without an error
	proven   time.Time // the last list that was read because of a status that is unknown
	pauses   pauses
	// unsupported is how often in a row the vendor answered that it cannot list jobs.
	unsupported int
}

// extent is how large a list was.
type extent struct {
	began        time.Time
	pages, total int
}

// pauses are until when something is not read.
type pauses struct{ lists, ones time.Time }

// interval returns the time between two lists.
func (s *session) interval() time.Duration {
	return s.follower.pace.every(s.looks.finished.pages, s.looks.split)
}

// look begins the look that is due, if none is in progress. Without a followed job none is.
func (s *session) look(work context.Context, now time.Time) {
	if s.looks.flying || s.book.count == 0 || now.Before(s.looks.pauses.lists) || !s.arrivals.loaded(now) {
		return
	}
	l := s.nextLook(now)
	if l == nil {
		return
	}
	l.began = now
	s.looks.flying = true
	s.flights.running.Go(func() {
		l.read(work, s.follower)
		s.looks.results <- l // has a place for it
	})
}

// listsInARow is how many lists may be begun one after the other while a single job is to be read. A
// list that fails is due again at once, so single jobs would have no turn while lists fail.
const listsInARow = 2

func (s *session) nextLook(now time.Time) *look {
	k := &s.looks
	if k.inARow >= listsInARow {
		if l := s.nextSingle(now); l != nil {
			return l
		}
	}
	l := s.nextList(now)
	if l == nil {
		return s.nextSingle(now)
	}
	k.inARow++
	return l
}

// nextSingle returns the read of one job that is due, nil if none is.
func (s *session) nextSingle(now time.Time) *look {
	k := &s.looks
	if now.Before(k.pauses.ones) {
		return nil
	}
	k.inARow = 0
	if j := s.book.toRead(now, k.listed, s.follower.cfg.For); j != nil {
		return &look{one: j}
	}
	k.pauses.ones = now.Add(time.Second)
	return nil
}

func (s *session) nextList(now time.Time) *look {
	k := &s.looks
	switch strange := s.book.strange(); {
	case s.follower.pace.listDue(now, s.interval()):
		s.book.begin(now)
		k.finished.began = now
		back := min(now.Sub(s.book.covered)+margin, maxGap)
		if k.split {
			return &look{category: vendorapi.FinishedJobs, lookback: back}
		}
		return &look{category: vendorapi.AllJobs, lookback: back}
	case !strange.IsZero() && now.Sub(k.proven) >= s.follower.cfg.IntervalMax:
		k.proven = now
		return &look{category: vendorapi.FinishedJobs, lookback: now.Sub(strange) + margin, proof: true}
	case k.split && now.Sub(k.active.began) >= s.follower.pace.everyActive(k.active.pages, k.finished.pages):
		k.active.began = now
		return &look{category: vendorapi.ActiveJobs}
	}
	return nil
}

// looked takes over what a look has shown.
func (s *session) looked(work context.Context, l *look) {
	s.looks.flying = false
	now := time.Now()
	if l.one != nil {
		s.lookedAlone(work, l, now)
		return
	}
	changed := false
	for _, info := range l.jobs {
		all, c := s.book.read(info, l.category == vendorapi.FinishedJobs, l.began)
		changed = changed || c
		for _, n := range all {
			s.report(work, n)
		}
	}
	_, short := errors.AsType[*shortError](l.err)
	switch {
	case short:
		s.trouble(l.err)
	case l.err != nil:
		s.failed(l.err, now)
	default:
		s.looks.good = now
		s.vendorAnswers()
	}
	if l.proof {
		return
	}
	switch l.category {
	case vendorapi.AllJobs:
		s.looks.finished.pages = 1
		switch {
		case l.complete:
			s.covers(l)
			s.book.miss(l.began)
		case short:
			s.looks.listed = l.began
			s.book.miss(l.began)
		case l.err == nil:
			s.looks.split = true
			s.follower.pace.listAgain()
			return
		}
	case vendorapi.FinishedJobs:
		s.looks.finished.pages, s.looks.finished.total = max(l.pages, 1), l.total
		if l.complete {
			s.covers(l)
		} else if short {
			s.looks.listed = l.began
		}
	case vendorapi.ActiveJobs:
		s.looks.active.pages, s.looks.active.total = max(l.pages, 1), l.total
		if l.complete || short {
			s.book.miss(l.began)
			s.looks.split = s.looks.finished.total+l.total > fits
		}
	}
	if (l.err == nil || short) && l.category != vendorapi.ActiveJobs || changed {
		s.follower.pace.adapt(changed || s.expectant(now))
	}
}

// covers notes that a list has shown every job that ended before it began.
func (s *session) covers(l *look) {
	s.looks.listed = l.began
	s.book.covers()
}

// expectant reports whether a job's state is expected to change soon.
func (s *session) expectant(now time.Time) (yes bool) {
	s.book.each(func(j *job) {
		age := now.Sub(j.started)
		yes = yes || age < young || age < hidden && j.seen.at.IsZero()
	})
	return yes
}

// lookedAlone takes over the answer to a read of one job.
func (s *session) lookedAlone(work context.Context, l *look, now time.Time) {
	if l.err != nil {
		if none, ok := errors.AsType[*noBudgetError](l.err); ok {
			s.looks.pauses.ones = now.Add(none.wait)
			return
		}
		if !answered(l.err) {
			s.failed(l.err, now)
			return
		}
		// It is not an end, and the other jobs have their turn first.
		f := s.follower
		if l.one.absent.reads == 0 {
			f.log.Warn().Err(l.err).Str("jobId", l.one.id).Msg("a job cannot be read by itself; it is followed on")
		}
	}
	s.vendorAnswers()
	var info *vendorapi.JobInfo
	if len(l.jobs) > 0 {
		info = &l.jobs[0]
	}
	if n, ok := l.one.alone(info, now); ok {
		s.report(work, n)
	}
}

// failed notes a read that failed. The reads are held for a while then.
func (s *session) failed(err error, now time.Time) {
	f := s.follower
	if none, ok := errors.AsType[*noBudgetError](err); ok {
		s.looks.pauses.lists = now.Add(none.wait)
		f.pace.listAgain()
		return
	}
	_, s.looks.pauses.lists = f.pace.spent(now)
	f.pace.listAgain()
	if vendorapi.Unsupported(err) {
		wait := unsupportedWait(s.looks.unsupported)
		s.looks.unsupported++
		off := &offError{why: "the vendor cannot list jobs: " + err.Error() + "; asked again after " + wait.String()}
		f.vendorTrouble.Note(off)
		f.sayOff(off)
		s.looks.pauses.lists = now.Add(wait)
		return
	}
	s.trouble(err)
}

// unsupportedWait returns the wait after the vendor has answered so often before that it cannot list
// jobs.
func unsupportedWait(before int) time.Duration {
	return min(unsupportedPause<<min(before, 6), unsupportedMost)
}

// trouble notes and logs that looks do not show what they should.
func (s *session) trouble(err error) {
	f := s.follower
	f.vendorTrouble.Note(err)
	if f.vendorLog.Changed(err) {
		f.log.Warn().Err(err).Time("heldUntil", s.looks.pauses.lists).Msg("jobs cannot be looked up, trying again")
	}
}

// vendorAnswers notes that a read was answered.
func (s *session) vendorAnswers() {
	f := s.follower
	s.looks.unsupported = 0
	f.vendorTrouble.Note(nil)
	if f.off.CompareAndSwap(true, false) || f.vendorLog.Changed(nil) {
		f.log.Info().Msg("jobs are looked up again")
	}
}
