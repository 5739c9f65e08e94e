package vendorapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// clockMargin covers the whole seconds of the vendor's times, and a difference between the clock of
// the Date header and that of a job's start.
const clockMargin = time.Minute

// Found is the result of a search for a job.
type Found struct {
	// Job is the job with the marker; its ID is "" if there is none.
	Job Job
	// Candidates are ids of jobs with matching names whose description the vendor does not show:
	// each may be the job of the task.
	Candidates []string
}

// Find searches for a job that was started with the task's marker since a point in time by our
// clock. It lists jobs with the task's names and reads their descriptions. One empty result proves
// nothing: the vendor lists a job some time after its start. A job that is found is returned even
// if a later step of the search fails; without one, an error means that nothing is known.
//
// Calls at the same time share a list that is not older than any of them, and its failure: each
// caller decides whether to try again.
func (c *Client) Find(ctx context.Context, t Task, since time.Time) (Found, error) {
	list, listErr := c.listJobs(ctx, since)
	var shaped []string
	for _, job := range list.named(t) {
		switch {
		case job.startedBefore(c.earliest(since)):
		case job.id() != "":
			shaped = append(shaped, job.id())
		case listErr == nil:
			listErr = &Error{Op: opJobList, Status: http.StatusOK, Message: "a job with the names of the task has no id"}
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

// earliest returns the earliest start, on the vendor's clock, of a job that was sent at since by
// ours. An overlooked job is started again, so a doubt about the clocks widens the search.
func (c *Client) earliest(since time.Time) time.Time {
	at := since
	if theirs := c.vendorTime(since); theirs.Before(at) {
		at = theirs
	}
	return at.Add(-clockMargin)
}

// shortestLimit is the shortest length to which a system may cut descriptions (assumed). The
// vendor's limit is not documented.
const shortestLimit = 64

// mayBe reports whether a description that differs from the marker may still belong to the job: it
// is hidden, or it is the beginning of the marker.
func mayBe(description, marker string) bool {
	return description == "" || len(description) >= shortestLimit && strings.HasPrefix(marker, description)
}

func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
