package vendorapi

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

func TestClient_ownCA(t *testing.T) {
	sim := simulator.New(simulator.Config{})
	c := overTLS(true, unchanged)(t, sim)
	job, err := c.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	if protos := transportOf(c).TLSClientConfig.NextProtos; len(protos) != 0 {
		t.Errorf("HTTP/2 is offered: %q", protos)
	}
}

// TestCreateTask_unclearAnswers: an answer that is not clear is Unknown, and the simulator's
// jobs show why: some of these started one. Nothing is sent twice.
func TestCreateTask_unclearAnswers(t *testing.T) {
	for _, tt := range []struct {
		fault simulator.Fault
		jobs  int
	}{
		{simulator.Fault{Kind: simulator.PlainText}, 1},
		{simulator.Fault{Kind: simulator.Empty}, 1},
		{simulator.Fault{Kind: simulator.Malformed}, 1},
		{simulator.Fault{Kind: simulator.TaskOnly}, 0},
		{simulator.Fault{Kind: simulator.Crash}, 0},
		{simulator.Fault{Kind: simulator.Crash, AfterStart: true}, 1},
		{simulator.Fault{Kind: simulator.HTML, AfterStart: true}, 1},
		{simulator.Fault{Kind: simulator.Status, Status: http.StatusBadGateway, AfterStart: true}, 1},
		{simulator.Fault{Kind: simulator.Status, Status: http.StatusGatewayTimeout, AfterStart: true}, 1},
		{simulator.Fault{Kind: simulator.Status, Status: http.StatusForbidden, AfterStart: true}, 1},
		{simulator.Fault{Kind: simulator.Status, Status: http.StatusFound, AfterStart: true, Header: map[string]string{"Location": "/done"}}, 1},
		{simulator.Fault{Kind: simulator.Status, Status: http.StatusSeeOther, AfterStart: true, Header: map[string]string{"Location": "/tasks"}}, 1},
	} {
		t.Run(fmt.Sprintf("%s jobs=%d", tt.fault, tt.jobs), func(t *testing.T) {
			sim, c := onLoopback(t, simulator.Config{})
			since := time.Now()
			// The login's connection is reused: only then could a request be sent twice.
			if _, err := c.session.token(t.Context()); err != nil {
				t.Fatal(err)
			}
			sim.Script(tt.fault)
			job, err := c.CreateTask(t.Context(), testTask())
			e := wantVerdict(t, err, Unknown)
			if named := e.TaskID != ""; named != (tt.fault.Kind == simulator.TaskOnly) {
				t.Errorf("task %q in %v", e.TaskID, err)
			}
			if job.ID != "" {
				t.Errorf("job %+v beside %v", job, err)
			}
			a := sim.Account()
			if a.CreateTaskCalls != 1 || a.JobsStarted != tt.jobs {
				t.Errorf("%d calls, %d jobs, want 1 and %d", a.CreateTaskCalls, a.JobsStarted, tt.jobs)
			}
			found, err := c.Find(t.Context(), testTask(), since)
			if err != nil {
				t.Fatal(err)
			}
			if (found.Job.ID != "") != (tt.jobs == 1) || len(found.Candidates) > 0 {
				t.Errorf("found %+v with %d jobs", found, tt.jobs)
			}
		})
	}
}

// TestCreateTask_definiteAnswers are the simulator's answers that promise "no job".
func TestCreateTask_definiteAnswers(t *testing.T) {
	for _, tt := range []struct {
		fault simulator.Fault
		want  Verdict
	}{
		{simulator.Fault{Kind: simulator.Refused500}, Refused},
		{simulator.Fault{Kind: simulator.TooManyRequests}, Throttled},
		{simulator.Fault{Kind: simulator.Unavailable}, Throttled},
		{simulator.Fault{Kind: simulator.Status, Status: http.StatusNotFound}, NotSent},
		{simulator.Fault{Kind: simulator.Status, Status: http.StatusBadRequest, Body: "Request body is empty or format is invalid."}, Refused},
	} {
		t.Run(tt.fault.String(), func(t *testing.T) {
			sim, c := onLoopback(t, simulator.Config{})
			sim.Script(tt.fault)
			_, err := c.CreateTask(t.Context(), testTask())
			wantVerdict(t, err, tt.want)
			if a := sim.Account(); a.CreateTaskCalls != 1 || a.JobsStarted != 0 {
				t.Errorf("%d calls, %d jobs, want 1 and none", a.CreateTaskCalls, a.JobsStarted)
			}
		})
	}
}

func TestClassify_anOddSpellingIsAStart(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{})
	sim.Script(simulator.Fault{Kind: simulator.OddSpelling}, simulator.Fault{Kind: simulator.FailedToStart})
	for range 2 {
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err) // a job that fails to start has an id as well
	}
}

// TestCreateTask_aResetBeforeReading: a server that never reads. Whether bytes had been
// written is a race of the two kernels; that there may be a job is the safe side.
func TestCreateTask_aResetBeforeReading(t *testing.T) {
	for range 50 {
		sim := simulator.New(simulator.Config{})
		c := behind(func(client, _ net.Conn) { hardReset(client) })(t, sim)
		_, err := c.createTask(t.Context(), testTask())
		if v := VerdictOf(err); err == nil || v != Unknown && v != NotSent {
			t.Fatalf("%v", err)
		}
		if n := sim.Account().CreateTaskCalls; n != 0 {
			t.Fatalf("%d calls", n)
		}
	}
}

// TestCreateTask_notSentIsNeverSeen cancels calls at random moments: what is reported as
// not sent must not have arrived.
func TestCreateTask_notSentIsNeverSeen(t *testing.T) {
	sim := simulator.New(simulator.Config{JobDuration: time.Hour, Conflict: simulator.ConflictIgnore})
	server := httptest.NewUnstartedServer(sim)
	server.Config.ErrorLog = discard
	server.StartTLS()
	c := newTestClient(t, server.URL+"/webconsole/api", byToken)
	transportOf(c).TLSClientConfig = &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}

	var mu sync.Mutex
	verdicts := make(map[string]Verdict)
	var workers sync.WaitGroup
	for worker := range 8 {
		workers.Go(func() {
			for i := range 60 {
				task := loadTask(worker*1000 + i)
				// From 50 µs to 100 ms: in the handshake, in the write, in the answer.
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Microsecond<<rand.IntN(12))
				_, err := c.CreateTask(ctx, task)
				cancel()
				verdict := started
				if err != nil {
					verdict = VerdictOf(err)
				}
				mu.Lock()
				verdicts[task.Marker] = verdict
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	transportOf(c).CloseIdleConnections()
	server.Close() // waits for the handlers

	count := make(map[Verdict]int)
	jobs := sim.Account().JobsByMarker
	for marker, v := range verdicts {
		count[v]++
		switch n := len(jobs[marker]); {
		case n > 1, v == started && n != 1, v == NotSent && n != 0:
			t.Errorf("%s: %s with %d jobs", marker, v, n)
		case v != started && v != NotSent && v != Unknown:
			t.Errorf("%s: %s", marker, v)
		}
	}
	t.Logf("started %d, not sent %d, unknown %d", count[started], count[NotSent], count[Unknown])
	if count[NotSent] == 0 || count[NotSent] == len(verdicts) {
		t.Error("the calls were all cancelled at one place: nothing was tested")
	}
}
