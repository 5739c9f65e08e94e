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

	"backhaul/vendorapi/simulator"
)

// TestDescription_isKept: they never change, so none is asked for twice.
func TestDescription_isKept(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	since := time.Now()
	var want []string
	for i := range 5 {
		task := testTask()
		task.Marker = fmt.Sprintf("backhaul:other/%d", i)
		begin(t, c, task)
	}
	want = append(want, begin(t, c, testTask()))
	nobody := testTask()
	nobody.Marker = "backhaul:nobody/1"
	for range 3 {
		wantFound(t, mustFind(t, c, nobody, since), nil, nil) // all are read
		wantFound(t, mustFind(t, c, testTask(), since), want, nil)
	}
	if n := sim.Account().Calls["TaskDetails"]; n != 6 {
		t.Errorf("%d descriptions of 6 jobs were read", n)
	}
	// Our own start is known without asking.
	task := testTask()
	task.Marker = "backhaul:own/1"
	job, err := c.CreateTask(t.Context(), task)
	wantJob(t, job, err)
	wantFound(t, mustFind(t, c, task, since), job.IDs, nil)
	if n := sim.Account().Calls["TaskDetails"]; n != 6 {
		t.Errorf("the description of our own job was read")
	}
}

func TestDescription_keptOnesAreBounded(t *testing.T) {
	var d known
	for i := range 3 * maxKnown {
		d.put(fmt.Sprint(i), "text")
		if len(d.byID) > maxKnown {
			t.Fatalf("%d are kept", len(d.byID))
		}
	}
	if d.byID[fmt.Sprint(3*maxKnown-1)] != "text" {
		t.Error("the last one is forgotten")
	}
}

// TestDescription_isShared: who asks at the same time gets the same answer, a
// failure too, and the call ends when no caller waits for it.
func TestDescription_isShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{JobDuration: time.Hour})
		id := begin(t, c, testTask())
		read := func(ctx context.Context) chan error {
			done := make(chan error, 1)
			go func() {
				text, err := c.description(ctx, id)
				if err == nil && text != testMarker {
					err = fmt.Errorf("read %q", text)
				}
				done <- err
			}()
			synctest.Wait()
			return done
		}
		wantCalls := func(want int) {
			t.Helper()
			if n := sim.Account().Calls[opTaskDetails]; n != want {
				t.Errorf("%d calls, want %d", n, want)
			}
		}

		chances, err := simulator.ParseFaults("TaskDetails/slow=1s,TaskDetails/502-after-start=1")
		if err != nil {
			t.Fatal(err)
		}
		sim.SetFaults(chances)
		for _, done := range []chan error{read(t.Context()), read(t.Context()), read(t.Context())} {
			if e := wantVerdict(t, <-done, Unknown); e.Op != opTaskDetails || e.Status != 502 {
				t.Errorf("%+v", e)
			}
		}
		sim.SetFaults(nil)
		wantCalls(1)

		// One leaves, the other keeps the call.
		slowly(sim, opTaskDetails, 1)
		ctx, leave := context.WithCancel(t.Context())
		left, stays := read(ctx), read(t.Context())
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if err := <-stays; err != nil {
			t.Error(err)
		}
		wantCalls(2)

		// The only one leaves: the next has a call of its own.
		c.forget()
		sim.ScriptFor(opTaskDetails, simulator.Fault{Kind: simulator.HangAfterStart})
		ctx, leave = context.WithCancel(t.Context())
		left = read(ctx)
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		began := time.Now()
		if err := <-read(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("error %v after %s", err, time.Since(began))
		}
		wantCalls(4)
	})
}

// TestDescription_readersAreBounded: the descriptions of many jobs are read a few at a time, and
// none after the vendor has asked for a pause.
func TestDescription_readersAreBounded(t *testing.T) {
	const jobs = 5 * maxReaders
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{Conflict: simulator.ConflictIgnore, JobDuration: time.Hour})
		since := time.Now()
		var want []string
		for range jobs {
			want = append(want, begin(t, c, testTask()))
		}
		slowly(sim, opTaskDetails, jobs)
		began := time.Now()
		wantFound(t, mustFind(t, c, testTask(), since), want, nil)
		a := sim.Account()
		if took := time.Since(began); took != jobs/maxReaders*time.Second || a.Calls[opTaskDetails] != jobs {
			t.Errorf("%d descriptions in %s", a.Calls[opTaskDetails], took)
		}
		c.forget()
		for range jobs {
			sim.ScriptFor(opTaskDetails, simulator.Fault{Kind: simulator.Unavailable, For: time.Second})
		}
		_, err := c.Find(t.Context(), testTask(), since)
		wantVerdict(t, err, Throttled)
		if n := sim.Account().Calls[opTaskDetails] - jobs; n > maxReaders {
			t.Errorf("%d descriptions are asked for in a pause", n)
		}
	})
}

