package vendorapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	opJobs        = "Jobs"
	opTaskDetails = "TaskDetails"
)

const (
	// pageSize is how many jobs one call of Jobs returns at most.
	pageSize = 100
	// maxJobs bounds one search.
	maxJobs = 10_000
	// clockMargin covers the vendor's whole seconds and that the clock behind the
	// Date header need not be the one behind a job's start.
	clockMargin = time.Minute
	// lookupMargin is how much further back finished jobs are searched.
	lookupMargin = 2 * time.Minute
)

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
func (c *Client) Find(ctx context.Context, t Task, since time.Time) (Found, error) {
	var found Found
	var ids []string
	var unread error
	err := c.eachJob(ctx, since, func(id string, job jobSummary) error {
		if !job.matches(t) || job.startedBefore(c.earliest(since)) {
			return nil
		}
		if id == "" {
			return &Error{Op: opJobs, Status: http.StatusOK, Message: "a job that may be the one has no id"}
		}
		description, err := c.description(ctx, id)
		switch e, ok := errors.AsType[*Error](err); {
		case ok && e.Status >= 500 && e.Verdict != Throttled:
			// Another job's details may be broken for ever. Ours may still be shown.
			unread = err
		case err != nil:
			return err
		case description == t.Marker && t.Marker != "":
			ids = append(ids, id)
		case mayBe(description, t.Marker):
			found.Candidates = append(found.Candidates, id)
		}
		return nil
	})
	switch {
	case len(ids) > 0:
		slices.SortFunc(ids, byNumber)
		return Found{Job: Job{ID: ids[0], IDs: ids, Found: true}, Candidates: found.Candidates}, nil
	case err != nil:
		return Found{}, err
	case unread != nil:
		return Found{}, unread
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

// jobSummary is one job of a list. Basis: recorded answers.
type jobSummary struct {
	JobID     flexibleText `json:"jobId"`
	StartTime flexibleText `json:"jobStartTime"` // UNIX seconds
	Subclient struct {
		ClientName    string `json:"clientName"`
		InstanceName  string `json:"instanceName"`
		BackupsetName string `json:"backupsetName"`
		SubclientName string `json:"subclientName"`
	} `json:"subclient"`
}

// startedBefore tells whether the job certainly started before a time. One that
// has not started yet may have no start time.
func (j jobSummary) startedBefore(t time.Time) bool {
	seconds, err := strconv.ParseInt(string(j.StartTime), 10, 64)
	return err == nil && seconds > 0 && time.Unix(seconds, 0).Before(t)
}

// matches compares the names; the vendor's are not case-sensitive. A name that a
// summary leaves out does not speak against the job. Neither does the backup
// level, because the vendor may convert it.
func (j jobSummary) matches(t Task) bool {
	same := func(got, want string) bool { return got == "" || strings.EqualFold(got, want) }
	return same(j.Subclient.ClientName, t.ClientName) && same(j.Subclient.InstanceName, t.InstanceName) &&
		same(j.Subclient.BackupsetName, t.BackupsetName) && same(j.Subclient.SubclientName, t.SubclientName)
}

// eachJob lists the backup jobs that are active or ended after since, each once.
func (c *Client) eachJob(ctx context.Context, since time.Time, visit func(id string, job jobSummary) error) error {
	lookup := int64((time.Since(since) + lookupMargin) / time.Second)
	seen := make(map[string]bool) // jobs that start while we read move others to the next page
	for offset := 0; len(seen) < maxJobs; {
		list, err := c.jobs(ctx, offset, lookup)
		if err != nil {
			return err
		}
		before := len(seen)
		for _, job := range list.Jobs {
			id := positive(string(job.Summary.JobID))
			if seen[id] {
				continue
			}
			seen[id] = id != ""
			if err := visit(id, job.Summary); err != nil {
				return err
			}
		}
		// The vendor may send fewer than we ask for, so what counts is the total,
		// and without one the first short page.
		offset += len(list.Jobs)
		total, known := list.total()
		switch {
		case known && offset >= total, !known && len(list.Jobs) < pageSize:
			return nil
		case len(seen) == before:
			return &Error{Op: opJobs, Status: http.StatusOK, Message: fmt.Sprintf("the list of %d jobs ends after %d", total, len(seen))}
		}
	}
	return &Error{Op: opJobs, Message: fmt.Sprintf("more than %d jobs since %s", maxJobs, since.UTC().Format(time.RFC3339))}
}

// jobList is one page of a list of jobs. Basis: recorded answers.
type jobList struct {
	Total flexibleText `json:"totalRecordsWithoutPaging"`
	Jobs  []struct {
		Summary jobSummary `json:"jobSummary"`
	} `json:"jobs"`
}

func (l jobList) total() (n int, known bool) {
	n, err := strconv.Atoi(string(l.Total))
	return n, err == nil && n >= 0
}

// jobs reads one page. An answer that is not clearly a list is an error: taken
// for an empty one, it would have a job started again.
func (c *Client) jobs(ctx context.Context, offset int, lookup int64) (jobList, error) {
	body, err := json.Marshal(map[string]any{
		"scope":    1,
		"category": 0, // all
		"pagingConfig": map[string]any{
			"sortField": "jobId", "sortDirection": 1, "offset": offset, "limit": pageSize,
		},
		"jobFilter": map[string]any{
			"completedJobLookupTime": lookup,
			"showAgedJobs":           false,
			"jobTypeList":            []int{4, 14}, // backup, synthetic full
		},
	})
	if err != nil {
		return jobList{}, err
	}
	resp, err := c.read(ctx, call{op: opJobs, method: http.MethodPost, path: "/Jobs", contentType: "application/json", body: body})
	if err != nil {
		return jobList{}, err
	}
	var list jobList
	if err := json.Unmarshal(resp.body, &list, lenient); err != nil {
		return jobList{}, &Error{Op: opJobs, Status: resp.status, Message: excerpt(resp.body), Err: err}
	}
	if len(list.Jobs) > 0 {
		return list, nil
	}
	_, known := list.total()
	if env, err := readEnvelope(resp.body); err != nil || env.failed() || !known {
		return jobList{}, &Error{Op: opJobs, Status: resp.status, Code: env.code, Message: cmp.Or(env.message, excerpt(resp.body))}
	}
	return list, nil
}

// description is the text that a job was started with, "" when the vendor does
// not show it. It never changes, so what is known is not asked for again.
func (c *Client) description(ctx context.Context, id string) (string, error) {
	if text, ok := c.known.get(id); ok {
		return text, nil
	}
	resp, err := c.read(ctx, call{op: opTaskDetails, method: http.MethodGet, path: "/Job/" + id + "/TaskDetails"})
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Op == opTaskDetails && e.Err == nil && isHidden(e.Status) {
			return "", nil // not shown to us: no permission, or no such operation in this release
		}
		return "", err
	}
	text, err := jobDescription(resp.body)
	if err != nil {
		return "", &Error{Op: opTaskDetails, Status: resp.status, Message: excerpt(resp.body), Err: err}
	}
	if text = strings.TrimSpace(text); text != "" {
		c.known.put(id, text)
	}
	return text, nil
}

// isHidden tells whether a status means that asking again is of no use.
func isHidden(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return isClientError(status) || status == http.StatusNotImplemented
}

// jobDescription finds the member of that name wherever it stands: the answer
// holds the task as it was sent, but its exact shape is not documented.
func jobDescription(body []byte) (string, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), lenient)
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return "", err
		}
		if dec.StackDepth() == 0 {
			return "", nil
		}
		if kind, n := dec.StackIndex(dec.StackDepth()); kind == '{' && n%2 == 1 && token.Kind() == '"' && token.String() == "jobDescription" {
			value, err := dec.ReadValue()
			var text flexibleText
			if err == nil {
				err = text.UnmarshalJSON(value)
			}
			if err != nil || text != "" {
				return string(text), err
			}
		}
	}
}

