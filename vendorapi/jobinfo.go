package vendorapi

import (
	"html"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"backhaul/schemas"
)

// JobState is the state of a job, as far as it can be told from its status.
type JobState string

// The states of a job.
const (
	StateRunning     JobState = "running"
	StateWaiting     JobState = "waiting"
	StatePending     JobState = "pending"
	StateQueued      JobState = "queued"
	StateSuspended   JobState = "suspended"
	StateSuspending  JobState = "suspending"
	StateInterrupted JobState = "interrupted"
	StateStopping    JobState = "stopping"
	StateFinished    JobState = "finished"
	// StateUnknown: the status is not in the table. It may be new, so it is neither an end nor
	// a state in which the job does not run.
	StateUnknown JobState = "unknown"
)

// meaning is what a status means. Only a finished job has an outcome.
type meaning struct {
	state   JobState
	outcome schemas.Outcome
}

// statuses is the one table of the vendor's statuses, in small letters. A status is compared
// whole: "Completed w/ something new" is not known to be complete. Basis: saved answers in the
// vendor's Postman collection (https://github.com/BrandonLundt/commvault-powershell-extentions), and
// the lists in https://github.com/Commvault/cvpysdk and
// https://github.com/smatechnologies/commvault-java.
var statuses = map[string]meaning{
	"completed":                         {StateFinished, schemas.OutcomeCompleted},
	"completed w/ one or more warnings": {StateFinished, schemas.OutcomeCompletedWithWarnings},
	"completed w/ one or more errors":   {StateFinished, schemas.OutcomeCompletedWithErrors},
	"committed":                         {StateFinished, schemas.OutcomeCommitted},
	"failed":                            {StateFinished, schemas.OutcomeFailed},
	"failed to start":                   {StateFinished, schemas.OutcomeFailedToStart},
	"killed":                            {StateFinished, schemas.OutcomeKilled},
	"no run":                            {StateFinished, schemas.OutcomeNoRun},
	"running":                           {state: StateRunning},
	"running (cannot be verified)":      {state: StateRunning},
	"waiting":                           {state: StateWaiting},
	"pending":                           {state: StatePending},
	"queued":                            {state: StateQueued},
	"suspended":                         {state: StateSuspended},
	"suspend":                           {state: StateSuspending},
	"suspend pending":                   {state: StateSuspending},
	"interrupt pending":                 {state: StateInterrupted},
	"interrupted":                       {state: StateInterrupted},
	"kill pending":                      {state: StateStopping},
	"abnormal terminated cleanup":       {state: StateStopping},
}

// meaningOf returns what a status means.
func meaningOf(status string) meaning {
	m, known := statuses[strings.ToLower(strings.TrimSpace(status))]
	if !known {
		return meaning{state: StateUnknown}
	}
	return m
}

// JobInfo is what the vendor says about one job. What it did not say is zero or nil.
type JobInfo struct {
	// ID is a decimal number above 0.
	ID string
	// Names are empty where the vendor leaves them out.
	Names JobNames
	// Status is the vendor's, verbatim and in English, such as "Queued".
	Status string
	State  JobState
	// Outcome is how the job ended, "" unless State is StateFinished.
	Outcome schemas.Outcome
	// Started, Ended and Updated are whole seconds by the vendor's clock. Older releases do
	// not name an end.
	Started, Ended, Updated time.Time
	// Reason is why the job is pending.
	Reason JobReason
	// SubmitErrorCode is the code of a job that failed to start, 0 for none.
	SubmitErrorCode int
	// Phase is the vendor's name of the phase that the job is in.
	Phase string
	// Percent is how much is done, 0 to 100.
	Percent int
	// Level is the backup level that the vendor runs, verbatim, such as "Synthetic Full".
	Level string
	// Sizes leaves Empty to the caller.
	Sizes schemas.JobSizes
}

// JobReason is why a job does not run. Text is plain text, Code as in "13:30".
type JobReason struct{ Code, Text string }

