package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/schemas"
	"backhaul/vendorapi/internal/http1"
	"backhaul/vendorapi/simulator"
)

// inXML makes the vendor answer in XML, whatever it was asked for.
func inXML(c *Client) {
	c.send = func(ctx context.Context, r *http1.Request) (http1.Answer, error) {
		for i := range r.Header {
			if r.Header[i].Name == "Accept" {
				r.Header[i].Value = "application/xml"
			}
		}
		return c.transport.Do(ctx, r)
	}
}

// spellings are the ways in which the simulator can write an answer.
var spellings = []struct {
	name string
	xml  bool
	odd  simulator.Kind
}{
	{"JSON", false, ""}, {"odd JSON", false, simulator.OddSpelling}, {"one object", false, simulator.OneObject},
	{"text for numbers", false, simulator.TextNumbers}, {"JSON made from XML", false, simulator.OldJSON},
	{"XML", true, ""}, {"odd XML", true, simulator.OddSpelling},
}

// TestEverySpelling: a job is found, and its state read, however it is written.
func TestEverySpelling(t *testing.T) {
	for _, s := range spellings {
		t.Run(s.name, func(t *testing.T) {
			sim, c := onLoopback(t, simulator.Config{Conflict: simulator.ConflictIgnore, JobDuration: time.Hour})
			since := time.Now()
			if s.xml {
				inXML(c)
			}
			if s.odd != "" {
				sim.SetFaults([]simulator.Chance{{Fault: simulator.Fault{Kind: s.odd}, Endpoint: simulator.Reads, Probability: 1}})
			}
			wantFound(t, mustFind(t, c, testTask(), since), nil, nil)
			other := testTask()
			other.Marker = `backhaul:billing/"<&>'/`
			want := [2]string{begin(t, c, testTask()), begin(t, c, other)}
			wantFound(t, mustFind(t, c, testTask(), since), ids(want[0]), nil)
			wantFound(t, mustFind(t, c, other, since), ids(want[1]), nil)
			if state := mustState(t, c, want[0]); state.Status != "Running" || state.Started.Before(since.Add(-time.Second)) {
				t.Errorf("%+v", state)
			}
			kill(t, c, want[0])
			if page, err := c.ListJobs(t.Context(), JobQuery{Category: FinishedJobs, Lookback: time.Hour}); err != nil || page.Total != 1 ||
				len(page.Jobs) != 1 || page.Jobs[0].Outcome != schemas.OutcomeKilled || page.Jobs[0].ID != want[0] || page.Jobs[0].Ended.IsZero() {
				t.Errorf("%+v, %v", page, err)
			}
			events, err := c.JobEvents(t.Context(), want[0])
			if reasons, _ := JobReasons(events); err != nil || len(reasons) == 0 || reasons[0].Code != "19:1081" {
				t.Errorf("%+v, %v", events, err)
			}
			_, err = c.Job(t.Context(), "5")
			if _, ok := errors.AsType[*UnseenJobError](err); !ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

func mustState(t *testing.T, c *Client, id string) JobInfo {
	t.Helper()
	state, err := c.Job(t.Context(), id)
	if err != nil {
		noSecrets(t, err)
		t.Fatal(err)
	}
	if state.ID != id {
		t.Errorf("the state of job %s, not %s", state.ID, id)
	}
	return state
}

// kill ends a job as an operator would.
func kill(t *testing.T, c *Client, id string) {
	t.Helper()
	resp, err := c.authorised(t.Context(), call{op: "JobAction", method: http.MethodPost, path: "/Job/" + id + "/action/kill", accept: "application/json"})
	if body := strings.TrimSpace(string(resp.Body)); err != nil || body != "{}" && body != "<JobManager_PerformJobOpResp/>" {
		t.Fatalf("%s: %v", resp.Body, err)
	}
}

// TestJobLife follows jobs of the simulator from their start to each end.
func TestJobLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{JobDuration: 100 * time.Second})
		start := time.Now()
		var jobs []string
		want := []schemas.Outcome{schemas.OutcomeCompleted, schemas.OutcomeFailed, schemas.OutcomeCompletedWithErrors, schemas.OutcomeCommitted, schemas.OutcomeKilled, schemas.OutcomeFailedToStart}
		sim.Script(
			simulator.Fault{Kind: simulator.None}, simulator.Fault{Kind: simulator.EndsFailed}, simulator.Fault{Kind: simulator.EndsWithErrors},
			simulator.Fault{Kind: simulator.EndsCommitted}, simulator.Fault{Kind: simulator.None}, simulator.Fault{Kind: simulator.FailedToStart},
		)
		for i := range want {
			jobs = append(jobs, begin(t, c, loadTask(i)))
		}
		at := start.Truncate(time.Second)
		state := mustState(t, c, jobs[5])
		if state.Status != "Failed to Start" || state.Outcome != schemas.OutcomeFailedToStart || state.Percent != 100 ||
			state.Reason.Text != "License [Cloud Apps] is not active at this time." || !state.Ended.Equal(at) {
			t.Errorf("%+v", state)
		}
		<-time.After(50 * time.Second)
		for _, id := range jobs[:5] {
			state := mustState(t, c, id)
			if state.Status != "Running" || state.Outcome != "" || state.Percent != 50 || state.Reason.Text != "" ||
				!state.Started.Equal(at) || !state.Ended.IsZero() || !state.Updated.Equal(at.Add(50*time.Second)) {
				t.Errorf("%+v", state)
			}
		}
		kill(t, c, jobs[4])
		<-time.After(time.Minute)
		for i, id := range jobs {
			state := mustState(t, c, id)
			ends := map[schemas.Outcome]time.Duration{schemas.OutcomeFailedToStart: 0, schemas.OutcomeKilled: 50 * time.Second}
			end, special := ends[want[i]]
			if !special {
				end = 100 * time.Second
			}
			percent := 100
			if want[i] == schemas.OutcomeKilled {
				percent = 50
			}
			if state.Outcome != want[i] || state.Percent != percent || !state.Ended.Equal(at.Add(end)) {
				t.Errorf("job %d: %+v, want %s", i, state, want[i])
			}
		}
	})
}

