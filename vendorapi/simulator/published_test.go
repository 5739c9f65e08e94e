package simulator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

// The requests of this file have the shapes that published clients send, and the checks
// name the members that those clients read.

// The vendor's Python SDK logs in at /commandcenter/api, lists by POST Jobs, and reads each
// look by GET Job/{id} and POST JobDetails.
func TestPublishedClient_PythonSDK(t *testing.T) {
	sim, c := newClient(t, simulator.Config{ActionTime: time.Second})
	sim.StopClock(true)
	c.endpoint = strings.Replace(c.endpoint, "webconsole", "commandcenter", 1)
	login := c.post("/Login", `{"mode":4,"username":"backhaul","password":"c2ltdWxhdG9y","deviceId":"host.invalid","clientType":30}`)
	login.want("userName", "backhaul")
	c.token = login.text("token")
	c.get("/CommServ").want("commcell.commCellName", "simulator", "commcell.commCellId", "2", "csTimeZone.TimeZoneName", "UTC", "csVersionInfo", "11 SP40.2")
	c.get("/Client").want("clientProperties.0.client.clientEntity.clientName", "s-adhoc-object-storage",
		"clientProperties.0.client.clientEntity.hostName", "s-adhoc-object-storage", "clientProperties.0.client.clientEntity.displayName", "s-adhoc-object-storage")
	c.get("/Client?hiddenclients=true").want("clientProperties.1", "")
	c.get("/VSAClientAndClientGroupList").want("clients.0", "")
	c.get("/CommServ/JobManagementSetting").want("jobManagementSettings.generalSettings.queueJobsIfConflictingJobsActive", "true")

	sim.ScriptLives(simulator.MustParseLife("waiting:30s,pending:1m(13:30 no contact),running:1m,completed"), simulator.MustParseLife("running:1h,completed"))
	id, second := c.start("stestgroup", "m"), c.start("load-1", "")
	list := func(category string) []string {
		return c.post("/Jobs", `{"scope":1,"category":`+category+`,"pagingConfig":{"sortDirection":1,"offset":0,"sortField":"jobId","limit":20},
			"jobFilter":{"completedJobLookupTime":18000,"showAgedJobs":false,"hideAdminJobs":false,"clientList":[],"jobTypeList":[]}}`).ids()
	}
	if all, active, finished := list("0"), list("1"), list("2"); len(all) != 2 || len(active) != 2 || len(finished) != 0 {
		t.Errorf("all %v, active %v, finished %v", all, active, finished)
	}
	look := func(id, status string) {
		t.Helper()
		c.get("/Job/"+id).want("jobs.0.jobSummary.status", status)
		c.post("/JobDetails", `{"jobId":`+id+`,"showAttempt":true}`).want("job.jobDetail.progressInfo.state", status)
	}
	look(id, "Waiting")
	sim.Advance(30 * time.Second)
	look(id, "Pending")
	c.post("/JobDetails", `{"jobId":`+id+`,"showAttempt":true}`).want("job.jobDetail.progressInfo.reasonForJobDelay", "no contact")
	sim.Advance(2 * time.Minute)
	look(id, "Completed")
	c.get("/Job/"+id+"/TaskDetails").want("taskInfo.task.taskType", "1")
	c.get("/Job/"+id+"/AdvancedDetails?infoType=1").want("totalRecordsWithoutPaging", "1", "jobs.0.jobSummary.jobId", id)
	c.get("/Events?jobId="+id).want("commservEvents.0.eventCodeString", "13:30", "commservEvents.0.clientEntity.clientName", "s-adhoc-object-storage")

	for _, step := range []struct{ action, at, after string }{
		{"pause", "Suspend Pending", "Suspended"}, {"resume", "Running", "Running"}, {"kill", "Kill Pending", "Killed"},
	} {
		c.post("/Job/"+second+"/action/"+step.action, "").want("errors", "", "errorCode", "")
		look(second, step.at)
		sim.Advance(time.Second)
		look(second, step.after)
	}
	again := c.post("/Job/"+second+"/action/Resubmit?startInSuspendedState=True", "").text("jobIds.0")
	sim.Advance(time.Second)
	look(again, "Suspended")
	all := `{"JobManager_PerformMultiCellJobOpReq":{"jobOpReq":{"operationType":"JOB_RESUME"},"message":"ALL_JOBS","operationDescription":"All jobs"}}`
	c.post("/Qcommand/qoperation%20execute", all).want("error.errorCode", "0")
	look(again, "Running")
	c.post("/Qcommand/qoperation%20execute", strings.Replace(all, "JOB_RESUME", "JOB_KILL", 1)).want("error.errorCode", "0")
	sim.Advance(time.Second)
	look(again, "Killed")
	c.post("/Qcommand/qoperation%20execute", `{"App_Other":{}}`).want("errorCode", "2")
	c.post("/WhoAmI", "")
	c.post("/Logout", "")
}

