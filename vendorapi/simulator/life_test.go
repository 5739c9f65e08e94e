package simulator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

// lived starts a job with a life.
func lived(t *testing.T, cfg simulator.Config, life string) (*simulator.Simulator, *client, string) {
	t.Helper()
	sim, c := direct(t, cfg)
	sim.StopClock(true)
	sim.ScriptLives(simulator.MustParseLife(life))
	return sim, c, c.start("stestgroup", "m")
}

// look returns what the job's summary shows, in short.
func (c *client) look(id string) string {
	c.t.Helper()
	got := c.get("/Job/" + id)
	if got.text("totalRecordsWithoutPaging") == "0" {
		return "-"
	}
	show := got.text("jobs.0.jobSummary.status")
	for _, member := range []string{"pendingReasonErrorCode", "jobSubmitErrorCode"} {
		if value := got.text("jobs.0.jobSummary." + member); value != "" {
			show += " " + value
		}
	}
	listed := func(category string) bool {
		return strings.Contains(strings.Join(c.get("/Job?jobCategory="+category).ids(), " "), id)
	}
	active, finished, all := listed("Active"), listed("Finished"), listed("All")
	switch {
	case active && !finished && all:
		return show + " active"
	case finished && !active && all:
		return show + " finished"
	}
	return fmt.Sprintf("%s active=%v finished=%v all=%v", show, active, finished, all)
}

func TestLife_EveryState(t *testing.T) {
	for life, want := range map[string]string{
		"waiting,pending,running,completed":                       "Waiting active, Pending 13:30 active, Running active, Completed finished",
		"queued,completed-with-warnings":                          "Queued active, Completed w/ one or more warnings finished",
		"suspended(ann later),running,completed-with-errors":      "Suspended active, Running active, Completed w/ one or more errors finished",
		"running,interrupt-pending,interrupted,waiting,committed": "Running active, Interrupt Pending active, Interrupted active, Waiting active, Committed finished",
		"suspend-pending,suspended":                               "Suspend Pending active, Suspended active, Suspended active",
		"failed":                                                  "Running active, Failed finished",
		"pending(19:579 no space),failed(13:30 no contact)":       "Pending 19:579 active, Failed 13:30 finished",
		"failed-to-start":                                         "Failed to Start 14 finished",
		"failed-to-start(8)":                                      "Failed to Start 8 finished",
		"no-run":                                                  "No Run finished",
		"kill-pending,killed(ann not needed)":                     "Kill Pending active, Killed finished",
		"other(Abnormal Terminated Cleanup),unverified,ended(Out of Tape)": "Abnormal Terminated Cleanup active, Running (cannot be verified) active, Out of Tape finished",
		"running,hidden,running,completed":                                 "Running active, -, Running active, Completed finished",
		"running,completed,hidden:4s":                                      "Running active, -, -, Completed finished",
		"running,completed,pruned:4s":                                      "Running active, Completed finished, Completed finished, -",
		"running,completed,aged:2s":                                        "Running active, Completed finished, Completed active=false finished=false all=false",
	} {
		t.Run(life, func(t *testing.T) {
			sim, c, id := lived(t, simulator.Config{}, life)
			for i, state := range strings.Split(want, ", ") {
				if i > 0 {
					sim.Advance(2 * time.Second)
				}
				if got := c.look(id); got != state {
					t.Fatalf("state %d is %q, want %q", i+1, got, state)
				}
			}
		})
	}
}