// TestQueuedJob: in a blackout window a job waits, and runs by itself afterwards
// unless it is killed.
func TestQueuedJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{Blackout: true, JobDuration: time.Minute})
		runs, dies := begin(t, c, testTask()), begin(t, c, loadTask(1))
		<-time.After(48 * time.Hour)
		for _, id := range []string{runs, dies} {
			state := mustState(t, c, id)
			if state.Status != "Queued" || state.Outcome != "" || state.Percent != 0 || !strings.Contains(state.Reason.Text, "operation window") {
				t.Errorf("%+v", state)
			}
		}
		kill(t, c, dies)
		if state := mustState(t, c, dies); state.Outcome != schemas.OutcomeKilled || state.Percent != 0 {
			t.Errorf("%+v", state)
		}
		sim.SetBlackout(false)
		if state := mustState(t, c, runs); state.Status != "Running" || state.Reason.Text != "" {
			t.Errorf("%+v", state)
		}
		<-time.After(time.Minute)
		if state := mustState(t, c, runs); state.Outcome != schemas.OutcomeCompleted {
			t.Errorf("%+v", state)
		}
	})
}

// TestUnseenJob: a job that is not shown yet is not a job that does not exist.
func TestUnseenJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := onPipe(t, simulator.Config{VisibleAfter: 20 * time.Second, JobDuration: time.Hour})
		id := begin(t, c, testTask())
		_, err := c.Job(t.Context(), id)
		if unseen, ok := errors.AsType[*UnseenJobError](fmt.Errorf("wrapped: %w", err)); !ok || unseen.ID != id {
			t.Errorf("error %v", err)
		}
		<-time.After(20 * time.Second)
		if state := mustState(t, c, id); state.Status != "Running" {
			t.Errorf("%+v", state)
		}
	})
}

