package follower

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backhaul/vendorapi"
)

const (
	// pageSize is how many jobs one read of a list asks for.
	pageSize = 1000
	// fits is how many jobs a list of all may have before the active ones are read separately;
	// it is below the size of a page, so that the two ways do not alternate.
	fits = pageSize * 8 / 10
	// maxPages bounds one list. The jobs behind it are read by themselves.
	maxPages = 30
	// margin is added to how far back the finished jobs are listed: a job may be listed a little
	// after its end.
	margin = 5 * time.Minute
	// maxGap bounds how far back they are listed. The jobs that ended before are read by themselves.
	maxGap = 24 * time.Hour
	// readTimeout bounds one read.
	readTimeout = 30 * time.Second
)

// look is one reading of a list, or of one job.
type look struct {
	category vendorapi.JobCategory
	lookback time.Duration
	one      *job // read by itself, instead of a list
	proof    bool // of the end of jobs whose status is unknown

	began    time.Time
	jobs     []vendorapi.JobInfo
	total    int
	pages    int
	complete bool // every job of the list is in jobs
	err      error
}

// read reads the list or the job. It is called in a goroutine of its own.
func (l *look) read(ctx context.Context, f *Follower) {
	if l.one != nil {
		l.err = l.readOne(ctx, f)
		return
	}
	for offset := 0; ; {
		page, err := l.page(ctx, f, offset)
		if err != nil {
			l.err = err
			return
		}
		l.pages++
		l.jobs = append(l.jobs, page.Jobs...)
		l.total = page.Total
		rows := max(page.Rows, len(page.Jobs))
		again := l.repeats(page)
		offset += rows
		switch {
		case page.Total == offset, page.Total < offset && rows < pageSize: // or the total is not known
			l.complete = true
			return
		case rows == 0, again:
			l.err = &shortError{total: page.Total, shown: offset - rows}
			return
		case l.category == vendorapi.AllJobs && max(page.Total, offset) > pageSize*9/10:
			return // active and finished jobs are read separately from now on
		case l.pages == maxPages:
			l.complete = true // as far as lists go: the others are read by themselves
			return
		}
	}
}

// repeats reports whether a further page is the first one again, as from a vendor that does not page.
func (l *look) repeats(page vendorapi.JobPage) bool {
	n := len(page.Jobs)
	return l.pages > 1 && n > 1 && len(l.jobs) >= 2*n && l.jobs[0].ID == page.Jobs[0].ID && l.jobs[n-1].ID == page.Jobs[n-1].ID
}

func (l *look) page(ctx context.Context, f *Follower, offset int) (vendorapi.JobPage, error) {
	if wait := f.pace.takeList(time.Now()); wait > 0 {
		return vendorapi.JobPage{}, &noBudgetError{wait: wait}
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	q := vendorapi.JobQuery{Category: l.category, Limit: pageSize, Offset: offset}
	if l.category != vendorapi.ActiveJobs {
		// Each page reaches further back than the one before, so that a job that ages out between
		// two pages does not move others to a page that was already read.
		q.Lookback = l.lookback + time.Since(l.began) + time.Duration(l.pages)*time.Second
	}
	page, err := f.vendor.ListJobs(ctx, q)
	f.asked(ctx, "list", err)
	return page, err
}

func (l *look) readOne(ctx context.Context, f *Follower) error {
	if wait := f.pace.takeOther(time.Now()); wait > 0 {
		return &noBudgetError{wait: wait}
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	info, err := f.vendor.Job(ctx, l.one.id)
	_, unseen := errors.AsType[*vendorapi.UnseenJobError](err)
	if unseen {
		err = nil
	}
	f.asked(ctx, "job", err)
	if err == nil && !unseen {
		l.jobs = append(l.jobs, info)
	}
	return err
}

// shortError means that the vendor counts more jobs than it shows: the list was cut, or the rest is
// never shown. The jobs that it lacks are read by themselves.
type shortError struct{ total, shown int }

func (e *shortError) Error() string {
	return fmt.Sprintf("the vendor's list of %d jobs ends after %d", e.total, e.shown)
}

// noBudgetError means that the read was not made: the budget is spent, or reads are held.
type noBudgetError struct{ wait time.Duration }

func (e *noBudgetError) Error() string {
	return fmt.Sprintf("no read is left in the budget for %s", e.wait.Round(time.Second))
}