func TestLife_Figures(t *testing.T) {
	sim, c, id := lived(t, simulator.Config{}, "running,pending:1h,completed")
	sim.Advance(time.Second)
	c.get("/Job/"+id).want("jobs.0.jobSummary.percentComplete", "50", "jobs.0.jobSummary.totalNumOfFiles", "1906",
		"jobs.0.jobSummary.sizeOfApplication", "124911616", "jobs.0.jobSummary.jobEndTime", "", "jobs.0.jobSummary.currentPhaseName", "Backup")
	sim.Advance(time.Minute)
	c.get("/Job/"+id).want("jobs.0.jobSummary.percentComplete", "99", "jobs.0.jobSummary.totalNumOfFiles", "3812",
		"jobs.0.jobSummary.jobElapsedTime", "61", "jobs.0.jobSummary.currentPhaseName", "")
	sim.Advance(time.Hour)
	c.login()
	done := c.get("/Job/" + id)
	done.want("jobs.0.jobSummary.percentComplete", "100", "jobs.0.jobSummary.totalFailedFiles", "0", "jobs.0.jobSummary.percentSavings", "63")
	if done.text("jobs.0.jobSummary.jobEndTime") != done.text("jobs.0.jobSummary.lastUpdateTime") {
		t.Errorf("end and last update differ in %s", done.body)
	}
	c.post("/JobDetails", `{"jobId":`+id+`}`).want("job.jobDetail.detailInfo.numOfObjects", "3812",
		"job.jobDetail.detailInfo.dataXferedNetwork", "-999", "job.jobDetail.progressInfo.numOfFilesTransferred", "3812")

	_, c, id = lived(t, simulator.Config{}, "failed-to-start")
	c.get("/Job/"+id).want("jobs.0.jobSummary.percentComplete", "100", "jobs.0.jobSummary.jobElapsedTime", "0", "jobs.0.jobSummary.totalNumOfFiles", "0")

	sim, c, id = lived(t, simulator.Config{}, "empty")
	sim.Advance(time.Minute)
	c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Completed", "jobs.0.jobSummary.totalNumOfFiles", "0", "jobs.0.jobSummary.sizeOfApplication", "0")

	sim, c, id = lived(t, simulator.Config{ForgetReasons: true, Localized: map[string]string{"Failed": "Fehlgeschlagen"}}, "as(Full),pending,failed(13:30 no contact)")
	c.get("/Job/"+id).want("jobs.0.jobSummary.pendingReasonErrorCode", "13:30", "jobs.0.jobSummary.backupLevelName", "Full", "jobs.0.jobSummary.localizedStatus", "Pending")
	sim.Advance(time.Minute)
	c.get("/Job/"+id).want("jobs.0.jobSummary.pendingReasonErrorCode", "", "jobs.0.jobSummary.pendingReason", "",
		"jobs.0.jobSummary.status", "Failed", "jobs.0.jobSummary.localizedStatus", "Fehlgeschlagen", "jobs.0.jobSummary.backupLevel", "1")

	sim, c, id = lived(t, simulator.Config{OldRelease: true}, "completed")
	sim.Advance(time.Minute)
	c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Completed", "jobs.0.jobSummary.totalNumOfFiles", "",
		"jobs.0.jobSummary.jobEndTime", "", "jobs.0.jobSummary.userName", "")
}

func TestLife_ResubmittedUnderANewID(t *testing.T) {
	sim, c, id := lived(t, simulator.Config{}, "running,failed,pruned:1s,resubmitted")
	const next = "5977"
	if a, b := c.look(id), c.look(next); a != "Running active" || b != "-" {
		t.Errorf("at first %s, %s", a, b)
	}
	sim.Advance(2 * time.Second)
	if a, b := c.look(id), c.look(next); a != "Failed finished" || b != "Running active" {
		t.Errorf("then %s, %s", a, b)
	}
	sim.Advance(2 * time.Second)
	if a, b := c.look(id), c.look(next); a != "-" || b != "Failed finished" {
		t.Errorf("at last %s, %s", a, b)
	}
	c.get("/Job/"+next+"/TaskDetails").want("taskInfo.subTasks.0.options.commonOpts.jobDescription", "m", "taskInfo.task.taskId", "4039")
	if a := sim.Account(); a.JobsStarted != 1 || a.JobsResubmitted != 1 || len(a.JobsByMarker["m"]) != 1 {
		t.Errorf("%d started, %d resubmitted, %v", a.JobsStarted, a.JobsResubmitted, a.JobsByMarker)
	}
}

// A suspended job ends later, and its successor starts later.
func TestLife_ResubmittedAfterASuspension(t *testing.T) {
	sim, c, id := lived(t, simulator.Config{}, "running,failed,resubmitted")
	c.post("/Job/"+id+"/action/pause", "").want("errors", "")
	sim.Advance(time.Minute)
	if got := c.look("5977"); got != "-" {
		t.Errorf("the successor of a suspended job is %s", got)
	}
	c.post("/Job/"+id+"/action/resume", "").want("errors", "")
	sim.Advance(2 * time.Second)
	if a, b := c.look(id), c.look("5977"); a != "Failed finished" || b != "Running active" {
		t.Errorf("%s, %s", a, b)
	}

	sim, c, id = lived(t, simulator.Config{}, "running,failed,resubmitted")
	c.post("/Job/"+id+"/action/kill", "").want("errors", "")
	sim.Advance(time.Minute)
	if a, b := c.look(id), c.look("5977"); a != "Killed finished" || b != "-" {
		t.Errorf("after a kill: %s, %s", a, b)
	}
}

func TestSetLives_ByNameAndShare(t *testing.T) {
	rules, err := simulator.ParseLives("load-*/failed-to-start=0.25;load-*/no-run=0.25;other-*/*/no-run=1;stestgroup/pending,killed(ann stop)=1")
	if err != nil {
		t.Fatal(err)
	}
	sim, c := direct(t, simulator.Config{Lives: rules, Seed: 7})
	statuses := func() string {
		counts := make(map[string]int)
		for i := range 400 {
			counts[c.status(c.start(fmt.Sprintf("load-%d", i), fmt.Sprintf("m-%d", i)))]++
		}
		return fmt.Sprint(counts)
	}
	first := statuses()
	if got := c.status(c.start("stestgroup", "x")); got != "Pending" {
		t.Errorf("a job of stestgroup is %s", got)
	}
	sim.Reset()
	c.login()
	if again := statuses(); again != first || first != "map[Failed to Start:112 No Run:88 Running:200]" {
		t.Errorf("%s, and with the same seed %s", first, again)
	}
	sim.SetLives(nil)
	if got := c.status(c.start("stestgroup", "x")); got != "Running" {
		t.Errorf("without rules a job is %s", got)
	}
}