// TestMeaningOf_everyStatus: a status is compared whole, in any case, and never in the user's
// language. What is not in the table is neither an end nor a reason to say that a job waits.
func TestMeaningOf_everyStatus(t *testing.T) {
	final := func(o schemas.Outcome) meaning { return meaning{StateFinished, o} }
	for status, want := range map[string]meaning{
		"Completed": final(schemas.OutcomeCompleted), "Completed w/ one or more errors": final(schemas.OutcomeCompletedWithErrors),
		"Completed w/ one or more warnings": final(schemas.OutcomeCompletedWithWarnings), "Committed": final(schemas.OutcomeCommitted),
		"Failed": final(schemas.OutcomeFailed), "Failed to Start": final(schemas.OutcomeFailedToStart), "Killed": final(schemas.OutcomeKilled),
		"No Run":    final(schemas.OutcomeNoRun),
		"COMPLETED": final(schemas.OutcomeCompleted), " killed ": final(schemas.OutcomeKilled), "failed TO start": final(schemas.OutcomeFailedToStart),

		"Running": {state: StateRunning}, "Running (cannot be verified)": {state: StateRunning}, "Waiting": {state: StateWaiting},
		"Pending": {state: StatePending}, "Queued": {state: StateQueued}, "Suspended": {state: StateSuspended},
		"Suspend": {state: StateSuspending}, "Suspend Pending": {state: StateSuspending}, "Kill Pending": {state: StateStopping},
		"Interrupt Pending": {state: StateInterrupted}, "Interrupted": {state: StateInterrupted}, "Abnormal Terminated Cleanup": {state: StateStopping},

		"Not Completed": {state: StateUnknown}, "Completed w/ something new": {state: StateUnknown}, "Failing": {state: StateUnknown},
		"Skipped": {state: StateUnknown}, "Terminé": {state: StateUnknown}, "Partially committed": {state: StateUnknown},
	} {
		body := fmt.Sprintf(`{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":7,"status":%q,"localizedStatus":"Completed"}}]}`, status)
		info, err := readJob("7", response{Status: 200, Body: []byte(body)})
		if got := (meaning{info.State, info.Outcome}); err != nil || got != want || info.Status != strings.TrimSpace(status) {
			t.Errorf("%q: %+v, %v, want %+v", status, info, err, want)
		}
		if (want.state == StateFinished) != (want.outcome != "") {
			t.Errorf("%q: only a finished job has an outcome", status)
		}
	}
}

// The mistakes that published clients make with statuses.
func TestMeaningOf_mistakesOfOtherClients(t *testing.T) {
	ends := func(status string) bool { return meaningOf(status).state == StateFinished }
	for _, c := range []struct {
		client, status string
		ends           bool
	}{
		{"smatechnologies/commvault-java follows these for ever", "Committed", true},
		{"smatechnologies/commvault-java follows these for ever", "Killed", true},
		{"gomorpheus/morpheus-commvault-plugin calls these cancelled", "Suspend Pending", false},
		{"gomorpheus/morpheus-commvault-plugin calls these cancelled", "Interrupted", false},
		{"gomorpheus/morpheus-commvault-plugin does not know it", "Committed", true},
		{"cvpysdk takes any text with a final word in it for final", "Not yet completed", false},
		{"cvpysdk takes any text with a final word in it for final", "Kill Pending", false},
		{"cvpysdk kills what waits for 30 minutes", "Pending", false},
		{"cvpysdk kills what waits for 30 minutes", "Waiting", false},
		{"others have a status of their own", "TIMEOUT", false},
	} {
		if ends(c.status) != c.ends {
			t.Errorf("%s: %q is an end: %v", c.client, c.status, !c.ends)
		}
	}
	if kept := meaningOf("Committed").outcome; kept.KeptAll() || !kept.Kept() {
		t.Error("cvpysdk takes Committed for success: only a part is kept")
	}
}

