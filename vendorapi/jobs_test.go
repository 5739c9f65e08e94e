package vendorapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// summaryOf is a job of testTask's content group in a list.
func summaryOf(id int, started time.Time) string {
	return fmt.Sprintf(`{"jobSummary":{"jobId":%d,"jobStartTime":%d,"status":"Running","subclient":{`+
		`"clientName":"s-adhoc-object-storage","instanceName":"s-adhoc-object-storage","backupsetName":"defaultBackupSet","subclientName":"stestgroup"}}}`,
		id, started.Unix())
}

func listOf(total int, summaries ...string) string {
	return fmt.Sprintf(`{"totalRecordsWithoutPaging":%d,"jobs":[%s]}`, total, strings.Join(summaries, ","))
}

// listInXML is a list of one job, 7, as the web service writes it in XML.
func listInXML(total int, started time.Time, subclient string) string {
	return fmt.Sprintf(`<JobManager_JobListResponse totalRecordsWithoutPaging="%d"><jobs><jobSummary status="Running" jobStartTime="%d" jobId="7">`+
		`<subclient clientName="s-adhoc-object-storage" instanceName="s-adhoc-object-storage" backupsetName="defaultBackupSet" subclientName="%s"/>`+
		`<userName userName="backhaul"/></jobSummary></jobs></JobManager_JobListResponse>`, total, started.Unix(), subclient)
}

func detailsOf(description string) string {
	return fmt.Sprintf(`{"taskInfo":{"subTasks":[{"options":{"commonOpts":{"notifyUserOnJobCompletion":false,"jobDescription":%q}}}]}}`, description)
}

// detailsInXML is a task as the web service writes it in XML.
func detailsInXML(options string) string {
	return `<TMMsg_JobTaskDetailsResp><taskInfo><task taskId="4038"/><subTasks><options>` + options + `</options></subTasks></taskInfo></TMMsg_JobTaskDetailsResp>`
}

// TestTaskDetailsThatFail: what will never be shown leaves a candidate, what
// fails may be shown at the next look.
func TestTaskDetailsThatFail(t *testing.T) {
	at := func(status int) simulator.Fault { return simulator.Fault{Kind: simulator.Status, Status: status} }
	for _, tt := range []struct {
		fault     simulator.Fault
		candidate bool
	}{
		{at(400), true}, {at(403), true}, {at(404), true}, {at(405), true}, {at(501), true},
		{at(408), false}, {at(425), false}, {at(500), false}, {at(502), false}, {at(504), false}, {at(302), false},
		{simulator.Fault{Kind: simulator.HTML}, false}, {simulator.Fault{Kind: simulator.TooManyRequests}, false},
		{simulator.Fault{Kind: simulator.HalfBody}, false}, // net/http repeats a GET that is cut before the answer
		{simulator.Fault{Kind: simulator.Empty}, false}, {simulator.Fault{Kind: simulator.Malformed}, false}, {simulator.Fault{Kind: simulator.PlainText}, false},
	} {
		t.Run(tt.fault.String(), func(t *testing.T) {
			sim, c := onLoopback(t, simulator.Config{})
			since := time.Now()
			id := begin(t, c, testTask())
			sim.ScriptFor("TaskDetails", tt.fault)
			found, err := c.Find(t.Context(), testTask(), since)
			if tt.candidate {
				if err != nil {
					t.Fatal(err)
				}
				wantFound(t, found, nil, ids(id))
			} else {
				if err == nil {
					t.Fatalf("found %+v, want an error", found)
				}
				noSecrets(t, err)
				wantFound(t, found, nil, nil)
			}
			// What failed is asked again, a candidate too.
			wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
		})
	}
}

// TestBrokenNeighbour: details that always fail must not keep ours from being found.
func TestBrokenNeighbour(t *testing.T) {
	for status, body := range map[int]string{500: crashed, 502: "", 200: "Task details listed successfully."} {
		t.Run(fmt.Sprint(status), func(t *testing.T) { testBrokenNeighbour(t, status, body) })
	}
}

