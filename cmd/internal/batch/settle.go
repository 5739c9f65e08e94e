package batch

import (
	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/schemas"
)

// event handles an event of the source, which may not belong to this batch.
func (r *run) event(event eventlog.Event) error {
	e := r.byKey[keyOf(event)]
	switch {
	case e == nil || r.Wait == WaitNothing:
		return nil
	case event.Kind.PerJob():
		return r.job(e, event)
	}
	return r.settle(e, e.resultOf(event), event)
}

// settle counts the outcome of a request once.
func (r *run) settle(e *entry, res result, event eventlog.Event) error {
	if res == open || e.settled {
		return nil
	}
	e.settled = true
	r.sum.Outcomes.None--
	switch res {
	case started:
		r.sum.Outcomes.Started++
	case rejected:
		r.sum.Outcomes.Rejected++
	case failed:
		r.sum.Outcomes.Failed[history.ResultOf(event.Data).Code]++
	}
	if err := r.rep.Request(*e.req, News{Outcome: &event}); err != nil || r.Wait != WaitFinished {
		return err
	}
	if res != started {
		r.end(e, history.Backup{})
		return nil
	}
	e.jobs = e.jobs.After(event.Data)
	early := e.early
	e.early = nil
	for _, event := range early {
		if err := r.job(e, event); err != nil {
			return err
		}
	}
	return nil
}

// job handles an event about a job of a request. One that comes before the request's
// outcome waits for it: the outcome may still be looked up.
func (r *run) job(e *entry, event eventlog.Event) error {
	job, ok := event.Data.(schemas.JobEvent)
	switch {
	case !ok || r.Wait != WaitFinished || e.ended || job.Requested().PayloadHash != e.hash:
		return nil
	case !e.settled:
		e.early = append(e.early, event)
		return nil
	}
	before := e.jobs.State(job.Job())
	e.jobs = e.jobs.After(job)
	if after := e.jobs.State(job.Job()); after == before || !after.Over() {
		return nil
	}
	if b := e.jobs.Backup(); !b.Open() {
		r.end(e, b)
	}
	return r.rep.Request(*e.req, News{End: &event})
}

// end counts the end of a request's jobs. The backup of a request without a job is the
// zero value.
func (r *run) end(e *entry, b history.Backup) {
	e.ended, e.jobs = true, nil
	r.sum.Ends.None--
	switch b.State {
	case history.JobFinished:
		r.sum.Ends.Finished[string(b.Outcome)]++
	case history.JobUnfollowed:
		r.sum.Ends.Unfollowed++
	}
}