// TestStates: members that are missing, of another type or in another format.
func TestStates(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for _, tt := range []struct {
		name, body string
		want       JobInfo
	}{
		{"little", `{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":"7","status":"Queued"}}]}`, JobInfo{Status: "Queued"}},
		{"text for numbers", `{"jobs":[{"jobSummary":{"jobId":"7","status":"Completed","percentComplete":"100","jobStartTime":"1700000000","jobEndTime":"1700000060","lastUpdateTime":"0"}}]}`,
			JobInfo{Status: "Completed", Outcome: schemas.OutcomeCompleted, Percent: 100, Started: at, Ended: at.Add(time.Minute)}},
		{"XML", `<JobManager_JobListResponse totalRecordsWithoutPaging="1"><jobs><jobSummary percentComplete="99.990000" jobId="7" status="Running" pendingReason="a &lt;b&gt;c&lt;/b&gt;" lastUpdateTime="1700000000"/></jobs></JobManager_JobListResponse>`,
			JobInfo{Status: "Running", Percent: 99, Reason: JobReason{Text: "a c"}, Updated: at}},
		{"values that cannot be", `{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":7,"status":"Running","percentComplete":"NaN","jobStartTime":-999,"jobEndTime":9223372036854775807}}]}`, JobInfo{Status: "Running"}},
		{"percent above 100", `{"jobs":[{"jobSummary":{"jobId":7,"status":"Running","percentComplete":1e300}}]}`, JobInfo{Status: "Running", Percent: 100}},
		{"percent below 0", `{"jobs":[{"jobSummary":{"jobId":7,"status":"Running","percentComplete":-5}}]}`, JobInfo{Status: "Running"}},
		{"every member", `{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":7,"status":"Failed to Start","localizedStatus":"x","backupLevelName":"Synthetic Full","currentPhaseName":"Scan",
			"pendingReason":"r","pendingReasonErrorCode":"13:30","jobSubmitErrorCode":14,"totalNumOfFiles":0,"totalFailedFiles":"2","totalFailedFolders":3.0,"sizeOfApplication":9007199254740995,"sizeOfMediaOnDisk":-999}}]}`,
			JobInfo{Status: "Failed to Start", Outcome: schemas.OutcomeFailedToStart, Level: "Synthetic Full", Phase: "Scan", Reason: JobReason{Code: "13:30", Text: "r"}, SubmitErrorCode: 14,
				Sizes: schemas.JobSizes{Files: new(int64(0)), FailedFiles: new(int64(2)), FailedFolders: new(int64(3)), Bytes: new(int64(9007199254740995))}}},
		{"one job for a list", `{"totalRecordsWithoutPaging":1,"jobs":{"jobSummary":{"jobId":7,"status":"Waiting"}}}`, JobInfo{Status: "Waiting"}},
		{"repeated elements of XML", `<JobManager_JobListResponse totalRecordsWithoutPaging="2"><jobs><jobSummary jobId="8" status="Failed"/></jobs><jobs><jobSummary jobId="7" status="No Run" totalNumOfFiles="-999"/></jobs></JobManager_JobListResponse>`,
			JobInfo{Status: "No Run", Outcome: schemas.OutcomeNoRun}},
		{"among others", `{"totalRecordsWithoutPaging":2,"jobs":[{"jobSummary":{"jobId":8,"status":"Failed"}},{"jobSummary":{"jobId":7,"status":"Killed"}}]}`, JobInfo{Status: "Killed", Outcome: schemas.OutcomeKilled}},
	} {
		tt.want.ID, tt.want.State = "7", meaningOf(tt.want.Status).state
		state, err := readJob("7", response{Status: 200, Body: []byte(tt.body)})
		if err != nil || !reflect.DeepEqual(state, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, state, err, tt.want)
		}
	}
}

// TestStatesThatFail: what does not say how the job is must not end its story,
// and is not taken for a job that is not shown.
func TestStatesThatFail(t *testing.T) {
	for _, body := range []string{
		``, `{}`, `[]`, `null`, `OK`, `{"jobs":[]}`, `{"totalRecordsWithoutPaging":1}`, `{"totalRecordsWithoutPaging":0,"errorCode":2}`,
		`{"totalRecordsWithoutPaging":1,"jobs":[{}]}`, `{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":7}}]}`,
		`{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":7,"status":"","localizedStatus":"Completed"}}]}`,
		`{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":8,"status":"Completed"}}]}`,
		`{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"status":"Completed"}}]}`,
		`<html><title>Sign in</title></html>`, `<JobManager_JobListResponse/>`, `<App_GenericResp errorCode="2"/>`,
	} {
		v := startVendor(t, map[string]http.HandlerFunc{"7": always(200, body)})
		state, err := newTestClient(t, v.url).Job(t.Context(), "7")
		if e := wantVerdict(t, err, Unknown); state != (JobInfo{}) || e.Op != opJob {
			t.Errorf("%s: %+v, %v", body, state, err)
		}
	}
	for status, verdict := range map[int]Verdict{404: Unknown, 500: Unknown, 502: Unknown, 429: Throttled, 503: Throttled} {
		v := startVendor(t, map[string]http.HandlerFunc{"7": always(status, `{"totalRecordsWithoutPaging":0}`)})
		_, err := newTestClient(t, v.url).Job(t.Context(), "7")
		if e := wantVerdict(t, err, verdict); e.Status != status {
			t.Errorf("%+v", e)
		}
	}
	v := startVendor(t, map[string]http.HandlerFunc{})
	for _, id := range []string{"", "0", "-7", "7/action/kill", "../Jobs", "7?x", "seven"} {
		_, err := newTestClient(t, v.url).Job(t.Context(), id)
		wantVerdict(t, err, NotSent)
	}
	if v.logins != 0 {
		t.Error("something was sent for an id that is none")
	}
}

func TestPlainText(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", " a\r\n b ": "a b",
		`Waiting.<br/>See <a href="https://x.invalid/?a=1&amp;b=2">KB</a> &amp; retry`: "Waiting. See KB & retry",
		"a < b > c": "a < b > c", "&lt;b&gt;": "<b>", "<!-- hidden -->x": "x", "<unclosed": "<unclosed",
		"5<6 and <b>bold</b>": "5<6 and bold",
	} {
		if got := plainText(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