func TestSetLife_FromNowOn(t *testing.T) {
	sim, c, id := lived(t, simulator.Config{}, "running:1h,completed")
	sim.Advance(time.Minute)
	if err := sim.SetLife(id, simulator.MustParseLife("pending:5s,committed")); err != nil {
		t.Fatal(err)
	}
	if got := c.look(id); got != "Pending 13:30 active" {
		t.Errorf("now %s", got)
	}
	sim.Advance(5 * time.Second)
	if got := c.look(id); got != "Committed finished" {
		t.Errorf("then %s", got)
	}
	for _, bad := range []string{id, "1", "x"} {
		if err := sim.SetLife(bad, simulator.Life{}); err == nil {
			t.Errorf("job %s got another life", bad)
		}
	}
}

// A queue waits for an endless job and moves on when it is killed.
func TestLife_QueueBehindAnEndlessJob(t *testing.T) {
	sim, c, first := lived(t, simulator.Config{}, "pending")
	second, third := c.start("stestgroup", ""), c.start("stestgroup", "")
	sim.Advance(29 * time.Minute)
	for _, id := range []string{second, third} {
		c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Queued", "jobs.0.jobSummary.pendingReason", "Another job is running for the subclient. The job is queued.")
	}
	c.post("/Job/"+first+"/action/kill", "").want("errors", "")
	if a, b := c.look(second), c.look(third); a != "Running active" || b != "Queued active" {
		t.Errorf("%s, %s", a, b)
	}
	sim.Advance(2 * time.Second)
	if a, b := c.look(second), c.look(third); a != "Completed finished" || b != "Running active" {
		t.Errorf("%s, %s", a, b)
	}
}

// A job that is suspended makes the jobs behind it wait.
func TestLife_QueueBehindASuspendedJob(t *testing.T) {
	sim, c, first := lived(t, simulator.Config{}, "running:10s,completed")
	second := c.start("stestgroup", "")
	c.post("/Job/"+first+"/action/pause", "").want("errors", "")
	sim.Advance(time.Minute)
	if a, b := c.look(first), c.look(second); a != "Suspended active" || b != "Queued active" {
		t.Errorf("%s, %s", a, b)
	}
	c.post("/Job/"+first+"/action/resume", "").want("errors", "")
	sim.Advance(10 * time.Second)
	if a, b := c.look(first), c.look(second); a != "Completed finished" || b != "Running active" {
		t.Errorf("%s, %s", a, b)
	}
}

func TestParseLife_Errors(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "unknown word",
		"oops":                        `unknown word "oops"`,
		"oops:1s":                     `unknown step "oops"`,
		"pending:soon":                "not a duration",
		"pending:-1s":                 "not a duration",
		"pending(a":                   "closing parenthesis",
		"pending(a(b))":               "closing parenthesis",
		"other":                       "unknown word",
		"completed,running":           "after the end",
		"completed,failed":            "after the end",
		"completed,aged":              "after the end",
		"completed,aged:forever":      "after the end",
		"failed-to-start(no licence)": "not a submit error code",
		"as(Half),completed":          "must be one of Full",
	} {
		if got, err := simulator.ParseLife(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want an error with %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"failed": "must be life=probability", "failed=2": "between 0 and 1", "failed=x": "between 0 and 1",
		"a/b/c/failed=1": "must be [[client/]", "[/failed=1": "pattern", "oops=1": "unknown word",
	} {
		if got, err := simulator.ParseLives(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want an error with %q", text, got, err, want)
		}
	}
	if _, err := simulator.ParseLifeScript("failed;oops"); err == nil {
		t.Error("a script with an unknown word is accepted")
	}
}

func FuzzParseLives(f *testing.F) {
	f.Add("load-*/pending:2m(13:30 no contact; none),hidden:3s,killed(ann no, really)=0.1;failed=0.2")
	f.Add("running:forever,ended(Gone),aged:1h,pruned:2h,resubmitted=1")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := simulator.ParseLives(text)
		if err != nil {
			return
		}
		simulator.New(simulator.Config{Lives: rules})
		for _, r := range rules {
			if r.Life.End.Status == "" && len(r.Life.Steps) == 0 || !(r.Probability >= 0 && r.Probability <= 1) {
				t.Errorf("%q: %+v", text, r)
			}
		}
	})
}
