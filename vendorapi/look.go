package vendorapi

import (
	"context"
	"errors"
	"time"
)

const (
	// firstLook is the pause after the first look beside an attempt; each further
	// one is twice as long, up to lastLook.
	firstLook = 500 * time.Millisecond
	lastLook  = 5 * time.Second
	// lookConns are connections for looks only, or attempts that hang would leave
	// none for them. Looks at the same time share a list of jobs.
	lookConns = 4
)

// look is the search for the job of an attempt while its answer is awaited. It
// begins when the answer is late; before that it is only a timer.
type look struct {
	timer *time.Timer
	end   context.CancelFunc // of the attempt and of the look
	over  chan struct{}      // closed when a look that began has ended
	job   Job
}

// lookAfter begins to look for the task's job after a while, until ctx ends. A
// job that is found ends ctx.
func (r *Retrier) lookAfter(ctx context.Context, end context.CancelFunc, after time.Duration, t Task) *look {
	l := &look{end: end, over: make(chan struct{})}
	began := time.Now()
	l.timer = time.AfterFunc(after, func() {
		defer close(l.over)
		l.job = r.lookFor(ctx, t, began)
		if l.job.ID != "" {
			end()
		}
	})
	return l
}

// stop ends the look and the attempt, and returns the job if it was found.
func (l *look) stop() Job {
	if l == nil || l.timer.Stop() {
		return Job{}
	}
	l.end()
	<-l.over
	return l.job
}

// lookFor looks until the job is found or ctx ends. That a look fails or finds
// nothing changes nothing: the attempt goes on.
func (r *Retrier) lookFor(ctx context.Context, t Task, since time.Time) Job {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		// While the vendor wants to be left alone, this waits too.
		wait := max(pause, r.Client.quiet.left())
		if wait == pause {
			found, err := r.Find(ctx, t, since)
			if err == nil && found.Job.ID != "" {
				return found.Job
			}
			if e, ok := errors.AsType[*Error](err); ok {
				wait = max(wait, e.RetryAfter)
			}
		}
		if !sleep(ctx, ctx, wait) {
			return Job{}
		}
	}
}
