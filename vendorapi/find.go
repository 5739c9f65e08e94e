package vendorapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// clockMargin covers the vendor's whole seconds and that the clock behind the
// Date header need not be the one behind a job's start.
const clockMargin = time.Minute

// Found is what a search for a job came to.
type Found struct {
	// Job is the job that carries the marker; its ID is "" when none does.
	Job Job
	// Candidates are ids of jobs of the right shape whose description the vendor
	// does not show: they may be the one, and nothing proves or refutes it.
	Candidates []string
}

// Find looks for a job that was started with the task's marker since a point in
// time by our clock. It lists jobs with the task's names and reads each one's
// description. One empty look proves nothing: the vendor lists a job some time
// after it was started. A job that was found is the answer even if something
// went wrong later in the search; without one, an error means that nothing is known.
//
// Calls at the same time share the list, which never is older than the call, and
// its failure: it is up to each caller to try again.
func (c *Client) Find(ctx context.Context, t Task, since time.Time) (Found, error) {
	list, listErr := c.listJobs(ctx, since)
	var shaped []string
	for _, job := range list.named(t) {
		switch {
		case job.startedBefore(c.earliest(since)):
		case job.id() != "":
			shaped = append(shaped, job.id())
		case listErr == nil:
			listErr = &Error{Op: opJobs, Status: http.StatusOK, Message: "a job that may be the one has no id"}
		}
	}
	descriptions, readErr := c.descriptions(ctx, shaped)
	var found Found
	var ids []string
	for i, id := range shaped {
		switch text, read := descriptions[i].text, descriptions[i].read; {
		case !read:
		case text == t.Marker && t.Marker != "":
			ids = append(ids, id)
		case mayBe(text, t.Marker):
			found.Candidates = append(found.Candidates, id)
		}
	}
	switch {
	case len(ids) > 0:
		slices.SortFunc(ids, byNumber)
		return Found{Job: Job{ID: ids[0], IDs: ids, Found: true}, Candidates: found.Candidates}, nil
	case listErr != nil:
		return Found{}, listErr
	case readErr != nil:
		return Found{}, readErr
	}
	return found, nil
}

// earliest is when a job may have started, by the vendor's clock, that was sent
// at since by ours. A job that was overlooked is started again, so the doubt
// about the clocks is resolved towards looking at more jobs.
func (c *Client) earliest(since time.Time) time.Time {
	at := since
	if theirs := c.vendorTime(since); theirs.Before(at) {
		at = theirs
	}
	return at.Add(-clockMargin)
}

// shortestLimit is the least that a system for descriptions is believed to cut
// them to. The vendor's limit is not documented.
const shortestLimit = 64

// mayBe tells whether a description that is not the marker does not refute it
// either: it is not shown, or it is the marker cut short.
func mayBe(description, marker string) bool {
	return description == "" || len(description) >= shortestLimit && strings.HasPrefix(marker, description)
}

func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
