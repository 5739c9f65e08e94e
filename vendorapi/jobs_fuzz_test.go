package vendorapi

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"backhaul/vendorapi/secretstest"

	"github.com/go-json-experiment/json/jsontext"
)

// jobBodies are answers of every kind to start from.
func jobBodies() []string {
	now := time.Unix(1_700_000_000, 0)
	job := summaryOf(7, now)
	return []string{
		``, `{}`, `null`, `[]`, `OK`, `{"jobs":[]}`, `{"totalRecordsWithoutPaging":0}`, `{"totalRecordsWithoutPaging":"0","errList":[]}`,
		`{"totalRecordsWithoutPaging":0,"error":{"errorCode":2}}`, `{"totalRecordsWithoutPaging":1,"jobs":[{}]}`,
		listOf(1, job), listOf(2, job, strings.ReplaceAll(job, `:7,`, `:"8",`)), "\ufeff\r" + strings.ReplaceAll(listOf(1, job), ",", ",\r"),
		listInXML(1, now, "stestgroup"), `<?xml version="1.0"?>` + listInXML(2, now, "x"), `<JobManager_JobListResponse totalRecordsWithoutPaging="0"/>`,
		`<App_GenericResp errorCode="2" errorMessage="x"/>`, `<html><title>Sign in</title></html>`,
		`{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":7,"status":"Completed w/ one or more errors","percentComplete":99.9,"jobEndTime":1700000060,"pendingReason":"a<br>b &amp; c"}}]}`,
		detailsOf(testMarker), strings.ReplaceAll(detailsOf(testMarker), "/", `\u002f`), detailsInXML(`<x jobDescription="` + testMarker + `"/>`),
		detailsInXML(`<jobDescription>a<!-- --><![CDATA[b]]></jobDescription>`), `{"a":[1,{"b":{"jobDescription":5}}]}`, `{"jobDescription":" "}`,
	}
}

func addJobBodies(f *testing.F) {
	for _, body := range jobBodies() {
		f.Add([]byte(body))
	}
}

// FuzzJobList: an answer that is taken for an empty list says so itself, and
// every job that is listed is found by its own names.
func FuzzJobList(f *testing.F) {
	addJobBodies(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		for _, mayEnd := range []bool{false, true} {
			list, err := readJobList[jobSummary](opJobs, response{Status: 200, Body: body}, mayEnd)
			if !bytes.Equal(before, body) {
				t.Fatal("the answer was changed")
			}
			if err != nil {
				if e, ok := errors.AsType[*Error](err); !ok || e.Verdict != Unknown || e.Op != opJobs || len(list.Jobs) > 0 {
					t.Fatalf("%d jobs, error %v", len(list.Jobs), err)
				}
				if !bytes.Contains(body, []byte(testSecret)) {
					secretstest.NotShown(t, []string{testSecret}, err)
				}
				continue
			}
			if _, known := list.total(); len(list.Jobs) == 0 && !known && (!mayEnd || !bytes.Contains(body, []byte("jobs"))) {
				t.Fatalf("an empty list: %q", body)
			}
			var index jobIndex
			index.add(1, list)
			index.add(2, list)
			if len(index.jobs) > 2*len(list.Jobs) || index.rows < len(list.Jobs) {
				t.Fatalf("%d of %d jobs, %d rows", len(index.jobs), len(list.Jobs), index.rows)
			}
			for _, job := range index.jobs {
				task := testTask()
				names := job.Names
				task.ClientName, task.InstanceName = strings.ToUpper(names.Client), names.Instance
				task.BackupsetName, task.SubclientName = names.Backupset, names.Subclient
				if names.Client != "" && !strings.EqualFold(task.ClientName, names.Client) {
					continue // a few letters do not survive the way to capitals
				}
				found := false
				for _, other := range index.named(task) {
					found = found || other == job
				}
				if !found {
					t.Fatalf("%+v is not found by its names", job)
				}
			}
		}
	})
}

