package vendorapi

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// jobSummary is one job of a list. Basis: saved answers of Jobs in the vendor's Postman collection
// (https://github.com/BrandonLundt/commvault-powershell-extentions).
type jobSummary struct {
	JobID     flexibleText `json:"jobId" xml:"jobId,attr"`
	StartTime flexibleText `json:"jobStartTime" xml:"jobStartTime,attr"` // UNIX seconds
	Names     JobNames     `json:"subclient" xml:"subclient"`
}

// id returns the job's id, "" if it is missing or not valid.
func (j jobSummary) id() string { return positive(string(j.JobID)) }

// startedBefore reports whether the job certainly started before a time. A job that has not started
// yet may have no start time.
func (j jobSummary) startedBefore(t time.Time) bool {
	started := unixTime(string(j.StartTime))
	return !started.IsZero() && started.Before(t)
}

// JobNames are the names of what a job backs up, "" where the vendor leaves one out.
type JobNames struct {
	Client    string `json:"clientName" xml:"clientName,attr"`
	Instance  string `json:"instanceName" xml:"instanceName,attr"`
	Backupset string `json:"backupsetName" xml:"backupsetName,attr"`
	Subclient string `json:"subclientName" xml:"subclientName,attr"`
}

// Match reports whether the names may be those that were asked for; the vendor's names are not
// case-sensitive. A name that is missing on either side matches. The backup level is not compared,
// because the vendor may convert it.
func (n JobNames) Match(asked JobNames) bool {
	same := func(got, want string) bool { return got == "" || want == "" || strings.EqualFold(got, want) }
	return same(n.Client, asked.Client) && same(n.Instance, asked.Instance) &&
		same(n.Backupset, asked.Backupset) && same(n.Subclient, asked.Subclient)
}

// jobIndex is a list of jobs without duplicates that is searched by names.
type jobIndex struct {
	jobs      []jobSummary
	seen      map[string]int   // the first page of a job, by id
	rows      int              // without those of an earlier page
	positions map[string][]int // in jobs, by the names of client and content group
	vague     []int            // positions of jobs that leave one of these names out
}

// add adds a page; the first is 1.
func (x *jobIndex) add(page int, list jobList[jobSummary]) {
	if x.seen == nil {
		x.seen, x.positions = make(map[string]int), make(map[string][]int)
	}
	for _, entry := range list.Jobs {
		job := entry.Summary
		id, position := job.id(), len(x.jobs)
		first := x.seen[id]
		if first == 0 || first == page {
			x.rows++ // the others moved here because jobs started meanwhile
		}
		if first != 0 {
			continue
		}
		if id != "" {
			x.seen[id] = page
		}
		x.jobs = append(x.jobs, job)
		if names := job.Names; names.Client == "" || names.Subclient == "" {
			x.vague = append(x.vague, position)
		} else {
			key := nameKey(names.Client, names.Subclient)
			x.positions[key] = append(x.positions[key], position)
		}
	}
}

// named returns the jobs that match a task's names, in the order of the list.
func (x *jobIndex) named(t Task) (jobs []jobSummary) {
	asked := JobNames{Client: t.ClientName, Instance: t.InstanceName, Backupset: t.BackupsetName, Subclient: t.SubclientName}
	positions := slices.Concat(x.positions[nameKey(t.ClientName, t.SubclientName)], x.vague)
	slices.Sort(positions)
	for _, position := range positions {
		if job := x.jobs[position]; job.Names.Match(asked) {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// nameKey returns the same key for names that are equal by strings.EqualFold.
func nameKey(client, subclient string) string {
	return FoldName(client) + "\x00" + FoldName(subclient)
}

// FoldName returns the same text for names that the vendor takes for the same: those that are equal
// by strings.EqualFold.
func FoldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, name)
}

// jobList is a complete answer with jobs, or one page of it; Summary selects the fields that are
// read. Basis: saved answers of Job and Jobs in the vendor's Postman collection
// (https://github.com/BrandonLundt/commvault-powershell-extentions).
type jobList[Summary any] struct {
	Total flexibleText               `json:"totalRecordsWithoutPaging" xml:"totalRecordsWithoutPaging,attr"`
	Jobs  oneOrMany[jobRow[Summary]] `json:"jobs" xml:"jobs"` // nil when the answer has no list
}

type jobRow[Summary any] struct {
	Summary Summary `json:"jobSummary" xml:"jobSummary"`
}

func (l jobList[Summary]) total() (n int, known bool) {
	n, err := strconv.Atoi(string(l.Total))
	return n, err == nil && n >= 0
}

// readJobList reads an answer to op in either format. An answer that is not clearly a list is an
// error: read as an empty list, it would start a job again. Without a total, an empty list is valid
// only where a list may end.
func readJobList[Summary any](op string, resp response, mayEnd bool) (list jobList[Summary], err error) {
	text := modernJSON(trimmed(resp.Body))
	err = decode(text, &list)
	if err != nil {
		return jobList[Summary]{}, &Error{Op: op, Status: resp.Status, Message: excerpt(resp.Body), Err: err}
	}
	if len(list.Jobs) > 0 {
		return list, nil
	}
	_, known := list.total()
	if env, err := readEnvelope(text, "Response"); err != nil || env.failed() || !known && (!mayEnd || list.Jobs == nil) {
		return list, &Error{Op: op, Status: resp.Status, Code: env.code, Message: cmp.Or(env.message, excerpt(resp.Body))}
	}
	return list, nil
}
