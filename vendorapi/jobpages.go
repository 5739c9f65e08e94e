package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"backhaul/vendorapi/internal/http1"
)

// The two operations that list jobs: GET Job and POST Jobs.
const (
	opJobList = "JobList"
	opJobs    = "Jobs"
)

const (
	// pageSize is how many jobs one call asks for.
	pageSize = 1000
	// maxJobs bounds one list.
	maxJobs = 50_000
	// lookupMargin is added to how far back finished jobs are listed; lookupStep is added for each
	// further page.
	lookupMargin = 30 * time.Second
	lookupStep   = 5 * time.Second
	// maxOverlap is how many jobs of a page are requested again with the next one.
	maxOverlap = 20
	// searchFor is how long lists are read by POST Jobs after GET Job was not answered.
	searchFor = 10 * time.Minute
)

var (
	// errManyJobs means that a list has more than maxJobs jobs.
	errManyJobs = fmt.Errorf("more than %d jobs", maxJobs)
	// errNotPaged means that the second page is the first one again.
	errNotPaged = errors.New("the vendor does not page the list")
)

// pages is a call that reads one page of the backup jobs that are active or ended within the time
// before the vendor's present one.
type pages struct {
	op   string
	read func(ctx context.Context, offset int, back time.Duration) (jobList[jobSummary], error)
	// sorted reports whether jobs keep their order when they end.
	sorted bool
}

// listed reads by GET, which the vendor's limit on writing calls does not count. The call has no
// filter for the names of a content group nor for the start of a job, and no order: [Client.Find]
// compares names and start by itself, and the pages overlap.
func (c *Client) listed() pages { return pages{op: opJobList, read: c.listJobsPage} }

// searched reads by POST, for vendors that do not answer GET.
func (c *Client) searched() pages { return pages{op: opJobs, read: c.searchJobsPage, sorted: true} }

// readJobs lists the backup jobs that are active or ended after since. With an error the list has
// the jobs of the pages before it.
func (c *Client) readJobs(ctx context.Context, since time.Time) (jobIndex, error) {
	if c.searching.Left() > 0 {
		return c.searched().all(ctx, since)
	}
	index, err := c.listed().all(ctx, since)
	if !unanswered(err) {
		return index, err
	}
	searched, searchErr := c.searched().all(ctx, since)
	switch {
	case searchErr == nil:
		c.searching.Extend(searchFor)
	case len(index.jobs) > 0:
		return index, err
	}
	return searched, searchErr
}

// unanswered reports whether an error of GET Job means that the vendor does not list jobs by GET:
// the operation does not exist, is not permitted, or was refused. A failure that may pass is not
// one of them, because POST Jobs costs a writing call.
func unanswered(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok || e.Op != opJobList || e.Verdict != Unknown:
		return false
	case errors.Is(e, errNotPaged):
		return true
	case e.Status == http.StatusOK, e.Status == http.StatusInternalServerError:
		return envelope{code: e.Code}.refuses()
	}
	return isHidden(e.Status)
}

// all reads the pages that reach back to since.
func (p pages) all(ctx context.Context, since time.Time) (jobIndex, error) {
	var index jobIndex
	first, total := -1, -1 // how many there are: when we began, and now
	overlap := 0           // how many jobs of the last page are requested again
	for offset, page := 0, 1; len(index.jobs) < maxJobs; page++ {
		// The vendor counts back from its own time. A job that ages out between two pages would
		// move other jobs to a page that was already read. So each page reaches further back than
		// the one before, by more than the difference between the durations of two calls. If that
		// is too little, the list ends early.
		back := max(0, time.Since(since)) + lookupMargin + time.Duration(page-1)*lookupStep
		list, err := p.read(ctx, offset, back)
		if err != nil {
			return index, err
		}
		if overlap > 0 && page == 2 && len(list.Jobs) > 0 && list.Jobs[0].Summary.id() == index.jobs[0].id() {
			return index, &Error{Op: p.op, Status: http.StatusOK, Err: errNotPaged}
		}
		before := index.rows
		index.add(page, list)
		end := offset + len(list.Jobs)
		if n, known := list.total(); known {
			if total = n; first < 0 {
				first = n
			}
		}
		// The vendor may send fewer jobs than requested, so the total decides, and without a total
		// a page without jobs. Repeated jobs are not counted.
		switch added := index.rows - before; {
		case overlap > 0 && added == len(list.Jobs) && added > 0:
			return index, &Error{Op: p.op, Status: http.StatusOK, Message: fmt.Sprintf("the list of %d jobs changed after %d", total, before)}
		case total >= 0 && end >= total && index.rows >= first, total < 0 && len(list.Jobs) == 0:
			return index, nil
		case added == 0:
			return index, &Error{Op: p.op, Status: http.StatusOK, Message: fmt.Sprintf("the list of %d jobs ends after %d", total, len(index.jobs))}
		}
		if offset = end; !p.sorted && total >= 0 {
			// A job that ends may move within the list, and others with it. If more than the
			// overlap moved to pages that were read, the next page has no known job.
			overlap = min(maxOverlap, len(list.Jobs)/2)
			offset -= overlap
		}
	}
	return index, &Error{Op: p.op, Err: fmt.Errorf("%w since %s", errManyJobs, since.UTC().Format(time.RFC3339))}
}

// listCall is a call of GET Job. Without completedJobLookupTime the vendor goes back a year. Basis:
// https://documentation.commvault.com/v11/essential/rest_api_get_job.html for the parameters and
// for paging by headers; https://github.com/Commvault/cvpysdk, find_latest_job, for the filter.
func listCall(category JobCategory, back time.Duration, limit, offset int) call {
	seconds := max(1, int64((back+time.Second-1)/time.Second))
	query := url.Values{
		"jobCategory":            {string(category)},
		"completedJobLookupTime": {strconv.FormatInt(seconds, 10)},
		"jobFilter":              {"Backup,SYNTHFULL"},
	}
	return call{
		op: opJobList, method: http.MethodGet, path: "/Job?" + query.Encode(),
		header: []http1.Field{{Name: "limit", Value: strconv.Itoa(limit)}, {Name: "offset", Value: strconv.Itoa(offset)}},
	}
}

func (c *Client) listJobsPage(ctx context.Context, offset int, back time.Duration) (list jobList[jobSummary], err error) {
	resp, err := c.read(ctx, listCall(AllJobs, back, pageSize, offset))
	if err != nil {
		return list, err
	}
	return readJobList[jobSummary](opJobList, resp, offset > 0)
}

func (c *Client) searchJobsPage(ctx context.Context, offset int, back time.Duration) (list jobList[jobSummary], err error) {
	body, err := json.Marshal(map[string]any{
		"scope":    1,
		"category": 0, // all
		"pagingConfig": map[string]any{
			"sortField": "jobId", "sortDirection": 1, "offset": offset, "limit": pageSize,
		},
		"jobFilter": map[string]any{
			"completedJobLookupTime": int64(back / time.Second), // before the vendor's now
			"showAgedJobs":           false,
			"jobTypeList":            []int{4, 14}, // backup, synthetic full
		},
	})
	if err != nil {
		return list, err
	}
	resp, err := c.read(ctx, call{op: opJobs, method: http.MethodPost, path: "/Jobs", contentType: "application/json", body: body})
	if err != nil {
		return list, c.notAtBase(resp, err)
	}
	return readJobList[jobSummary](opJobs, resp, offset > 0)
}
