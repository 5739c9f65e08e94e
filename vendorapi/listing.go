package vendorapi

import (
	"context"
	"errors"
	"sync"
	"time"
)

// listPatience is how long a listing keeps the next one waiting: a vendor that
// hangs must not hold up everybody for a whole timeout.
const listPatience = 5 * time.Second

// listPause is the least time between the beginnings of two lists. Those who come
// meanwhile share the next one.
const listPause = 200 * time.Millisecond

// listings has all callers that look for jobs at the same time share one list.
// Who comes while it is read waits for the next: a job that became visible in
// between would not be in it, and would be started again.
type listings struct {
	mu   sync.Mutex
	busy *listing // the last one that began, while it keeps the next one waiting
	next *listing // what callers join; nil when none waits
	// rested is when the next one may begin, woken that a timer does so.
	rested time.Time
	woken  bool
}

// listing is one reading of the job list.
type listing struct {
	shared[jobIndex]
	since time.Time // the earliest of its callers'; fixed once it has begun
	run   func()
}

// join is a listing that begins after the call, with read, and reaches back to
// since. It ends with the last of its callers, not with ctx, which only names the
// one that it is counted to.
func (l *listings) join(ctx context.Context, since time.Time, read func(context.Context, time.Time) (jobIndex, error)) *listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		l.next = l.prepare(ctx, since, read)
	}
	joined := l.next
	joined.callers++
	if since.Before(joined.since) {
		joined.since = since
	}
	if l.busy == nil {
		l.begin()
	}
	return joined
}

func (l *listings) prepare(ctx context.Context, since time.Time, read func(context.Context, time.Time) (jobIndex, error)) *listing {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	next := &listing{since: since}
	next.op, next.owner, next.done = opJobs, &l.mu, make(chan struct{})
	next.abandon = func() {
		cancel()
		if l.next == next {
			l.next = nil
		}
	}
	next.run = func() {
		defer cancel()
		patience := time.AfterFunc(listPatience, func() { l.pass(next) })
		defer patience.Stop()
		next.finish(read(ctx, next.since))
		l.pass(next)
	}
	return next
}

// begin starts the next listing, now or when the last one is long enough ago; mu
// is held.
func (l *listings) begin() {
	switch wait := time.Until(l.rested); {
	case wait <= 0:
		l.busy, l.next = l.next, nil
		l.rested = time.Now().Add(listPause)
		go l.busy.run()
	case !l.woken:
		l.woken = true
		time.AfterFunc(wait, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.woken = false; l.busy == nil && l.next != nil {
				l.begin()
			}
		})
	}
}

// pass makes way for the listing after one.
func (l *listings) pass(one *listing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy != one {
		return // it has been done already
	}
	if l.busy = nil; l.next != nil {
		l.begin()
	}
}

// listJobs is the list of jobs that are active or ended after since, as it is
// after the call. With an error it has those that were read before it.
func (c *Client) listJobs(ctx context.Context, since time.Time) (jobIndex, error) {
	if ctx.Err() != nil {
		return jobIndex{}, &Error{Op: opJobs, Err: context.Cause(ctx)}
	}
	l := c.listings.join(ctx, since, c.readJobs)
	jobs, err := l.wait(ctx)
	if errors.Is(err, errManyJobs) && l.since.Before(since) {
		// The list was too long for the sake of another caller.
		return c.readJobs(ctx, since)
	}
	return jobs, err
}
