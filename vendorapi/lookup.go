package vendorapi

import (
	"context"
	"errors"
	"time"
)

const (
	// firstLookupWait is the wait after the first lookup during an attempt; each further one is
	// twice as long, up to longestLookupWait.
	firstLookupWait   = 500 * time.Millisecond
	longestLookupWait = 5 * time.Second
	// lookupConns is the number of connections for lookups only: attempts that hang must not
	// use up all of them. Lookups at the same time share a list of jobs.
	lookupConns = 4
)

// lookup searches for the job of an attempt while the attempt waits for its answer. It begins when
// the answer is late; before that it is only a timer.
type lookup struct {
	timer *time.Timer
	end   context.CancelFunc // ends the attempt and the lookup
	over  chan struct{}      // closed when a lookup that began has ended
	job   Job
}

// lookupAfter starts a lookup of the task's job after a delay. It ends with ctx. If it finds the
// job, it calls end, which ends the attempt.
func (r *Retrier) lookupAfter(ctx context.Context, end context.CancelFunc, after time.Duration, t Task) *lookup {
	l := &lookup{end: end, over: make(chan struct{})}
	began := time.Now()
	l.timer = time.AfterFunc(after, func() {
		defer close(l.over)
		l.job = r.lookUp(ctx, t, began)
		if l.job.ID != "" {
			end()
		}
	})
	return l
}

// stop ends the lookup and the attempt, and returns the job if it was found.
func (l *lookup) stop() Job {
	if l == nil || l.timer.Stop() {
		return Job{}
	}
	l.end()
	<-l.over
	return l.job
}

// lookUp repeats [Client.Find] until it finds the job or ctx ends. A search that fails or finds
// nothing does not end the attempt.
func (r *Retrier) lookUp(ctx context.Context, t Task, since time.Time) Job {
	for pause := firstLookupWait; ; pause = min(2*pause, longestLookupWait) {
		// A pause that the vendor asked for holds for lookups too.
		wait := max(pause, r.Client.throttled.Left())
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
