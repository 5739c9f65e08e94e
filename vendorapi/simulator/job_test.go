package simulator_test

import (
	"net/http"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

func TestJob_RunsByTheClock(t *testing.T) {
	now := newClock()
	_, c := direct(t, simulator.Config{Now: now.Now})
	id := c.start("stestgroup", "backhaul:billing/inv-7")
	c.get("/Job/"+id).want(
		"totalRecordsWithoutPaging", "1",
		"jobs.0.jobSummary.jobId", id,
		"jobs.0.jobSummary.status", "Running",
		"jobs.0.jobSummary.localizedStatus", "Running",
		"jobs.0.jobSummary.jobType", "Backup",
		"jobs.0.jobSummary.opType", "4",
		"jobs.0.jobSummary.backupLevel", "2",
		"jobs.0.jobSummary.backupLevelName", "Incremental",
		"jobs.0.jobSummary.jobStartTime", "1795428000",
		"jobs.0.jobSummary.jobEndTime", "",
		"jobs.0.jobSummary.percentComplete", "0",
		"jobs.0.jobSummary.currentPhaseName", "Backup",
		"jobs.0.jobSummary.isVisible", "true",
		"jobs.0.jobSummary.subclient.clientName", "s-adhoc-object-storage",
		"jobs.0.jobSummary.subclient.instanceName", "s-adhoc-object-storage",
		"jobs.0.jobSummary.subclient.backupsetName", "defaultBackupSet",
		"jobs.0.jobSummary.subclient.subclientName", "stestgroup",
		"jobs.0.jobSummary.subclient.appName", "Cloud Apps",
		"jobs.0.jobSummary.userName.userName", "backhaul",
	)
	now.pass(1500 * time.Millisecond)
	c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Running", "jobs.0.jobSummary.percentComplete", "75",
		"jobs.0.jobSummary.jobElapsedTime", "1")
	now.pass(time.Second)
	c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Completed", "jobs.0.jobSummary.percentComplete", "100",
		"jobs.0.jobSummary.jobElapsedTime", "2", "jobs.0.jobSummary.jobEndTime", "1795428002")

	root, attributes, children := tree(t, c.get("/Job/"+id, "Accept: application/xml").body)
	summary := children[0].([]any)[2].([]any)[0].([]any)
	values := summary[1].(map[string]string)
	if root != "JobManager_JobListResponse" || attributes["totalRecordsWithoutPaging"] != "1" ||
		summary[0] != "jobSummary" || values["percentComplete"] != "100.000000" || values["isVisible"] != "1" {
		t.Errorf("%s %v %v", root, attributes, summary)
	}
}

func TestJob_UnknownIsAnEmptyList(t *testing.T) {
	_, c := direct(t, simulator.Config{})
	for _, id := range []string{"1", "5976", "99999999999999999999", "x"} {
		c.get("/Job/"+id).want("totalRecordsWithoutPaging", "0", "jobs", "")
	}
	c.get("/Job/5976/TaskDetails").want("taskInfo", "", "error.errList.0.errorCode", "2")
	c.post("/JobDetails", `{"jobId":5976}`).want("job", "", "error.errList.0.errorCode", "2")
	c.call(http.StatusBadRequest, http.MethodPost, "/JobDetails", "")
}

func TestJob_VisibleAfter(t *testing.T) {
	now := newClock()
	sim, c := direct(t, simulator.Config{Now: now.Now, VisibleAfter: 10 * time.Second})
	id := c.start("stestgroup", "m")
	unseen := func() {
		t.Helper()
		c.get("/Job/"+id).want("totalRecordsWithoutPaging", "0")
		c.get("/Job").want("totalRecordsWithoutPaging", "0")
		c.post("/Jobs", `{}`).want("totalRecordsWithoutPaging", "0")
		c.get("/Job/"+id+"/TaskDetails").want("taskInfo", "")
		c.post("/JobDetails", `{"jobId":`+id+`}`).want("job", "")
	}
	unseen()
	now.pass(9999 * time.Millisecond)
	unseen()
	now.pass(time.Millisecond)
	c.post("/Jobs", `{}`).want("totalRecordsWithoutPaging", "1", "jobs.0.jobSummary.status", "Completed")
	if n := sim.Account().JobsStarted; n != 1 {
		t.Errorf("%d jobs", n)
	}
}

func TestTaskDetails_Description(t *testing.T) {
	const path = "taskInfo.subTasks.0.options.commonOpts.jobDescription"
	marker := `backhaul:billing/a "quoted" <name>`
	_, c := direct(t, simulator.Config{})
	id := c.start("stestgroup", marker)
	c.get("/Job/"+id+"/TaskDetails").want(path, marker, "taskInfo.task.taskId", "4038", "taskInfo.task.taskType", "1")
	root, _, _ := tree(t, c.get("/Job/"+id+"/TaskDetails", "Accept: application/xml").body)
	if root != "TMMsg_JobTaskDetailsResp" {
		t.Errorf("root %s", root)
	}

	_, c = direct(t, simulator.Config{HideDescriptions: true})
	id = c.start("stestgroup", marker)
	c.get("/Job/"+id+"/TaskDetails").want(path, "", "taskInfo.task.taskId", "4038")
}

