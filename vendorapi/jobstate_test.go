package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	name     string
	xml, odd bool
}{{"JSON", false, false}, {"odd JSON", false, true}, {"XML", true, false}, {"odd XML", true, true}}

// TestEverySpelling: a job is found, and its state read, however it is written.
func TestEverySpelling(t *testing.T) {
	for _, s := range spellings {
		t.Run(s.name, func(t *testing.T) {
			sim, c := onLoopback(t, simulator.Config{Conflict: simulator.ConflictIgnore, JobDuration: time.Hour})
			since := time.Now()
			if s.xml {
				inXML(c)
			}
			if s.odd {
				chances, err := simulator.ParseFaults("Jobs/odd-spelling=1,TaskDetails/odd-spelling=1,Job/odd-spelling=1")
				if err != nil {
					t.Fatal(err)
				}
				sim.SetFaults(chances)
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
			_, err := c.JobState(t.Context(), "5")
			if _, ok := errors.AsType[*UnseenJobError](err); !ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

func mustState(t *testing.T, c *Client, id string) JobState {
	t.Helper()
	state, err := c.JobState(t.Context(), id)
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
	if err != nil || strings.TrimSpace(string(resp.Body)) != "{}" {
		t.Fatalf("%s: %v", resp.Body, err)
	}
}

// TestJobLife follows jobs of the simulator from their start to each end.
func TestJobLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{JobDuration: 100 * time.Second})
		start := time.Now()
		var jobs []string
		want := []Final{Completed, Failed, CompletedWithErrors, Committed, Killed, FailedToStart}
		sim.Script(
			simulator.Fault{Kind: simulator.None}, simulator.Fault{Kind: simulator.EndsFailed}, simulator.Fault{Kind: simulator.EndsWithErrors},
			simulator.Fault{Kind: simulator.EndsCommitted}, simulator.Fault{Kind: simulator.None}, simulator.Fault{Kind: simulator.FailedToStart},
		)
		for i := range want {
			jobs = append(jobs, begin(t, c, loadTask(i)))
		}
		at := start.Truncate(time.Second)
		state := mustState(t, c, jobs[5])
		if state.Status != "Failed to Start" || state.Final != FailedToStart || state.Percent != 100 ||
			state.PendingReason != "License [Cloud Apps] is not active at this time." || !state.Ended.Equal(at) {
			t.Errorf("%+v", state)
		}
		<-time.After(50 * time.Second)
		for _, id := range jobs[:5] {
			state := mustState(t, c, id)
			if state.Status != "Running" || state.Final != NotFinal || state.Percent != 50 || state.PendingReason != "" ||
				!state.Started.Equal(at) || !state.Ended.IsZero() || !state.Updated.Equal(at.Add(50*time.Second)) {
				t.Errorf("%+v", state)
			}
		}
		kill(t, c, jobs[4])
		<-time.After(time.Minute)
		for i, id := range jobs {
			state := mustState(t, c, id)
			ends := map[Final]time.Duration{FailedToStart: 0, Killed: 50 * time.Second}
			end, special := ends[want[i]]
			if !special {
				end = 100 * time.Second
			}
			percent := 100
			if want[i] == Killed {
				percent = 50
			}
			if state.Final != want[i] || state.Percent != percent || !state.Ended.Equal(at.Add(end)) {
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
			if state.Status != "Queued" || state.Final != NotFinal || state.Percent != 0 || !strings.Contains(state.PendingReason, "operation window") {
				t.Errorf("%+v", state)
			}
		}
		kill(t, c, dies)
		if state := mustState(t, c, dies); state.Final != Killed || state.Percent != 0 {
			t.Errorf("%+v", state)
		}
		sim.SetBlackout(false)
		if state := mustState(t, c, runs); state.Status != "Running" || state.PendingReason != "" {
			t.Errorf("%+v", state)
		}
		<-time.After(time.Minute)
		if state := mustState(t, c, runs); state.Final != Completed {
			t.Errorf("%+v", state)
		}
	})
}

// TestUnseenJob: a job that is not shown yet is not a job that does not exist.
func TestUnseenJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := onPipe(t, simulator.Config{VisibleAfter: 20 * time.Second, JobDuration: time.Hour})
		id := begin(t, c, testTask())
		_, err := c.JobState(t.Context(), id)
		if unseen, ok := errors.AsType[*UnseenJobError](fmt.Errorf("wrapped: %w", err)); !ok || unseen.ID != id {
			t.Errorf("error %v", err)
		}
		<-time.After(20 * time.Second)
		if state := mustState(t, c, id); state.Status != "Running" {
			t.Errorf("%+v", state)
		}
	})
}

