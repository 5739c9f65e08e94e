package simulator_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

// ids returns the job ids of a list.
func (r reply) ids() []string {
	r.t.Helper()
	ids := []string{}
	for i := 0; ; i++ {
		id := r.text(fmt.Sprintf("jobs.%d.jobSummary.jobId", i))
		if id == "" {
			return ids
		}
		ids = append(ids, id)
	}
}

func TestJobLists(t *testing.T) {
	now := newClock()
	_, c := direct(t, simulator.Config{Now: now.Now})
	c.start("stestgroup", "")  // 5976, has ended long ago
	now.pass(15 * time.Minute) // the token stays valid
	c.get("/Job/5976")         //
	now.pass(15 * time.Minute) //
	c.start("stestgroup", "")  // 5977, has ended
	c.start("load-1", "")      // 5978, has ended
	now.pass(time.Minute)      //
	c.start("stestgroup", "")  // 5979, runs
	c.start("stestgroup", "")  // 5980, queued
	full := strings.Replace(task("load-1", ""), "Incremental", "FULL", 1)
	synthetic := strings.Replace(task("load-2", ""), "Incremental", "SYNTHETIC_FULL", 1)
	c.post("/CreateTask", full)      // 5981, runs
	c.post("/CreateTask", synthetic) // 5982, runs

	summary := c.get("/Job/5976")
	group := summary.text("jobs.0.jobSummary.subclient.subclientId")
	clientID := summary.text("jobs.0.jobSummary.subclient.clientId")
	set := summary.text("jobs.0.jobSummary.subclient.backupsetId")
	const all = "5982 5981 5980 5979 5978 5977 5976"

	for _, test := range []struct{ body, total, ids string }{
		{`{}`, "7", all},
		{`{"category":1}`, "4", "5982 5981 5980 5979"},
		{`{"category":"FINISHED"}`, "3", "5978 5977 5976"},
		{`{"jobFilter":{"completedJobLookupTime":120}}`, "6", "5982 5981 5980 5979 5978 5977"},
		{`{"jobFilter":{"completedJobLookupTime":1}}`, "4", "5982 5981 5980 5979"},
		{`{"jobFilter":{"completedJobLookupTime":1e99}}`, "7", all},
		{`{"jobFilter":{"entity":{"subclientId":` + group + `}}}`, "4", "5980 5979 5977 5976"},
		{`{"jobFilter":{"completedJobLookupTime":"120","entity":{"subclientId":` + group + `}}}`, "3", "5980 5979 5977"},
		{`{"jobFilter":{"entity":{"subclientId":999}}}`, "0", ""},
		{`{"jobFilter":{"entity":{"clientId":` + clientID + `}}}`, "7", all},
		{`{"jobFilter":{"entity":{"backupsetId":` + set + `}}}`, "7", all},
		{`{"jobFilter":{"clientList":[{"clientId":` + clientID + `}]}}`, "7", all},
		{`{"jobFilter":{"clientList":[{"clientId":999}]}}`, "0", ""},
		{`{"jobFilter":{"jobTypeList":[4]}}`, "6", "5981 5980 5979 5978 5977 5976"},
		{`{"jobFilter":{"jobTypeList":["14"]}}`, "1", "5982"},
		{`{"jobFilter":{"backupLevel":["FULL"]}}`, "1", "5981"},
		{`{"jobFilter":{"backupLevel":[2]}}`, "5", "5980 5979 5978 5977 5976"},
		{`{"jobFilter":{"statusList":["queued"]}}`, "1", "5980"},
		{`{"pagingConfig":{"limit":2}}`, "7", "5982 5981"},
		{`{"pagingConfig":{"limit":2,"offset":5}}`, "7", "5977 5976"},
		{`{"pagingConfig":{"offset":7}}`, "7", ""},
		{`{"pagingConfig":{"offset":-3,"limit":1}}`, "7", "5982"},
		{`{"pagingConfig":{"sortDirection":0,"sortField":"jobId","limit":3}}`, "7", "5976 5977 5978"},
		{`{"pagingConfig":{"sortDirection":1,"sortField":"jobStartTime","limit":4}}`, "7", "5982 5981 5980 5979"},
	} {
		got := c.post("/Jobs", test.body)
		if ids := strings.Join(got.ids(), " "); got.text("totalRecordsWithoutPaging") != test.total || ids != test.ids {
			t.Errorf("%s: %s in all, page %s; want %s, %s", test.body, got.text("totalRecordsWithoutPaging"), ids, test.total, test.ids)
		}
	}
	c.call(http.StatusBadRequest, http.MethodPost, "/Jobs", "")

	for _, test := range []struct{ query, header, total, ids string }{
		{"", "", "7", all},
		{"?jobCategory=Active", "", "4", "5982 5981 5980 5979"},
		{"?jobCategory=Finished&completedJobLookupTime=120", "", "2", "5978 5977"},
		{"?clientId=" + clientID, "limit: 1", "7", "5982"},
		{"?subclientId=" + group, "offset: 2", "4", "5977 5976"},
		{"?limit=1&offset=1", "", "7", "5981"},
		{"?jobFilter=Synthetic_Full,Restore", "", "1", "5982"},
		{"?jobFilter=Backup&backupsetId=" + set, "limit: 2", "6", "5981 5980"},
		{"?clientId=999", "", "0", ""},
	} {
		got := c.get("/Job"+test.query, test.header)
		if ids := strings.Join(got.ids(), " "); got.text("totalRecordsWithoutPaging") != test.total || ids != test.ids {
			t.Errorf("%s: %s in all, page %s; want %s, %s", test.query, got.text("totalRecordsWithoutPaging"), ids, test.total, test.ids)
		}
	}
}

// A late job begins after jobs that were requested later. A search for recently ended jobs
// must not stop at those.
func TestJobLists_FindALateJob(t *testing.T) {
	now := newClock()
	sim, c := direct(t, simulator.Config{Now: now.Now})
	sim.Script(simulator.Fault{Kind: simulator.TaskOnly, For: time.Minute})
	c.post("/CreateTask", task("stestgroup", "late")).want("taskId", "4038", "jobIds", "")
	c.start("stestgroup", "")
	c.post("/Jobs", `{}`).want("totalRecordsWithoutPaging", "1")
	now.pass(65 * time.Second)
	if ids := c.post("/Jobs", `{"jobFilter":{"completedJobLookupTime":10}}`).ids(); !slices.Equal(ids, []string{"5976"}) {
		t.Errorf("recently ended: %v", ids)
	}
}
