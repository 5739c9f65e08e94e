package canary

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"backhaul/cmd/internal/doctor"
	"backhaul/consumer"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

const (
	// maxInterval is the longest wait between two calls about the job, postInterval the shortest
	// where a list costs a writing call.
	maxInterval  = 15 * time.Second
	postInterval = 30 * time.Second
	// maxReads is how often the description of a listed job is read before it counts as not shown.
	maxReads = 5
	// maxPages bounds one list.
	maxPages = 50
	// patience is for how many visibility windows a job is searched whose answer was lost, or that
	// has ended and is not listed.
	patience = 5
)

// watch is the observation of one job.
type watch struct {
	*Canary
	id     string
	began  time.Time
	byPost bool
	seen   seen
	info   vendorapi.JobInfo
	path   []string // the statuses, each with its time and reason
	// throttled is the pause that the vendor asked for last; it precedes the next calls.
	throttled time.Duration
	known     bool // GET Job/{id} has shown it
}

// seen is when what was shown of the job, from the start; 0 if it was not.
type seen struct {
	listed, marked time.Duration
	reads          int
	// other is the description that the vendor shows instead of the marker.
	other string
}

// since returns the time since the start, for people.
func (w *watch) since() time.Duration { return time.Since(w.began).Round(time.Millisecond) }

// search looks for a job whose answer was lost.
func (w *watch) search(ctx context.Context) (job vendorapi.Job) {
	ctx, cancel := context.WithTimeout(ctx, min(w.Timeout, patience*w.Window))
	defer cancel()
	w.poll(ctx, w.least(), func() bool {
		found, err := w.Vendor.Find(ctx, w.Task, w.began)
		if err != nil && ctx.Err() == nil {
			w.Say(err.Error())
		}
		w.heed(err)
		job = found.Job
		return job.ID != ""
	})
	return job
}

// run observes the job until nothing more is to be learned.
func (w *watch) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	var ended time.Time
	w.poll(ctx, w.interval(), func() bool {
		w.look(ctx)
		if w.info.State != vendorapi.StateFinished {
			return false
		}
		if ended.IsZero() {
			ended = time.Now()
		}
		known := w.seen.listed > 0 && (w.seen.marked > 0 || w.seen.other != "" || w.seen.reads >= maxReads)
		return known || time.Since(ended) > patience*w.Window
	})
}

func (w *watch) interval() time.Duration { return cmp.Or(w.Interval, time.Second) }

// least is the least time between two lists.
func (w *watch) least() time.Duration {
	if w.byPost {
		return postInterval
	}
	return w.interval()
}

// poll calls a function until it returns true or ctx ends, more and more rarely.
func (w *watch) poll(ctx context.Context, wait time.Duration, done func() bool) {
	for !done() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(wait, w.throttled)):
		}
		w.throttled = 0
		wait = max(wait, min(maxInterval, wait*11/10))
	}
}

// look asks for the job once.
func (w *watch) look(ctx context.Context) {
	info, err := w.Vendor.Job(ctx, w.id)
	w.heed(err)
	w.known = w.known || err == nil
	if w.seen.listed == 0 || err != nil {
		if listed, ok := w.list(ctx); ok {
			if w.seen.listed == 0 {
				w.seen.listed = time.Since(w.began)
				w.Say(fmt.Sprintf("listed after %s", w.since()))
			}
			if err != nil && listed.ID != "" {
				info, err = listed, nil
			}
		}
	}
	if w.seen.marked == 0 && w.seen.reads < maxReads {
		w.readMarker(ctx)
	}
	if err != nil { // not shown yet, or a failure that may pass
		w.record(w.info)
		return
	}
	w.record(info)
	if info.Status != w.info.Status || info.Reason != w.info.Reason {
		status := fmt.Sprintf("%s after %s", info.Status, w.since())
		if why := strings.TrimSpace(info.Reason.Code + " " + info.Reason.Text); why != "" {
			status += " (" + why + ")"
		}
		w.path = append(w.path, status)
		w.Say(status)
	}
	w.info = info
}

// heed keeps the pause that an error asks for.
func (w *watch) heed(err error) {
	if e, ok := errors.AsType[*vendorapi.Error](err); ok && e.Verdict == vendorapi.Throttled {
		w.throttled = max(w.throttled, e.RetryAfter)
	}
}

// list reports whether a list of jobs has the job. The info is zero where only POST lists jobs.
func (w *watch) list(ctx context.Context) (info vendorapi.JobInfo, listed bool) {
	if w.byPost {
		if w.seen.listed > 0 {
			return info, false
		}
		found, err := w.Vendor.Find(ctx, w.Task, w.began)
		return info, err == nil && slices.Contains(append(found.Job.IDs, found.Candidates...), w.id)
	}
	q := vendorapi.JobQuery{Category: vendorapi.AllJobs, Lookback: time.Since(w.began) + time.Minute}
	for range maxPages {
		page, err := w.Vendor.ListJobs(ctx, q)
		if w.heed(err); err != nil {
			return info, false
		}
		for _, job := range page.Jobs {
			if job.ID == w.id {
				return job, true
			}
		}
		if q.Offset += page.Rows; page.Rows == 0 || page.Total >= 0 && q.Offset >= page.Total {
			break
		}
	}
	return info, false
}