// TestStatuses: the documented list of states.
func TestStatuses(t *testing.T) {
	for status, want := range map[string]Final{
		"Completed": Completed, "Completed w/ one or more errors": CompletedWithErrors,
		"Completed w/ one or more warnings": CompletedWithErrors, "Committed": Committed,
		"Failed": Failed, "Failed to Start": FailedToStart, "Killed": Killed,
		"COMPLETED": Completed, " killed ": Killed, "failed TO start": FailedToStart,

		"Running": NotFinal, "Waiting": NotFinal, "Pending": NotFinal, "Queued": NotFinal, "Suspend Pending": NotFinal,
		"Suspend": NotFinal, "Suspended": NotFinal, "Kill Pending": NotFinal, "Interrupt Pending": NotFinal,
		"Interrupted": NotFinal, "Running (cannot be verified)": NotFinal, "Abnormal Terminated Cleanup": NotFinal,
		"Not Completed": NotFinal, "Completed w/ something new": NotFinal, "Failing": NotFinal, "Terminé": NotFinal,
	} {
		body := fmt.Sprintf(`{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":7,"status":%q,"localizedStatus":"Completed"}}]}`, status)
		state, err := readJobState("7", response{Status: 200, Body: []byte(body)})
		if err != nil || state.Final != want || state.Status != strings.TrimSpace(status) {
			t.Errorf("%q: %+v, %v", status, state, err)
		}
	}
}

// TestStates: members that are missing, of another type or in another format.
func TestStates(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for _, tt := range []struct {
		name, body string
		want       JobState
	}{
		{"little", `{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":"7","status":"Queued"}}]}`, JobState{Status: "Queued"}},
		{"text for numbers", `{"jobs":[{"jobSummary":{"jobId":"7","status":"Completed","percentComplete":"100","jobStartTime":"1700000000","jobEndTime":"1700000060","lastUpdateTime":"0"}}]}`,
			JobState{Status: "Completed", Final: Completed, Percent: 100, Started: at, Ended: at.Add(time.Minute)}},
		{"XML", `<JobManager_JobListResponse totalRecordsWithoutPaging="1"><jobs><jobSummary percentComplete="99.990000" jobId="7" status="Running" pendingReason="a &lt;b&gt;c&lt;/b&gt;" lastUpdateTime="1700000000"/></jobs></JobManager_JobListResponse>`,
			JobState{Status: "Running", Percent: 99, PendingReason: "a c", Updated: at}},
		{"values that cannot be", `{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":7,"status":"Running","percentComplete":"NaN","jobStartTime":-999,"jobEndTime":9223372036854775807}}]}`, JobState{Status: "Running"}},
		{"percent above 100", `{"jobs":[{"jobSummary":{"jobId":7,"status":"Running","percentComplete":1e300}}]}`, JobState{Status: "Running", Percent: 100}},
		{"percent below 0", `{"jobs":[{"jobSummary":{"jobId":7,"status":"Running","percentComplete":-5}}]}`, JobState{Status: "Running"}},
		{"among others", `{"totalRecordsWithoutPaging":2,"jobs":[{"jobSummary":{"jobId":8,"status":"Failed"}},{"jobSummary":{"jobId":7,"status":"Killed"}}]}`, JobState{Status: "Killed", Final: Killed}},
	} {
		tt.want.ID = "7"
		state, err := readJobState("7", response{Status: 200, Body: []byte(tt.body)})
		if err != nil || state != tt.want {
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
		state, err := newTestClient(t, v.url).JobState(t.Context(), "7")
		if e := wantVerdict(t, err, Unknown); state != (JobState{}) || e.Op != opJob {
			t.Errorf("%s: %+v, %v", body, state, err)
		}
	}
	for status, verdict := range map[int]Verdict{404: Unknown, 500: Unknown, 502: Unknown, 429: Throttled, 503: Throttled} {
		v := startVendor(t, map[string]http.HandlerFunc{"7": always(status, `{"totalRecordsWithoutPaging":0}`)})
		_, err := newTestClient(t, v.url).JobState(t.Context(), "7")
		if e := wantVerdict(t, err, verdict); e.Status != status {
			t.Errorf("%+v", e)
		}
	}
	v := startVendor(t, map[string]http.HandlerFunc{})
	for _, id := range []string{"", "0", "-7", "7/action/kill", "../Jobs", "7?x", "seven"} {
		_, err := newTestClient(t, v.url).JobState(t.Context(), id)
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