// TestDescription_shapes: where the text stands, and what it must be, to be proof.
func TestDescription_shapes(t *testing.T) {
	long := "backhaul:billing/" + strings.Repeat("x", 100)
	for _, tt := range []struct {
		name, marker, body string
		proof, candidate   bool
	}{
		{"as recorded", testMarker, detailsOf(testMarker), true, false},
		{"elsewhere", testMarker, `{"a":[1,{"b":{"jobDescription":"` + testMarker + `"}}]}`, true, false},
		{"empty first", testMarker, `{"a":{"jobDescription":""},"b":{"jobDescription":"` + testMarker + `"}}`, true, false},
		{"white space around", testMarker, detailsOf(" " + testMarker + "\n"), true, false},
		{"escaped", testMarker, strings.ReplaceAll(detailsOf(testMarker), "/", `\u002f`), true, false},
		{"another encoding beside", testMarker, "{\"x\":\"caf\xe9\"," + detailsOf(testMarker)[1:], true, false},
		{"none", testMarker, `{"taskInfo":{}}`, false, true},
		{"an error", testMarker, `{"error":{"errList":[{"errorCode":2,"errorMessage":"Task details not available."}]}}`, false, true},
		{"null", testMarker, `{"jobDescription":null}`, false, true},
		{"as a value", testMarker, `{"name":"jobDescription","value":"` + testMarker + `"}`, false, true},
		{"another's", testMarker, detailsOf("backhaul:billing/other"), false, false},
		{"another's, in another encoding", testMarker, strings.ReplaceAll(detailsOf("caf@"), "@", "\xe9"), false, false},
		{"another's, half a character", testMarker, strings.ReplaceAll(detailsOf("caf@"), "@", `\ud83d`), false, false},
		{"XML, another's, in another encoding", testMarker, detailsInXML("<x jobDescription=\"caf\xe9\"/>"), false, false},
		{"a name twice", testMarker, `{"a":1,"a":2,"jobDescription":"` + testMarker + `"}`, true, false},
		{"longer", testMarker, detailsOf(testMarker + "-2"), false, false},
		{"shorter: another's id", testMarker, detailsOf(testMarker[:len(testMarker)-1]), false, false},
		{"cut by the vendor", long, detailsOf(long[:100]), false, true},
		{"cut very short", long, detailsOf(long[:30]), false, false},
		{"long and another's", long, detailsOf(long[:90] + "y"), false, false},
		{"no marker to look for", "", `{}`, false, true},
		{"blank first", testMarker, `{"a":{"jobDescription":" \n"},"b":{"jobDescription":"` + testMarker + `"}}`, true, false},
		{"a byte order mark", testMarker, "\ufeff" + detailsOf(testMarker), true, false},
		{"XML attribute", testMarker, detailsInXML(`<commonOpts notifyUserOnJobCompletion="0" jobDescription="` + testMarker + `"/>`), true, false},
		{"XML element", testMarker, detailsInXML(`<commonOpts><jobDescription>` + "\r\n " + testMarker + ` </jobDescription></commonOpts>`), true, false},
		{"XML, in pieces", testMarker, detailsInXML(`<jobDescription>backhaul:billing/<![CDATA[inv-2026]]><!-- x -->-11-23-0007</jobDescription>`), true, false},
		{"XML, escaped", `backhaul:a/"<&>'`, detailsInXML(`<x jobDescription="backhaul:a/&quot;&lt;&amp;&gt;&#39;"/>`), true, false},
		{"XML, empty first", testMarker, detailsInXML(`<x jobDescription=" "/><jobDescription/><jobDescription> </jobDescription><y jobDescription="` + testMarker + `"/>`), true, false},
		{"XML, on the root", testMarker, `<TMMsg_JobTaskDetailsResp jobDescription="` + testMarker + `"/>`, true, false},
		{"XML, another encoding beside", testMarker, detailsInXML("<x name=\"caf\xe9\" jobDescription=\"" + testMarker + `"/>`), true, false},
		{"XML, none", testMarker, detailsInXML(""), false, true},
		{"XML, an error", testMarker, `<TMMsg_JobTaskDetailsResp><error><errList errorCode="2" errorMessage="Task details not available."/></error></TMMsg_JobTaskDetailsResp>`, false, true},
		{"XML, as a value", testMarker, detailsInXML(`<x name="jobDescription" value="` + testMarker + `"/>`), false, true},
		{"XML, beside an element", testMarker, detailsInXML(`<jobDescription/>` + testMarker), false, true},
		{"XML, another's", testMarker, detailsInXML(`<x jobDescription="backhaul:billing/other"/>`), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			v := startVendor(t, map[string]http.HandlerFunc{"Job": always(200, listOf(1, summaryOf(7, now))), "TaskDetails": always(200, tt.body)})
			task := testTask()
			task.Marker = tt.marker
			var proof, candidate []string
			if tt.proof {
				proof = ids("7")
			}
			if tt.candidate {
				candidate = ids("7")
			}
			wantFound(t, mustFind(t, newTestClient(t, v.url), task, now), proof, candidate)
		})
	}
}

// TestDescription_anAnswerThatIsNotOfTheAPI: a body that is not an answer of the API is requested again, and
// proves nothing meanwhile.
func TestDescription_anAnswerThatIsNotOfTheAPI(t *testing.T) {
	now := time.Now()
	for _, body := range []string{
		"", "null", "[]", `"text"`, "7", "Task details listed successfully.", `{"taskInfo":`, `{"jobDescription":"x`,
		"<html><title>Sign in</title></html>", `<page jobDescription="` + testMarker + `"/>`, `<TMMsg_JobTaskDetailsResp>`,
		`<TMMsg_JobTaskDetailsResp><jobDescription>` + testMarker, `<TMMsg_JobTaskDetailsResp></x>`, "<", "<!DOCTYPE HTML>\r\n<HTML>",
	} {
		v := startVendor(t, map[string]http.HandlerFunc{"Job": always(200, listOf(1, summaryOf(7, now))), "TaskDetails": always(200, body)})
		found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), now)
		if e, ok := errors.AsType[*Error](err); !ok || e.Op != opTaskDetails || found.Job.ID != "" || len(found.Candidates) > 0 {
			t.Errorf("%q: found %+v, error %v", body, found, err)
		}
	}
}
