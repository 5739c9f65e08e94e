package vendorapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// pageSize is how many jobs one call of Jobs returns at most.
	pageSize = 100
	// maxPages bounds one search.
	maxPages = 100
	// clockMargin covers the vendor's whole seconds and the error of the measured
	// clock difference.
	clockMargin = 10 * time.Second
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
// after it was started.
func (c *Client) Find(ctx context.Context, t Task, since time.Time) (Found, error) {
	var found Found
	var ids []string
	err := c.eachJob(ctx, since, func(job jobSummary) error {
		if !job.matches(t) || job.started().Before(c.vendorTime(since).Add(-clockMargin)) {
			return nil
		}
		description, err := c.description(ctx, string(job.JobID))
		switch {
		case err != nil:
			return err
		case description == t.Marker:
			ids = append(ids, string(job.JobID))
		case description == "":
			found.Candidates = append(found.Candidates, string(job.JobID))
		}
		return nil
	})
	if err != nil {
		return Found{}, err
	}
	if len(ids) > 0 {
		slices.SortFunc(ids, byNumber)
		found.Job = Job{ID: ids[0], IDs: ids}
	}
	return found, nil
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
	StartTime int64        `json:"jobStartTime"` // UNIX seconds
	Subclient struct {
		ClientName    string `json:"clientName"`
		InstanceName  string `json:"instanceName"`
		BackupsetName string `json:"backupsetName"`
		SubclientName string `json:"subclientName"`
	} `json:"subclient"`
}

func (j jobSummary) started() time.Time { return time.Unix(j.StartTime, 0) }

// matches compares the names; the vendor's are not case-sensitive. A name that a
// summary leaves out does not speak against the job. Neither does the backup
// level, because the vendor may convert it.
func (j jobSummary) matches(t Task) bool {
	same := func(got, want string) bool { return got == "" || strings.EqualFold(got, want) }
	return positive(string(j.JobID)) != "" &&
		same(j.Subclient.ClientName, t.ClientName) && same(j.Subclient.InstanceName, t.InstanceName) &&
		same(j.Subclient.BackupsetName, t.BackupsetName) && same(j.Subclient.SubclientName, t.SubclientName)
}

// eachJob lists the backup jobs that are active or ended after since.
func (c *Client) eachJob(ctx context.Context, since time.Time, visit func(jobSummary) error) error {
	lookup := int64((time.Since(since) + lookupMargin) / time.Second)
	for page := range maxPages {
		body, err := json.Marshal(map[string]any{
			"scope":    1,
			"category": 0, // all
			"pagingConfig": map[string]any{
				"sortField": "jobId", "sortDirection": 1, "offset": page * pageSize, "limit": pageSize,
			},
			"jobFilter": map[string]any{
				"completedJobLookupTime": lookup,
				"showAgedJobs":           false,
				"jobTypeList":            []int{4, 14}, // backup, synthetic full
			},
		})
		if err != nil {
			return err
		}
		var list struct {
			Total int `json:"totalRecordsWithoutPaging"`
			Jobs  []struct {
				Summary jobSummary `json:"jobSummary"`
			} `json:"jobs"`
		}
		resp, err := c.read(ctx, call{op: "Jobs", method: http.MethodPost, path: "/Jobs", contentType: "application/json", body: body})
		if err != nil {
			return err
		}
		if err := json.Unmarshal(resp.body, &list); err != nil {
			return &Error{Op: "Jobs", Status: resp.status, Message: excerpt(resp.body), Err: err}
		}
		for _, job := range list.Jobs {
			if err := visit(job.Summary); err != nil {
				return err
			}
		}
		if len(list.Jobs) == 0 || page*pageSize+len(list.Jobs) >= list.Total {
			return nil
		}
	}
	return &Error{Op: "Jobs", Message: fmt.Sprintf("more than %d jobs since %s", maxPages*pageSize, since.UTC().Format(time.RFC3339))}
}

// description is the text that a job was started with, "" when the vendor does
// not show it. It never changes, so what is known is not asked for again.
func (c *Client) description(ctx context.Context, id string) (string, error) {
	if text, ok := c.known.get(id); ok {
		return text, nil
	}
	resp, err := c.read(ctx, call{op: "TaskDetails", method: http.MethodGet, path: "/Job/" + id + "/TaskDetails"})
	if err != nil {
		if e, ok := err.(*Error); ok && e.Status >= 400 && e.Status < 500 && e.Verdict != Throttled {
			return "", nil // not shown to us: no permission, or no such operation in this release
		}
		return "", err
	}
	text, err := jobDescription(resp.body)
	if err != nil {
		return "", &Error{Op: "TaskDetails", Status: resp.status, Message: excerpt(resp.body), Err: err}
	}
	if text != "" {
		c.known.put(id, text)
	}
	return text, nil
}

// jobDescription finds the member of that name wherever it stands: the answer
// holds the task as it was sent, but its exact shape is not documented.
func jobDescription(body []byte) (string, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body))
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
	cl.accept = "application/json"
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
		e.RetryAfter = retryAfter(resp.header, Throttled)
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
