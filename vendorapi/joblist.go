package vendorapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
)

const opJobs = "Jobs"

const (
	// pageSize is how many jobs one call of Jobs asks for.
	pageSize = 1000
	// maxJobs bounds one list.
	maxJobs = 10_000
	// lookupMargin is how much further back finished jobs are searched.
	lookupMargin = 2 * time.Minute
)

// errManyJobs says that there are more jobs than one list takes in.
var errManyJobs = fmt.Errorf("more than %d jobs", maxJobs)

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

// id is the job's id, "" when it has none that can be right.
func (j jobSummary) id() string { return positive(string(j.JobID)) }

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

// jobIndex is a list of jobs, each once, that is searched by names.
type jobIndex struct {
	jobs   []jobSummary
	seen   map[string]bool  // by id
	places map[string][]int // in jobs, by the names of client and content group
	vague  []int            // places of jobs that leave one of these names out
}

// add takes a page in, and counts the jobs that are new.
func (x *jobIndex) add(list jobList) (fresh int) {
	if x.seen == nil {
		x.seen, x.places = make(map[string]bool), make(map[string][]int)
	}
	before := len(x.jobs)
	for _, entry := range list.Jobs {
		job := entry.Summary
		id, place := job.id(), len(x.jobs)
		if x.seen[id] {
			continue // jobs that start while we read move others to the next page
		}
		x.seen[id] = id != ""
		x.jobs = append(x.jobs, job)
		if names := job.Subclient; names.ClientName == "" || names.SubclientName == "" {
			x.vague = append(x.vague, place)
		} else {
			key := nameKey(names.ClientName, names.SubclientName)
			x.places[key] = append(x.places[key], place)
		}
	}
	return len(x.jobs) - before
}

// named is the jobs that match a task's names, in the list's order.
func (x *jobIndex) named(t Task) (jobs []jobSummary) {
	places := slices.Concat(x.places[nameKey(t.ClientName, t.SubclientName)], x.vague)
	slices.Sort(places)
	for _, place := range places {
		if job := x.jobs[place]; job.matches(t) {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// nameKey is the same for names that strings.EqualFold holds to be equal.
func nameKey(client, subclient string) string {
	fold := func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}
	return strings.Map(fold, client) + "\x00" + strings.Map(fold, subclient)
}

// readJobs lists the backup jobs that are active or ended after since. With an
// error the list has the jobs that were read before it.
func (c *Client) readJobs(ctx context.Context, since time.Time) (jobIndex, error) {
	var index jobIndex
	total, known := 0, false
	for offset, page := 0, 0; len(index.jobs) < maxJobs; page++ {
		// A job that drops out while we read would move others to a page that has
		// been read already. So each page reaches further back than the last one,
		// by more than the calls can differ in the time that they take.
		back := max(0, time.Since(since)) + lookupMargin + time.Duration(page)*(c.timeout+time.Second)
		list, err := c.jobs(ctx, offset, back)
		if err != nil {
			return index, err
		}
		fresh := index.add(list)
		offset += len(list.Jobs)
		if n, ok := list.total(); ok {
			total, known = max(total, n), true
		}
		// The vendor may send fewer than we ask for, so what counts is the total,
		// and without one a page without jobs.
		switch {
		case known && offset >= total, !known && len(list.Jobs) == 0:
			return index, nil
		case fresh == 0:
			return index, &Error{Op: opJobs, Status: http.StatusOK, Message: fmt.Sprintf("the list of %d jobs ends after %d", total, len(index.jobs))}
		}
	}
	return index, &Error{Op: opJobs, Err: fmt.Errorf("%w since %s", errManyJobs, since.UTC().Format(time.RFC3339))}
}

// jobList is one page of a list of jobs. Basis: recorded answers.
type jobList struct {
	Total flexibleText `json:"totalRecordsWithoutPaging"`
	Jobs  []struct {
		Summary jobSummary `json:"jobSummary"`
	} `json:"jobs"` // nil when the answer has no list
}

func (l jobList) total() (n int, known bool) {
	n, err := strconv.Atoi(string(l.Total))
	return n, err == nil && n >= 0
}

// jobs reads one page. An answer that is not clearly a list is an error: taken
// for an empty one, it would have a job started again.
func (c *Client) jobs(ctx context.Context, offset int, back time.Duration) (jobList, error) {
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
	isEnd := offset > 0 && list.Jobs != nil
	if env, err := readEnvelope(resp.body); err != nil || env.failed() || !known && !isEnd {
		return jobList{}, &Error{Op: opJobs, Status: resp.status, Code: env.code, Message: cmp.Or(env.message, excerpt(resp.body))}
	}
	return list, nil
}