// readMarker reads the job's description.
func (w *watch) readMarker(ctx context.Context) {
	text, err := w.Vendor.Description(ctx, w.id)
	switch {
	case err != nil:
	case text == w.Task.Marker:
		w.seen.marked = time.Since(w.began)
		w.Say(fmt.Sprintf("its description is shown after %s", w.since()))
		return
	default:
		w.seen.other = text
	}
	if w.seen.listed > 0 {
		w.seen.reads++
	}
}

// report adds what was observed.
func (w *watch) report(ctx context.Context, r *Result) {
	interrupted := ctx.Err() != nil
	switch {
	case w.seen.listed > 0:
		r.add(doctor.OK, "visibility", fmt.Sprintf("job %s was listed %s after its start", w.id, w.seen.listed.Round(time.Millisecond)), "")
	case interrupted:
		r.add(doctor.Note, "visibility", fmt.Sprintf("job %s was not listed before the interrupt, after %s", w.id, w.since()), "run the command again and let it finish")
	default:
		r.add(doctor.Error, "visibility", fmt.Sprintf("job %s was not listed within %s", w.id, w.since()),
			"let the vendor's user view jobs; as long as jobs are not listed, a lost answer ends as OUTCOME_UNKNOWN")
	}
	switch {
	case w.seen.marked > 0:
		r.add(doctor.OK, "description", fmt.Sprintf("is shown by TaskDetails after %s", w.seen.marked.Round(time.Millisecond)), "")
	case w.seen.other != "":
		r.add(doctor.Warning, "description", fmt.Sprintf("is another than the job was started with: %.80q", w.seen.other), "report it: the marker has to come back unchanged")
	case interrupted:
		r.add(doctor.Note, "description", "was not shown before the interrupt", "")
	default:
		r.add(doctor.Warning, "description", "is not shown by TaskDetails: a lost answer ends as OUTCOME_UNKNOWN instead of being found",
			"let the vendor's user view task details (/Job/{id}/TaskDetails)")
	}
	w.reportEnd(ctx, r)
	if !interrupted || w.seen.listed > 0 && w.seen.marked > 0 {
		w.suggest(r)
	}
}

// reportEnd adds the statuses up to the end, with its reasons.
func (w *watch) reportEnd(ctx context.Context, r *Result) {
	path := cmp.Or(strings.Join(w.path, ", "), "no status was shown")
	switch {
	case w.info.State == vendorapi.StateFinished:
	case ctx.Err() != nil:
		r.add(doctor.Note, "end", fmt.Sprintf("job %s is left alone after an interrupt: %s", w.id, path), fmt.Sprintf("see job %s at the vendor", w.id))
		return
	default:
		r.add(doctor.Warning, "end", fmt.Sprintf("job %s has not ended within %s and goes on: %s", w.id, w.Timeout, path), "give a longer --canary-timeout, or see the job at the vendor")
		return
	}
	if events, err := w.Vendor.JobEvents(ctx, w.id); err == nil {
		reasons, by := vendorapi.JobReasons(events)
		for _, reason := range reasons {
			path += "; " + strings.TrimSpace(reason.Code+" "+reason.Text)
		}
		if by != "" {
			path += "; by " + by
		}
	} else {
		path += "; the events cannot be read: " + err.Error()
	}
	level := doctor.Error
	switch w.info.Outcome {
	case schemas.OutcomeCompleted:
		level = doctor.OK
	case schemas.OutcomeCompletedWithWarnings, schemas.OutcomeCompletedWithErrors, schemas.OutcomeCommitted, schemas.OutcomeKilled:
		level = doctor.Warning
	}
	fix := ""
	if level != doctor.OK {
		fix = "see the job at the vendor"
	}
	r.add(level, "end", path, fix)
}

// Suggested windows are a number of times the longest that was observed, in whole steps, and at
// least the default: one observation is no bound.
const (
	windowFactor = 3
	windowStep   = 10 * time.Second
)

// suggest compares the settings with what was observed.
func (w *watch) suggest(r *Result) {
	if w.seen.listed == 0 {
		r.add(doctor.Warning, "settings", "no visibility window can be suggested, because the job was not listed", "set BACKHAUL_IN_DOUBT="+consumer.InDoubtFail+" until jobs are listed")
		return
	}
	longest := windowFactor * max(w.seen.listed, w.seen.marked)
	window := max(consumer.DefaultVisibilityWindow, (longest+windowStep-1)/windowStep*windowStep)
	inDoubt := consumer.InDoubtReconcile
	if w.seen.marked == 0 {
		inDoubt = consumer.InDoubtFail
	}
	what := fmt.Sprintf("BACKHAUL_VENDOR_VISIBILITY_WINDOW=%s and BACKHAUL_IN_DOUBT=%s fit this vendor", window, inDoubt)
	if w.Window >= window && w.InDoubt == inDoubt {
		r.add(doctor.OK, "settings", what, "")
		return
	}
	r.add(doctor.Warning, "settings", what, fmt.Sprintf("they are %s and %s now: change them, on all replicas", w.Window, w.InDoubt))
}
