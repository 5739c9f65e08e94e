package simulator_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

// Whatever happens to jobs, an ended job keeps its status and end, each shown job is either
// active or finished, and both lists together are all jobs.
func TestLife_RandomActions(t *testing.T) {
	lives := strings.Split("completed;waiting:3s,pending:9s,running:5s,failed;failed-to-start;no-run;suspended,running,committed;pending;"+
		"hidden:4s,running,empty;running:4s,killed(ann),hidden:6s;running,failed,resubmitted;running:30s,completed-with-errors", ";")
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 14))
		sim, c := direct(t, simulator.Config{ActionTime: time.Second, TokenIdle: 24 * time.Hour})
		sim.StopClock(true)
		ended := make(map[string]string)
		for step := range 150 {
			id := fmt.Sprint(5976 + random.IntN(step+1))
			switch random.IntN(8) {
			case 0, 1:
				sim.ScriptLives(simulator.MustParseLife(lives[random.IntN(len(lives))]))
				c.start([]string{"stestgroup", "load-1", "load-2"}[random.IntN(3)], fmt.Sprint(step))
			case 2, 3:
				sim.Advance(time.Duration(random.IntN(6000)) * time.Millisecond)
			case 4:
				sim.SetBlackout(random.IntN(3) == 0)
			case 5:
				_ = sim.SetLife(id, simulator.MustParseLife(lives[random.IntN(len(lives))])) // the job may have ended
			default:
				c.post("/Job/"+id+"/action/"+[]string{"pause", "resume", "kill", "resubmit"}[random.IntN(4)], "")
			}
			checkLists(t, c, ended)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type listedJob struct {
	JobSummary struct {
		JobID             int
		Status            string
		JobStartTime      int64
		JobEndTime        any
		PercentComplete   int
		TotalNumOfFiles   int64
		SizeOfApplication int64
	}
}

func (c *client) list(category string) (jobs map[string]listedJob) {
	c.t.Helper()
	var list struct {
		TotalRecordsWithoutPaging int
		Jobs                      []listedJob
	}
	if err := json.Unmarshal([]byte(c.get("/Job?jobCategory="+category, "limit: 1000").body), &list); err != nil {
		c.t.Fatal(err)
	}
	jobs = make(map[string]listedJob)
	for _, j := range list.Jobs {
		jobs[fmt.Sprint(j.JobSummary.JobID)] = j
	}
	if len(jobs) != len(list.Jobs) || len(jobs) != list.TotalRecordsWithoutPaging {
		c.t.Errorf("%s: %d jobs, %d listed, %d in total", category, len(jobs), len(list.Jobs), list.TotalRecordsWithoutPaging)
	}
	return jobs
}

func checkLists(t *testing.T, c *client, ended map[string]string) {
	t.Helper()
	all, active, finished := c.list("All"), c.list("Active"), c.list("Finished")
	if len(all) != len(active)+len(finished) {
		t.Errorf("%d jobs, %d active, %d finished", len(all), len(active), len(finished))
	}
	actives := []string{"Queued", "Waiting", "Pending", "Running", "Suspended", "Suspend Pending", "Kill Pending"}
	for id, j := range all {
		s := j.JobSummary
		_, isActive := active[id]
		_, isFinished := finished[id]
		if isActive == isFinished || isActive != slices.Contains(actives, s.Status) || isActive != (s.JobEndTime == nil) {
			t.Errorf("job %s is %s, active %v, finished %v, end %v", id, s.Status, isActive, isFinished, s.JobEndTime)
		}
		if s.PercentComplete < 0 || s.PercentComplete > 100 || isActive && s.PercentComplete == 100 || s.TotalNumOfFiles < 0 || s.SizeOfApplication < 0 {
			t.Errorf("job %s: %+v", id, s)
		}
		if isFinished {
			end := fmt.Sprint(s.Status, s.JobStartTime, s.JobEndTime)
			if known := ended[id]; known != "" && known != end {
				t.Errorf("job %s ended as %s, and is now %s", id, known, end)
			}
			ended[id] = end
		} else if ended[id] != "" {
			t.Errorf("job %s ended as %s, and is active again", id, ended[id])
		}
	}
}

// Requests about jobs are answered whatever their body.
func FuzzJobRequests(f *testing.F) {
	f.Add(`{"message":1,"jobOpReq":{"operationType":0,"jobs":[{"jobId":5976}]},"operationDescription":"why"}`)
	f.Add(`{"JobManager_PerformMultiCellJobOpReq":{"jobOpReq":{"operationType":"JOB_SUSPEND"},"message":"ALL_JOBS"}}`)
	f.Add(`{"category":1,"pagingConfig":{"limit":-1},"jobFilter":{"showAgedJobs":true,"statusList":["x"]}}`)
	f.Add(`{"jobId":5976,"showAttempt":true}`)
	f.Fuzz(func(t *testing.T, body string) {
		_, c := direct(t, simulator.Config{})
		c.start("stestgroup", "")
		for _, path := range []string{"/Jobs", "/JobDetails", "/Jobs/MultiJobOperation", "/QCommand/qoperation%20execute"} {
			got, err := c.send(http.MethodPost, path, body)
			if err != nil || got.status != http.StatusOK && got.status != http.StatusBadRequest {
				t.Errorf("%s with %q: %d, %v", path, body, got.status, err)
			}
		}
	})
}
