package vendorapi

import (
	"context"
	"errors"
	"sync"
	"time"
)

// listPatience is how long one listing delays the next: while the vendor hangs, callers must not
// wait for a whole timeout.
const listPatience = 5 * time.Second

// listPause is the least time between the starts of two listings. Callers in between share the next
// one.
const listPause = 200 * time.Millisecond

// listings lets all callers that search for jobs at the same time share one list. A caller that
// arrives during a listing waits for the next one: a job that became visible in between would be
// missing, and would be started again. That is why golang.org/x/sync/singleflight does not do.
type listings struct {
	mu   sync.Mutex
	busy *listing // the last one that began, while it delays the next one
	next *listing // the one that callers join; nil without a waiting caller
	// rested is when the next listing may begin; woken is true while a timer for that runs.
	rested time.Time
	woken  bool
}

// listing is one reading of the job list.
type listing struct {
	shared[jobIndex]
	since time.Time // the earliest of its callers'; fixed once it has begun
	run   func()
}

// join returns a listing that begins after the call, calls read, and reaches back to since. It ends
// with the last of its callers. Only the values of ctx are used, such as its trace.
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
	next.op, next.owner, next.done = opJobList, &l.mu, make(chan struct{})
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

// begin starts the next listing, now or listPause after the start of the last one; mu is held.
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

// pass lets the listing after one begin.
func (l *listings) pass(one *listing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy != one {
		return // pass was called already
	}
	if l.busy = nil; l.next != nil {
		l.begin()
	}
}

// listJobs returns the list of jobs that are active or ended after since, read after the call. With
// an error it has the jobs that were read before it.
func (c *Client) listJobs(ctx context.Context, since time.Time) (jobIndex, error) {
	if ctx.Err() != nil {
		return jobIndex{}, &Error{Op: opJobList, Err: context.Cause(ctx)}
	}
	l := c.listings.join(ctx, since, c.readJobs)
	jobs, err := l.wait(ctx)
	if errors.Is(err, errManyJobs) && l.since.Before(since) {
		// The list was too long because another caller reached further back.
		return c.readJobs(ctx, since)
	}
	return jobs, err
}