func TestJobDetails(t *testing.T) {
	now := newClock()
	_, c := direct(t, simulator.Config{Now: now.Now})
	id := c.start("stestgroup", "")
	got := c.post("/JobDetails", `{"jobId":`+id+`,"showAttempt":true}`)
	got.want("job.jobDetail.generalInfo.taskData.taskId", "4038",
		"job.jobDetail.generalInfo.jobStartedBy", "backhaul",
		"job.jobDetail.generalInfo.jobStartedFrom", "Interactive",
		"job.jobDetail.generalInfo.startTime", "1795428000",
		"job.jobDetail.generalInfo.priority", "-999",
		"job.jobDetail.progressInfo.state", "Running")
	xml := c.post("/JobDetails", `<JobManager_JobDetailRequest jobId="`+id+`"/>`, "Content-Type: application/xml")
	if xml.body != got.body {
		t.Errorf("asked in XML %s\nasked in JSON %s", xml.body, got.body)
	}
}

func TestConflict_Queue(t *testing.T) {
	now := newClock()
	_, c := direct(t, simulator.Config{Now: now.Now})
	first, second, third := c.start("stestgroup", ""), c.start("stestgroup", ""), c.start("stestgroup", "")
	other := c.start("load-1", "")
	statuses := func(want ...string) {
		t.Helper()
		for i, id := range []string{first, second, third, other} {
			if got := c.status(id); got != want[i] {
				t.Errorf("%v: job %d is %s, want %s", now.now, i+1, got, want[i])
			}
		}
	}
	statuses("Running", "Queued", "Queued", "Running")
	now.pass(2 * time.Second)
	statuses("Completed", "Running", "Queued", "Completed")
	c.post("/Job/"+second+"/action/kill", "").want("errors", "")
	statuses("Completed", "Killed", "Running", "Completed")
	now.pass(2 * time.Second)
	statuses("Completed", "Killed", "Completed", "Completed")
}

func TestJobAction_Kill(t *testing.T) {
	now := newClock()
	_, c := direct(t, simulator.Config{Now: now.Now})
	first, second, third := c.start("stestgroup", ""), c.start("stestgroup", ""), c.start("stestgroup", "")
	now.pass(time.Second)
	c.post("/Job/"+second+"/action/Kill", "").want("errors", "")
	now.pass(999 * time.Millisecond)
	if a, b, c := c.status(first), c.status(second), c.status(third); a != "Running" || b != "Killed" || c != "Queued" {
		t.Errorf("%s, %s, %s", a, b, c)
	}
	now.pass(time.Millisecond)
	if got := c.status(third); got != "Running" {
		t.Errorf("the third job is %s once the first has ended", got)
	}
	for path, body := range map[string]string{
		"/Job/" + first + "/action/kill":    "is not active",
		"/Job/1/action/kill":                "does not exist",
		"/Job/" + third + "/action/suspend": "does not know",
	} {
		got := c.post(path, body)
		if got.text("errors.0.errList.0.errorCode") == "" {
			t.Errorf("%s: %s", path, got.body)
		}
	}
}

func TestConflict_RefuseAndIgnore(t *testing.T) {
	now := newClock()
	sim, c := direct(t, simulator.Config{Now: now.Now, Conflict: simulator.ConflictRefuse})
	c.start("stestgroup", "")
	c.post("/CreateTask", task("stestgroup", "")).want("errorCode", "2", "taskId", "")
	c.start("load-1", "")
	now.pass(2 * time.Second)
	c.start("stestgroup", "")
	if n := sim.Account().JobsStarted; n != 3 {
		t.Errorf("%d jobs", n)
	}

	_, c = direct(t, simulator.Config{Now: now.Now, Conflict: simulator.ConflictIgnore})
	first, second := c.start("stestgroup", ""), c.start("stestgroup", "")
	if a, b := c.status(first), c.status(second); a != "Running" || b != "Running" {
		t.Errorf("%s, %s", a, b)
	}
}

func TestSetBlackout_QueuesJobs(t *testing.T) {
	now := newClock()
	sim, c := direct(t, simulator.Config{Now: now.Now, Blackout: true})
	first, second, killed := c.start("stestgroup", ""), c.start("stestgroup", ""), c.start("load-1", "")
	now.pass(20 * time.Minute)
	for _, id := range []string{first, second, killed} {
		if got := c.status(id); got != "Queued" {
			t.Errorf("job %s is %s", id, got)
		}
	}
	c.post("/Job/"+killed+"/action/kill", "").want("errors", "")
	c.get("/Job/"+killed).want("jobs.0.jobSummary.status", "Killed", "jobs.0.jobSummary.percentComplete", "0")
	c.get("/Job?jobCategory=Active").want("totalRecordsWithoutPaging", "2")

	sim.SetBlackout(false)
	if a, b := c.status(first), c.status(second); a != "Running" || b != "Queued" {
		t.Errorf("after the window: %s, %s", a, b)
	}
	now.pass(4 * time.Second)
	if a, b, k := c.status(first), c.status(second), c.status(killed); a != "Completed" || b != "Completed" || k != "Killed" {
		t.Errorf("in the end: %s, %s, %s", a, b, k)
	}
}

func TestEvents(t *testing.T) {
	sim, c := direct(t, simulator.Config{})
	sim.Script(simulator.Fault{Kind: simulator.FailedToStart})
	failed, good := c.start("stestgroup", ""), c.start("stestgroup", "")
	c.get("/Events?jobId="+failed).want("commservEvents.0.eventCodeString", "19:168", "commservEvents.0.severity", "9")
	c.get("/Events?jobId="+good).want("commservEvents", "[]")
}

func TestParseConflict(t *testing.T) {
	for _, mode := range []simulator.Conflict{simulator.ConflictQueue, simulator.ConflictRefuse, simulator.ConflictIgnore} {
		if got, err := simulator.ParseConflict(mode.String()); got != mode || err != nil {
			t.Errorf("%v: %v, %v", mode, got, err)
		}
	}
	if _, err := simulator.ParseConflict("x"); err == nil {
		t.Error("x is a conflict mode")
	}
}