// The vendor's MCP server sends its query and paging as parameters and an access token in
// Authtoken, and writes some paths in another case.
func TestPublishedClient_MCPServer(t *testing.T) {
	sim, c := newClient(t, simulator.Config{})
	sim.StopClock(true)
	c.endpoint = strings.Replace(c.endpoint, "webconsole", "commandcenter", 1)
	c.token = "simulator-access"
	sim.ScriptLives(simulator.MustParseLife("running:1h,completed"), simulator.MustParseLife("failed"))
	id, failed := c.start("stestgroup", ""), c.start("load-1", "")
	sim.Advance(3 * time.Second)
	c.get("/Job?jobCategory=All&completedJobLookupTime=86400&limit=1&offset=1").want("totalRecordsWithoutPaging", "2",
		"jobs.0.jobSummary.jobId", id, "jobs.0.jobSummary.destinationClient.clientName", "s-adhoc-object-storage", "jobs.1", "")
	c.get("/Job?jobCategory=Finished&completedJobLookupTime=86400&jobFilter=Backup,SYNTHFULL&limit=50").want("totalRecordsWithoutPaging", "1", "jobs.0.jobSummary.jobId", failed)
	c.post("/Jobs", `{"category":0,"pagingConfig":{"offset":0,"limit":50},"jobFilter":{"completedJobLookupTime":86400,"showAgedJobs":false,"statusList":["Failed"]}}`).
		want("totalRecordsWithoutPaging", "1", "jobs.0.jobSummary.jobId", failed)
	c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Running")
	c.post("/Jobs/MultiJobOperation", `{"message":1,"jobOpReq":{"operationType":0,"jobs":[{"jobId":`+id+`}]},"operationDescription":"maintenance"}`).want("errors", "")
	c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Suspended", "jobs.0.jobSummary.pendingReason", "maintenance")
	c.post("/Job/"+id+"/Action/Resume", `{}`).want("errors", "")
	c.post("/Job/"+id+"/Action/Kill", `{}`).want("errors", "")
	c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Killed")
	c.post("/Job/"+id+"/Action/Resubmit", `{}`).want("jobIds.0", "5978")
	c.get("/Job/"+id+"/taskdetails").want("taskInfo.task.taskId", "4038")
	c.get("/Job/"+id+"/advanceddetails?infoType=1").want("totalRecordsWithoutPaging", "1")
}

// Public exporters page by headers and filter events by severity and time.
func TestPublishedClient_Exporters(t *testing.T) {
	sim, c := direct(t, simulator.Config{})
	sim.ScriptLives(simulator.MustParseLife("completed-with-errors"))
	id := c.start("stestgroup", "")
	sim.Advance(3 * time.Second)
	c.get("/Job?completedJobLookupTime=3600&jobCategory=All", "limit: 1000", "offset: 0").want("totalRecordsWithoutPaging", "1", "jobs.0.jobSummary.jobId", id)
	c.get("/Events?level=10&showInfo=false&showMinor=true&showMajor=false&showCritical=true&fromTime=0&toTime=99999999999&jobId="+id).
		want("commservEvents.0.eventCodeString", "19:1916", "commservEvents.1", "")
}

func TestGatewayLogin_RefusedAsJSON(t *testing.T) {
	_, c := newClient(t, simulator.Config{Gateway: true})
	for _, accept := range []string{"application/json", "application/xml"} {
		c.post("/Login", loginBody("backhaul", "wrong"), "Accept: "+accept).want("errList.0.errorCode", "1116", "token", "", "data", "")
	}
}

func TestFault_Reads(t *testing.T) {
	sim, c := direct(t, simulator.Config{Now: newClock().Now})
	first, second := c.start("load-1", ""), c.start("load-2", "")
	list := func(kind simulator.Kind, path string) reply {
		sim.ScriptFor(simulator.Reads, simulator.Fault{Kind: kind})
		return c.get(path)
	}
	if got := list(simulator.CutList, "/Job?jobCategory=Active"); strings.Join(got.ids(), " ") != second || got.text("totalRecordsWithoutPaging") != "2" {
		t.Errorf("a cut list: %s", got.body)
	}
	list(simulator.OneObject, "/Job/"+first).want("jobs.jobSummary.jobId", first)
	list(simulator.OneObject, "/Job").want("jobs.1.jobSummary.jobId", first)
	list(simulator.TextNumbers, "/Job/"+first).want("jobs.0.jobSummary.jobId", first)
	sim.ScriptFor(simulator.Reads, simulator.Fault{Kind: simulator.TextNumbers})
	if got := c.get("/Job/" + first).find("jobs.0.jobSummary.percentComplete"); got != "0" {
		t.Errorf("percentComplete is %#v", got)
	}
	list(simulator.OldJSON, "/Job/"+first).want("JobManager_JobListResponse.@totalRecordsWithoutPaging", "1",
		"JobManager_JobListResponse.jobs.jobSummary.@jobId", first, "JobManager_JobListResponse.jobs.jobSummary.subclient.@subclientName", "load-1")

	// Reads spares CreateTask, Login and the probe, and comes after a script of the endpoint.
	chances, err := simulator.ParseFaults("Reads/429=1:7s")
	if err != nil {
		t.Fatal(err)
	}
	sim.SetFaults(chances)
	sim.ScriptFor("JobList", simulator.Fault{Kind: simulator.None})
	c.get("/Job")
	c.get("")
	c.login()
	c.start("load-3", "")
	for _, path := range []string{"/Job", "/Job/" + first, "/Events?jobId=" + first, "/Job/" + first + "/TaskDetails", "/Client"} {
		if got := c.call(http.StatusTooManyRequests, http.MethodGet, path, ""); got.header.Get("X-RateLimit-Period") != "7" {
			t.Errorf("%s: %v", path, got.header)
		}
	}
	sim.SetFaults(nil)
	sim.ScriptFor("Reads", simulator.Fault{Kind: simulator.Unavailable}, simulator.Fault{Kind: simulator.HalfBody})
	c.call(http.StatusServiceUnavailable, http.MethodGet, "/Job", "")
}
