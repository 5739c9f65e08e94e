package simulator_test

import (
	"net/http"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

func TestJobAction_PauseAndResume(t *testing.T) {
	sim, c, id := lived(t, simulator.Config{ActionTime: time.Second}, "running:10s,completed")
	sim.Advance(4 * time.Second)
	c.post("/Job/"+id+"/Action/Pause", "").want("errors", "")
	if got := c.look(id); got != "Suspend Pending active" {
		t.Errorf("after the request %s", got)
	}
	c.post("/Job/"+id+"/action/pause", "").want("errors.0.errList.0.errLogMessage", "Job ["+id+"] is already suspended.")
	sim.Advance(20 * time.Minute)
	c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Suspended", "jobs.0.jobSummary.percentComplete", "40")
	c.post("/job/"+id+"/action/RESUME", "").want("errors", "")
	c.post("/Job/"+id+"/action/resume", "").want("errors.0.errList.0.errLogMessage", "Job ["+id+"] is running.")
	sim.Advance(5999 * time.Millisecond)
	c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Running", "jobs.0.jobSummary.percentComplete", "99")
	sim.Advance(time.Millisecond)
	if got := c.look(id); got != "Completed finished" {
		t.Errorf("at the end %s", got)
	}
	events := c.get("/Events?jobId=" + id)
	events.want("commservEvents.0.eventCodeString", "19:979", "commservEvents.0.eventCode", "318768083", "commservEvents.1.eventCodeString", "19:1086",
		"commservEvents.1.description", "The job was suspended by user [backhaul]. Reason:[]", "commservEvents.2", "")
}

func TestJobAction_ResumeOfAPendingJob(t *testing.T) {
	sim, c, id := lived(t, simulator.Config{}, "pending:1h,running,failed")
	sim.Advance(time.Second)
	c.post("/Job/"+id+"/action/resume", "")
	if got := c.look(id); got != "Running active" {
		t.Errorf("a resumed job is %s", got)
	}

	_, c, id = lived(t, simulator.Config{}, "pending")
	c.post("/Job/"+id+"/action/resume", "")
	if got := c.look(id); got != "Running active" {
		t.Errorf("a resumed job without another step is %s", got)
	}

	_, c, id = lived(t, simulator.Config{Blackout: true}, "running,completed")
	c.post("/Job/"+id+"/action/resume", "")
	if got := c.look(id); got != "Running active" {
		t.Errorf("a job resumed in a blackout window is %s", got)
	}
}

func TestJobAction_KillSaysWhoAndWhyInAnEvent(t *testing.T) {
	sim, c, id := lived(t, simulator.Config{ActionTime: time.Second}, "running:10s,completed")
	sim.Advance(time.Second)
	c.post("/Job/"+id+"/action/kill", "").want("errors", "")
	if got := c.look(id); got != "Kill Pending active" {
		t.Errorf("after the request %s", got)
	}
	c.get("/Events?jobId="+id).want("commservEvents.0", "")
	sim.Advance(time.Second)
	c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Killed", "jobs.0.jobSummary.percentComplete", "10", "jobs.0.jobSummary.pendingReason", "")
	c.get("/Events?jobId="+id).want("commservEvents.0.eventCodeString", "19:1081", "commservEvents.0.severity", "0",
		"commservEvents.0.description", "The job was killed by user [backhaul]. Reason:[]", "commservEvents.1.eventCodeString", "19:182")
}

func TestMultiJobOperation(t *testing.T) {
	_, c, first := lived(t, simulator.Config{}, "running:10s,completed")
	second := c.start("load-1", "")
	body := func(operation, ids string) string {
		return `{"message":1,"jobOpReq":{"operationType":` + operation + `,"jobs":[` + ids + `]},"operationDescription":"maintenance"}`
	}
	both := `{"jobId":` + first + `},{"jobId":"` + second + `"}`
	c.post("/Jobs/MultiJobOperation", body("0", both)).want("errors", "")
	if a, b := c.look(first), c.look(second); a != "Suspended active" || b != "Suspended active" {
		t.Errorf("%s, %s", a, b)
	}
	c.get("/Events?jobId="+first).want("commservEvents.0.description", "The job was suspended by user [backhaul]. Reason:[maintenance]")
	c.post("/Jobs/MultiJobOperation", body(`"JOB_RESUME"`, both)).want("errors", "")
	c.post("/Jobs/MultiJobOperation", body(`"JOB_KILL"`, both)).want("errors", "")
	if a, b := c.look(first), c.look(second); a != "Killed finished" || b != "Killed finished" {
		t.Errorf("%s, %s", a, b)
	}
	c.post("/Jobs/MultiJobOperation", body("0", both)).want("errors.1.errList.0.errorCode", "2")
	c.post("/Jobs/MultiJobOperation", body("7", `{"jobId":`+c.start("load-2", "")+`}`)).want("errors.0.errList.0.errorCode", "2")
	c.call(http.StatusBadRequest, http.MethodPost, "/Jobs/MultiJobOperation", `{}`)
	c.call(http.StatusBadRequest, http.MethodPost, "/Jobs/MultiJobOperation", ``)
}

func TestJobAction_Resubmit(t *testing.T) {
	sim, c, id := lived(t, simulator.Config{}, "running,failed")
	c.post("/Job/"+id+"/action/Resubmit", "").want("errors.0.errList.0.errLogMessage", "Job ["+id+"] is active.")
	sim.Advance(2 * time.Second)
	c.post("/Job/"+id+"/action/Resubmit", "").want("jobIds.0", "5977", "jobIds.1", "")
	if a, b := c.look(id), c.look("5977"); a != "Failed finished" || b != "Running active" {
		t.Errorf("%s, %s", a, b)
	}
	c.post("/Job/"+id+"/action/Resubmit?startInSuspendedState=True", "").want("jobIds.0", "5978")
	if got := c.look("5978"); got != "Suspended active" {
		t.Errorf("started suspended: %s", got)
	}
	c.post("/Job/1/action/Resubmit", "").want("errors.0.errList.0.errLogMessage", "Job [1] does not exist.")
	if a := sim.Account(); a.JobsStarted != 1 || a.JobsResubmitted != 2 {
		t.Errorf("%d started, %d resubmitted", a.JobsStarted, a.JobsResubmitted)
	}
}

func TestEvents_ByEndAndFilter(t *testing.T) {
	for life, want := range map[string][]string{
		"failed-to-start":                   {"19:168 9", ""},
		"failed-to-start(8)":                {"80:19 9", ""},
		"completed-with-errors":             {"19:1916 3", "19:857 6", ""},
		"failed":                            {"19:1917 9", "13:30 6", ""},
		"pending(19:579 no space),failed":   {"19:1917 9", "13:30 6", "19:579 6", ""},
		"killed(ann no longer needed)":      {"19:1081 0", "19:182 0", ""},
		"ended(Out of Tape)":                {""},
		"ended(Out of Tape)(13:152 expired": nil,
		"completed":                         {""},
	} {
		if want == nil {
			if _, err := simulator.ParseLife(life); err == nil {
				t.Errorf("%q is accepted", life)
			}
			continue
		}
		sim, c, id := lived(t, simulator.Config{}, life)
		sim.Advance(time.Minute)
		got := c.get("/Events?jobId=" + id)
		for i, event := range want {
			at := "commservEvents." + string(rune('0'+i)) + "."
			if code := got.text(at + "eventCodeString"); code != "" || event != "" {
				if code+" "+got.text(at+"severity") != event {
					t.Errorf("%s: event %d is %s, want %s", life, i, code, event)
				}
			}
		}
	}

	sim, c, id := lived(t, simulator.Config{}, "pending:10m,completed-with-errors")
	sim.Advance(11 * time.Minute)
	for query, want := range map[string]string{
		"":                                "19:1916",
		"&showInfo=true":                  "",
		"&showMajor=true&showMinor=false": "19:857",
		"&level=10&showInfo=false&showMinor=false&showMajor=true&showCritical=true": "19:857",
		"&fromTime=99999999999": "",
		"&toTime=1":             "",
	} {
		c.get("/Events?jobId="+id+query).want("commservEvents.0.eventCodeString", want)
	}
	c.get("/Events?jobId=1").want("commservEvents.0", "")
	c.get("/Events").want("commservEvents.0", "")
}