// stateSummary is a job as GET Job shows it. Basis: saved answers in the vendor's Postman
// collection (https://github.com/BrandonLundt/commvault-powershell-extentions).
type stateSummary struct {
	JobID         flexibleText `json:"jobId" xml:"jobId,attr"`
	Status        flexibleText `json:"status" xml:"status,attr"` // localizedStatus is in the user's language
	PendingReason flexibleText `json:"pendingReason" xml:"pendingReason,attr"`
	PendingCode   flexibleText `json:"pendingReasonErrorCode" xml:"pendingReasonErrorCode,attr"`
	SubmitError   flexibleText `json:"jobSubmitErrorCode" xml:"jobSubmitErrorCode,attr"`
	Phase         flexibleText `json:"currentPhaseName" xml:"currentPhaseName,attr"`
	Percent       flexibleText `json:"percentComplete" xml:"percentComplete,attr"` // "100" or "100.000000"
	Level         flexibleText `json:"backupLevelName" xml:"backupLevelName,attr"`
	Start         flexibleText `json:"jobStartTime" xml:"jobStartTime,attr"` // UNIX seconds
	End           flexibleText `json:"jobEndTime" xml:"jobEndTime,attr"`
	Update        flexibleText `json:"lastUpdateTime" xml:"lastUpdateTime,attr"`
	Files         flexibleText `json:"totalNumOfFiles" xml:"totalNumOfFiles,attr"`
	FailedFiles   flexibleText `json:"totalFailedFiles" xml:"totalFailedFiles,attr"`
	FailedFolders flexibleText `json:"totalFailedFolders" xml:"totalFailedFolders,attr"`
	Bytes         flexibleText `json:"sizeOfApplication" xml:"sizeOfApplication,attr"`
	MediaBytes    flexibleText `json:"sizeOfMediaOnDisk" xml:"sizeOfMediaOnDisk,attr"`
	Names         JobNames     `json:"subclient" xml:"subclient"`
}

// info returns what a summary says; ok is false without an id or a status.
func (s stateSummary) info() (info JobInfo, ok bool) {
	id, status := positive(string(s.JobID)), strings.TrimSpace(string(s.Status))
	if id == "" || status == "" {
		return JobInfo{}, false
	}
	means := meaningOf(status)
	return JobInfo{
		ID: id, Names: s.Names, Status: shortened(status), State: means.state, Outcome: means.outcome,
		Started: unixTime(string(s.Start)), Ended: unixTime(string(s.End)), Updated: unixTime(string(s.Update)),
		Reason:          JobReason{Code: plainText(string(s.PendingCode)), Text: plainText(string(s.PendingReason))},
		SubmitErrorCode: smallNumber(s.SubmitError),
		Phase:           plainText(string(s.Phase)), Percent: percent(string(s.Percent)), Level: plainText(string(s.Level)),
		Sizes: schemas.JobSizes{
			Files: number(s.Files), FailedFiles: number(s.FailedFiles), FailedFolders: number(s.FailedFolders),
			Bytes: number(s.Bytes), MediaBytes: number(s.MediaBytes),
		},
	}, true
}

// number returns a whole number that is not negative, nil for every other text: the vendor writes
// -999 where it has none. Basis: https://api.commvault.com, JobDetails.
func number(text flexibleText) *int64 {
	s := strings.TrimSpace(string(text))
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		f, failed := strconv.ParseFloat(s, 64)
		if n = int64(f); failed != nil || !(f >= 0 && f < 1<<53) || float64(n) != f {
			return nil
		}
	}
	if n < 0 {
		return nil
	}
	return &n
}

// smallNumber returns a code, 0 if it is missing or not valid.
func smallNumber(text flexibleText) int {
	n := number(text)
	if n == nil || *n > math.MaxInt32 {
		return 0
	}
	return int(*n)
}

var htmlTag = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`</?[A-Za-z][^<>]*>|<!--.*?-->`) })

// plainText returns a text without the HTML that it may have, shortened. Basis:
// https://github.com/elohmeier/commvault-exporter removes tags.
func plainText(s string) string {
	if strings.ContainsAny(s, "<&") {
		s = html.UnescapeString(htmlTag().ReplaceAllString(s, " "))
	}
	return shortened(strings.Join(strings.Fields(s), " "))
}

// percent returns a whole number of percent, rounded down: 100 means all.
func percent(s string) int {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(f > 0) {
		return 0
	}
	return int(min(f, 100))
}

// unixTime returns a time that is given in seconds, zero when it is missing or not valid.
func unixTime(s string) time.Time {
	seconds, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || seconds <= 0 || seconds >= 1<<40 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
