package vendorapi

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const opJob = "Job"

// Final is how a job ended.
type Final string

// How a job can end. NotFinal is a job that has not, as far as is known.
const (
	NotFinal            Final = ""
	Completed           Final = "completed"
	CompletedWithErrors Final = "completed-with-errors"
	// Committed: ended early, and what was backed up until then is kept.
	Committed Final = "committed"
	Failed    Final = "failed"
	// FailedToStart: there was a job id, and nothing was done.
	FailedToStart Final = "failed-to-start"
	Killed        Final = "killed"
)

// finals are the states that end a job, in small letters. Any other is not
// final: Suspended and Queued can last for days, and an unknown one may be new.
// Basis: documented list of states, as three public clients copied it.
var finals = map[string]Final{
	"completed":                         Completed,
	"completed w/ one or more errors":   CompletedWithErrors,
	"completed w/ one or more warnings": CompletedWithErrors,
	"committed":                         Committed,
	"failed":                            Failed,
	"failed to start":                   FailedToStart,
	"killed":                            Killed,
}

// JobState is what the vendor says of a job.
type JobState struct {
	ID string
	// Status is the vendor's, verbatim and in English, such as "Queued".
	Status string
	Final  Final
	// PendingReason is why the job does not go on, as plain text; mostly "".
	PendingReason string
	Percent       int // done, 0 to 100
	// Started, Ended and Updated are whole seconds by the vendor's clock, and zero
	// if it does not say. It has no end for a job that is not final.
	Started, Ended, Updated time.Time
}

// UnseenJobError says that the vendor does not show a job. That is no proof
// that there is none: a new job is not shown at once. Ask again later.
// Basis: recorded; the vendor's SDK asks up to ten times.
type UnseenJobError struct {
	ID string
}

func (e *UnseenJobError) Error() string { return fmt.Sprintf("the vendor does not show job %s", e.ID) }

// JobState asks for a job's state once. The error is an [*UnseenJobError] if the
// vendor does not show the job, else an [*Error].
func (c *Client) JobState(ctx context.Context, id string) (JobState, error) {
	if positive(id) == "" {
		return JobState{}, &Error{Verdict: NotSent, Op: opJob, Message: fmt.Sprintf("%q is no job id", id)}
	}
	id = positive(id)
	resp, err := c.read(ctx, call{op: opJob, method: http.MethodGet, path: "/Job/" + id})
	if err != nil {
		return JobState{}, err
	}
	return readJobState(id, resp)
}

// stateSummary is a job as GET Job/{id} shows it. Basis: recorded answers; the
// web service leaves most members out when they are empty.
type stateSummary struct {
	JobID         flexibleText `json:"jobId" xml:"jobId,attr"`
	Status        flexibleText `json:"status" xml:"status,attr"` // localizedStatus is in the user's language
	PendingReason flexibleText `json:"pendingReason" xml:"pendingReason,attr"`
	Percent       flexibleText `json:"percentComplete" xml:"percentComplete,attr"` // "100" or "100.000000"
	Start         flexibleText `json:"jobStartTime" xml:"jobStartTime,attr"`       // UNIX seconds
	End           flexibleText `json:"jobEndTime" xml:"jobEndTime,attr"`
	Update        flexibleText `json:"lastUpdateTime" xml:"lastUpdateTime,attr"`
}

func readJobState(id string, resp response) (JobState, error) {
	list, err := readJobList[stateSummary](opJob, resp, false)
	if err != nil {
		return JobState{}, err
	}
	if total, _ := list.total(); total == 0 && len(list.Jobs) == 0 {
		return JobState{}, &UnseenJobError{ID: id}
	}
	for _, job := range list.Jobs {
		s := job.Summary
		status := strings.TrimSpace(string(s.Status))
		if positive(string(s.JobID)) != id || status == "" {
			continue
		}
		return JobState{
			ID: id, Status: status, Final: finals[strings.ToLower(status)],
			PendingReason: shortened(plainText(string(s.PendingReason))), Percent: percent(string(s.Percent)),
			Started: unixTime(string(s.Start)), Ended: unixTime(string(s.End)), Updated: unixTime(string(s.Update)),
		}, nil
	}
	return JobState{}, &Error{Op: opJob, Status: resp.Status, Message: "no state of job " + id + " in: " + excerpt(resp.Body)}
}

var htmlTag = regexp.MustCompile(`</?[A-Za-z][^<>]*>|<!--.*?-->`)

// plainText is a reason without the HTML that it may carry.
// Basis: a public client strips tags.
func plainText(s string) string {
	return strings.Join(strings.Fields(html.UnescapeString(htmlTag.ReplaceAllString(s, " "))), " ")
}

// percent is a whole number of percent, rounded down: 100 means all.
func percent(s string) int {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(f > 0) {
		return 0
	}
	return int(min(f, 100))
}

// unixTime is a time in seconds, zero when there is none or none that can be.
func unixTime(s string) time.Time {
	seconds, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || seconds <= 0 || seconds >= 1<<40 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
