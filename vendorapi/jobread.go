package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Operations that follow a job. All but JobDetails are GETs, which the vendor's limit on writing
// calls does not count. Their errors hold no other call: a 429 or 503 is returned as [Throttled],
// and neither CreateTask nor the circuit breaker knows of it.
const (
	opJob        = "Job"
	opEvents     = "Events"
	opJobDetails = "JobDetails"
)

// JobCategory selects the jobs of a list.
type JobCategory string

// The categories that the vendor knows.
const (
	ActiveJobs   JobCategory = "Active"
	FinishedJobs JobCategory = "Finished"
	AllJobs      JobCategory = "All"
)

// JobQuery selects one page of the backup jobs.
type JobQuery struct {
	Category JobCategory
	// Lookback is how far back finished jobs are listed, from the vendor's present time. At
	// least one second is asked for: without the parameter the vendor goes back a year.
	Lookback time.Duration
	// Limit is the size of the page; 0 means 1000. Offset is how many jobs come before it.
	Limit, Offset int
}

// JobPage is one page of a list.
type JobPage struct {
	Jobs []JobInfo
	// Total is how many jobs the whole list has, -1 if the vendor does not say.
	Total int
	// Rows is how many entries the page has. It is more than len(Jobs) if an entry has no id or
	// no status.
	Rows int
}

// UnseenJobError means that the vendor does not show a job. That is no proof that there is none: a
// new job is not shown at once, an old one no longer. Basis: saved answers;
// https://github.com/Commvault/cvpysdk asks up to ten times.
type UnseenJobError struct{ ID string }

func (e *UnseenJobError) Error() string { return fmt.Sprintf("the vendor does not show job %s", e.ID) }

// ListJobs reads one page of the backup jobs and synthetic fulls. The error is an [*Error].
func (c *Client) ListJobs(ctx context.Context, q JobQuery) (JobPage, error) {
	if q.Limit == 0 {
		q.Limit = pageSize
	}
	resp, err := c.read(ctx, listCall(q.Category, q.Lookback, q.Limit, q.Offset))
	if err != nil {
		return JobPage{}, err
	}
	return readJobPage(resp, q.Offset)
}

func readJobPage(resp response, offset int) (JobPage, error) {
	list, err := readJobList[stateSummary](opJobList, resp, offset > 0)
	if err != nil {
		return JobPage{}, err
	}
	page := JobPage{Jobs: make([]JobInfo, 0, len(list.Jobs)), Total: -1, Rows: len(list.Jobs)}
	if n, known := list.total(); known {
		page.Total = n
	}
	for _, row := range list.Jobs {
		if info, ok := row.Summary.info(); ok {
			page.Jobs = append(page.Jobs, info)
		}
	}
	return page, nil
}

// Job reads one job. The error is an [*UnseenJobError] if the vendor does not show it, else an
// [*Error].
func (c *Client) Job(ctx context.Context, id string) (JobInfo, error) {
	number := positive(id)
	if number == "" {
		return JobInfo{}, notAJobID(opJob, id)
	}
	resp, err := c.read(ctx, call{op: opJob, method: http.MethodGet, path: "/Job/" + number})
	if err != nil {
		return JobInfo{}, err
	}
	return readJob(number, resp)
}

func readJob(id string, resp response) (JobInfo, error) {
	list, err := readJobList[stateSummary](opJob, resp, false)
	if err != nil {
		return JobInfo{}, err
	}
	if total, _ := list.total(); total == 0 && len(list.Jobs) == 0 {
		return JobInfo{}, &UnseenJobError{ID: id}
	}
	for _, row := range list.Jobs {
		if info, ok := row.Summary.info(); ok && info.ID == id {
			return info, nil
		}
	}
	return JobInfo{}, &Error{Op: opJob, Status: resp.Status, Message: "no state of job " + id + " in: " + excerpt(resp.Body)}
}

func notAJobID(op, id string) *Error {
	return &Error{Verdict: NotSent, Op: op, Message: fmt.Sprintf("%.40q is not a job id", id)}
}

// Unsupported reports whether an error of ListJobs says that the vendor does not have the call, as
// older releases do not: it answered, but with 404, 405 or 501.
func Unsupported(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented)
}