// read makes a call that changes nothing and whose answer is JSON.
func (c *Client) read(ctx context.Context, cl call) (response, error) {
	cl.accept, cl.limit = "application/json", maxList
	resp, err := c.authorised(ctx, cl)
	if err != nil {
		return resp, err
	}
	if resp.status == http.StatusOK {
		return resp, nil
	}
	e := &Error{Op: cl.op, Status: resp.status, Message: excerpt(resp.body)}
	if resp.status == http.StatusTooManyRequests || resp.status == http.StatusServiceUnavailable {
		e.Verdict = Throttled
		e.RetryAfter = retryAfter(resp.header)
	}
	if resp.status == http.StatusTooManyRequests && cl.method != http.MethodGet {
		// To the gateway every method but GET is a write, as CreateTask is one.
		c.quiet.extend(e.RetryAfter)
	}
	return resp, e
}

// maxKnown bounds the descriptions that are remembered.
const maxKnown = 10_000

// descriptions remembers what jobs were started with.
type descriptions struct {
	mu   sync.Mutex
	byID map[string]string
}

func (d *descriptions) get(id string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text, ok := d.byID[id]
	return text, ok
}

func (d *descriptions) put(id, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byID == nil || len(d.byID) >= maxKnown {
		d.byID = make(map[string]string)
	}
	d.byID[id] = text
}