func testBrokenNeighbour(t *testing.T, status int, body string) {
	now := time.Now()
	v := startVendor(t, map[string]http.HandlerFunc{
		"Job": always(200, listOf(3, summaryOf(9, now), summaryOf(8, now), summaryOf(7, now))),
		"TaskDetails": func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.Contains(r.URL.Path, "/9/"):
				reply(w, status, body)
			case strings.Contains(r.URL.Path, "/8/"):
				reply(w, 200, detailsOf("somebody else's"))
			default:
				reply(w, 200, detailsOf(testMarker))
			}
		},
	})
	c := newTestClient(t, v.url)
	wantFound(t, mustFind(t, c, testTask(), now), ids("7"), nil)
	_, err := c.Find(t.Context(), loadTask(1), now) // its names match none of the three
	if err != nil {
		t.Error(err)
	}
	other := testTask()
	other.Marker = "backhaul:billing/other"
	if _, err := c.Find(t.Context(), other, now); err == nil {
		t.Error("nothing was found, and one description is missing: that is not nothing")
	}
}

// TestDeniedDetails: a user who may not see details is not asked for, nor logged in
// again, for each job of each look: the vendor counts calls and sessions.
func TestDeniedDetails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{JobDuration: time.Hour, Conflict: simulator.ConflictIgnore})
		since := time.Now()
		var want []string
		for range 3 {
			want = append([]string{begin(t, c, testTask())}, want...)
		}
		// Denied as it stands: the session goes on, unlike with the fault "401".
		no := simulator.Fault{Kind: simulator.Status, Status: 401, Body: denied}
		var faults []simulator.Fault
		for range 100 {
			faults = append(faults, no)
		}
		sim.ScriptFor("TaskDetails", faults...)
		wantFound(t, mustFind(t, c, testTask(), since), nil, want)
		// Who reads at the same time may each make sure, once.
		asked := sim.Account().Calls["WhoAmI"]
		if asked < votes || asked > maxReaders*2*votes {
			t.Errorf("asked %d times whose the token is", asked)
		}
		for range 5 {
			wantFound(t, mustFind(t, c, testTask(), since), nil, want)
		}
		if n := sim.Account().Calls["WhoAmI"]; n != asked {
			t.Errorf("asked %d times more", n-asked)
		}
		<-time.After(deniedPause)
		wantFound(t, mustFind(t, c, testTask(), since), nil, want)
		if n := sim.Account().Calls["WhoAmI"] - asked; n < 1 || n > maxReaders*2*votes {
			t.Errorf("asked %d times more", n)
		}
		if n := sim.Account().Logins; n != 1 {
			t.Errorf("%d logins", n)
		}
	})
}

// TestDeadTokenIsNoCandidate: a refused token does not say anything about
// the job, neither in the list nor in the details.
func TestDeadTokenIsNoCandidate(t *testing.T) {
	now := time.Now()
	for _, op := range []string{"Job", "TaskDetails"} {
		answers := map[string]http.HandlerFunc{
			"Job": always(200, listOf(1, summaryOf(7, now))), "WhoAmI": always(401, denied),
		}
		answers[op] = always(401, denied)
		v := startVendor(t, answers)
		found, err := newTestClient(t, v.url, byToken).Find(t.Context(), testTask(), now)
		if _, ok := errors.AsType[*LoginError](err); !ok {
			t.Errorf("%s: found %+v, error %v", op, found, err)
		}
		noSecrets(t, err)
	}
	// Neither does a login that fails, nor half of an answer.
	v := startVendor(t, map[string]http.HandlerFunc{
		"Job": always(200, listOf(1, summaryOf(7, now))), "TaskDetails": always(401, denied), "WhoAmI": always(401, denied),
	})
	c := newTestClient(t, v.url)
	if err := c.LogIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.session.current.made = time.Time{}
	v.mu.Lock()
	v.answer["Login"] = always(410, "")
	v.mu.Unlock()
	found, err := c.Find(t.Context(), testTask(), now)
	if e := wantVerdict(t, err, NotSent); e.Op != opLogin {
		t.Errorf("found %+v, error %v", found, err)
	}
	v = startVendor(t, map[string]http.HandlerFunc{
		"Job": always(200, listOf(1, summaryOf(7, now))),
		"TaskDetails": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			reply(w, 404, "half")
		},
	})
	if found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), now); err == nil {
		t.Errorf("found %+v", found)
	}
}

func TestByNumber(t *testing.T) {
	for i, a := range []string{"1", "9", "10", "99", "100"} {
		for j, b := range []string{"1", "9", "10", "99", "100"} {
			if got := byNumber(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("byNumber(%s, %s) = %s", a, b, strconv.Itoa(got))
			}
		}
	}
}