// FuzzDescription: a description is never made up, and never half of one.
func FuzzDescription(f *testing.F) {
	addJobBodies(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		text, err := jobDescription(body)
		switch {
		case !bytes.Equal(before, body):
			t.Fatal("the answer was changed")
		case err != nil && text != "", !utf8.ValidString(text), text != strings.TrimSpace(text):
			t.Fatalf("%q, error %v", text, err)
		case err == nil && len(trimmed(body)) == 0:
			t.Fatal("an empty answer is none")
		case text != "" && !bytes.Contains(body, []byte("jobDescription")) && !bytes.ContainsAny(body, `\`):
			t.Fatalf("%q has no name", text)
		case text != "" && utf8.Valid(body) && !bytes.Contains(body, []byte(text)) && !bytes.ContainsAny(body, "\\&\r<"):
			t.Fatalf("%q is not in the answer", text)
		}
	})
}

// FuzzJobInfo: a job has ended only if its status is one of those that end it.
func FuzzJobInfo(f *testing.F) {
	addJobBodies(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		info, err := readJob("7", response{Status: 200, Body: body})
		if err != nil {
			_, unseen := errors.AsType[*UnseenJobError](err)
			_, other := errors.AsType[*Error](err)
			if info != (JobInfo{}) || unseen == other {
				t.Fatalf("%+v, error %v", info, err)
			}
			if unseen && !bytes.ContainsAny(body, `0\&`) {
				t.Fatalf("nothing says that there is no job: %q", body)
			}
			return
		}
		means := meaningOf(info.Status)
		switch {
		case info.ID != "7", info.Status == "", info.State != means.state, info.Outcome != means.outcome:
			t.Fatalf("%+v", info)
		case info.Percent < 0, info.Percent > 100, info.SubmitErrorCode < 0:
			t.Fatalf("%+v", info)
		}
		for _, text := range []string{info.Status, info.Reason.Text, info.Reason.Code, info.Phase, info.Level} {
			if !utf8.ValidString(text) || len(text) > maxMessage+len("…") {
				t.Fatalf("%+v", info)
			}
		}
		for _, n := range []*int64{info.Sizes.Files, info.Sizes.FailedFiles, info.Sizes.FailedFolders, info.Sizes.Bytes, info.Sizes.MediaBytes} {
			if n != nil && *n < 0 {
				t.Fatalf("%+v", info.Sizes)
			}
		}
		for _, at := range []time.Time{info.Started, info.Ended, info.Updated} {
			if !at.IsZero() && at.Unix() <= 0 {
				t.Fatalf("%+v", info)
			}
		}
	})
}

// FuzzJobEvents: reasons are texts of the answer, at most two.
func FuzzJobEvents(f *testing.F) {
	addJobBodies(f)
	for _, body := range []string{killEvents, `{"commservEvents":[]}`, `{"commservEvents":{"eventCode":"318768185","severity":"9","description":"<b>x</b>"}}`,
		`<EventManager_EventListResponse><commservEvents eventCodeString="19:1081" severity="0" description="by user [a]" timeSource="1700000000"/></EventManager_EventListResponse>`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := readJobEvents("1", response{Status: 200, Body: body})
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Verdict != Unknown || e.Op != opEvents || events != nil {
				t.Fatalf("%v, error %v", events, err)
			}
			return
		}
		reasons, by := JobReasons(events)
		if len(reasons) > maxJobReasons || len(by) > maxMessage {
			t.Fatalf("%+v, %q", reasons, by)
		}
		for _, r := range reasons {
			if r.Text == "" || !utf8.ValidString(r.Text) || len(r.Text) > maxMessage+len("…") {
				t.Fatalf("%+v", r)
			}
		}
	})
}

// FuzzJobPage: every job of a page has an id and a status, and no page has more jobs than rows.
func FuzzJobPage(f *testing.F) {
	addJobBodies(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, offset := range []int{0, 1000} {
			page, err := readJobPage(response{Status: 200, Body: body}, offset)
			if err != nil {
				continue
			}
			if len(page.Jobs) > page.Rows || page.Total < -1 {
				t.Fatalf("%+v", page)
			}
			for _, info := range page.Jobs {
				if info.ID == "" || info.Status == "" {
					t.Fatalf("%+v", info)
				}
			}
		}
	})
}

// FuzzModernJSON: only names change, and what has no "@" before a name is as it was.
func FuzzModernJSON(f *testing.F) {
	addJobBodies(f)
	f.Add([]byte(`{"JobManager_JobListResponse":{"@totalRecordsWithoutPaging":"1","jobs":{"jobSummary":{"@jobId":"7","@status":"Killed","@":"@x"}}}}`))
	f.Add([]byte(`{"@a":1,"a":2}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		modern := modernJSON(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the answer was changed")
		}
		if !bytes.Contains(body, []byte(`"@`)) && !bytes.Equal(modern, body) {
			t.Fatalf("%q became %q", body, modern)
		}
		if jsontext.Value(body).IsValid(lenient) && !jsontext.Value(modern).IsValid(lenient) {
			t.Fatalf("%q became %q", body, modern)
		}
	})
}

// FuzzDelayReason: a reason is plain text and short.
func FuzzDelayReason(f *testing.F) {
	addJobBodies(f)
	f.Add([]byte(`{"job":{"jobDetail":{"progressInfo":{"reasonForJobDelay":"no <i>drive</i> free"}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		reason, err := readDelayReason(response{Status: 200, Body: body})
		if err != nil && reason != "" || !utf8.ValidString(reason) || len(reason) > maxMessage+len("…") {
			t.Fatalf("%q, error %v", reason, err)
		}
	})
}
