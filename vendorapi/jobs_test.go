package vendorapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"

	"github.com/go-json-experiment/json"
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
		{simulator.Fault{Kind: simulator.HalfBody}, false}, // a cut before the answer is mended by net/http: it is a GET
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

// TestListsThatFail: an answer that is not clearly a list must not be taken for
// an empty one, because the job would then be started again.
func TestListsThatFail(t *testing.T) {
	for name, body := range map[string]string{
		"empty object":             `{}`,
		"no body":                  ``,
		"an error in 200":          `{"errorMessage":"The service is busy.","errorCode":2}`,
		"a nested error":           `{"error":{"errorCode":500,"errorMessage":"x"}}`,
		"an error beside 0 jobs":   `{"totalRecordsWithoutPaging":0,"error":{"errorCode":2,"errorMessage":"x"}}`,
		"an error list":            `{"totalRecordsWithoutPaging":0,"errList":[{"errorCode":2}]}`,
		"empty list, no total":     `{"jobs":[]}`,
		"no jobs of three":         `{"totalRecordsWithoutPaging":3}`,
		"total below 0":            `{"totalRecordsWithoutPaging":-1}`,
		"total that is no number":  `{"totalRecordsWithoutPaging":"many","jobs":[]}`,
		"plain text":               `Jobs listed successfully.`,
		"HTML":                     `<html><title>Sign in</title></html>`,
		"text in quotes":           `"Jobs listed successfully."`,
		"XML, no total":            `<JobManager_JobListResponse/>`,
		"XML, no jobs of three":    `<JobManager_JobListResponse totalRecordsWithoutPaging="3"></JobManager_JobListResponse>`,
		"XML, an error":            `<JobManager_JobListResponse totalRecordsWithoutPaging="0" errorCode="2" errorMessage="x"/>`,
		"XML, a nested error":      `<JobManager_JobListResponse totalRecordsWithoutPaging="0"><error errorCode="500"/></JobManager_JobListResponse>`,
		"XML, another answer":      `<CVGui_GenericResp errorCode="2" errorMessage="The service is busy."/>`,
		"XML, nothing of it":       `<App_GenericResp/>`,
		"XML, another root":        `<JobManager_JobList totalRecordsWithoutPaging="0"/>`,
		"XML, not the vendor's":    `<list totalRecordsWithoutPaging="0"/>`,
		"XML, cut":                 `<JobManager_JobListResponse totalRecordsWithoutPaging="0">`,
		"XML, two roots":           `<JobManager_JobListResponse totalRecordsWithoutPaging="0"/><App_GenericResp errorCode="2"/>`,
		"XML, text after it":       `<JobManager_JobListResponse totalRecordsWithoutPaging="0"/>{"errorCode":2}`,
		"XML, text before it":      `Error: <JobManager_JobListResponse totalRecordsWithoutPaging="0"/>`,
		"XML, a job without an id": `<JobManager_JobListResponse totalRecordsWithoutPaging="1"><jobs><jobSummary/></jobs></JobManager_JobListResponse>`,
		"XML, elements":            `<JobManager_JobListResponse totalRecordsWithoutPaging="1"><jobs><jobSummary><jobId>7</jobId></jobSummary></jobs></JobManager_JobListResponse>`,
		"XML, two jobs in one":     `<JobManager_JobListResponse totalRecordsWithoutPaging="2"><jobs><jobSummary jobId="8"><subclient subclientName="other"/></jobSummary><jobSummary jobId="9"><subclient subclientName="other"/></jobSummary></jobs></JobManager_JobListResponse>`,
		"array":                    `[]`,
		"null":                     `null`,
		"cut":                      `{"totalRecordsWithoutPaging":0`,
		"two documents":            `{"totalRecordsWithoutPaging":0}{"errorCode":2}`,
		"a job without an id":      `{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":0}}]}`,
		"an empty job":             `{"totalRecordsWithoutPaging":1,"jobs":[{}]}`,
		"jobs of another shape":    `{"totalRecordsWithoutPaging":1,"jobs":["5976"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			v := startVendor(t, map[string]http.HandlerFunc{"Jobs": always(200, body)})
			found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), time.Now())
			if err == nil {
				t.Fatalf("found %+v in %s", found, body)
			}
			if VerdictOf(err) != Unknown {
				t.Errorf("verdict %s", VerdictOf(err))
			}
			noSecrets(t, err)
		})
	}
	for _, status := range []int{201, 204, 302, 400, 403, 404, 500, 502, 503} {
		v := startVendor(t, map[string]http.HandlerFunc{"Jobs": always(status, "{\"totalRecordsWithoutPaging\":0}")})
		if found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), time.Now()); err == nil {
			t.Errorf("HTTP %d: found %+v", status, found)
		}
	}
}

// TestListsThatAreRead: spellings that differ and say the same.
func TestListsThatAreRead(t *testing.T) {
	now := time.Now()
	job := summaryOf(7, now)
	for name, tt := range map[string]struct {
		body  string
		found bool
	}{
		"none":                     {`{"totalRecordsWithoutPaging":0}`, false},
		"none, text":               {`{"totalRecordsWithoutPaging":"0","jobs":null}`, false},
		"none, code 0":             {`{"totalRecordsWithoutPaging":0,"errorCode":0,"errList":[]}`, false},
		"one":                      {listOf(1, job), true},
		"no total":                 {`{"jobs":[` + job + `]}`, true},
		"text for numbers":         {listOf(1, strings.NewReplacer(`:7,`, `:"7",`, fmt.Sprint(now.Unix()), fmt.Sprintf(`"%d"`, now.Unix())).Replace(job)), true},
		"no start time":            {listOf(1, `{"jobSummary":{"jobId":7,"subclient":{"subclientName":"STESTGROUP"}}}`), true},
		"start time 0":             {listOf(1, strings.ReplaceAll(job, fmt.Sprint(now.Unix()), "0")), true},
		"no names":                 {listOf(1, `{"jobSummary":{"jobId":7}}`), true},
		"other content group":      {listOf(1, strings.ReplaceAll(job, "stestgroup", "other")), false},
		"other backup set":         {listOf(1, strings.ReplaceAll(job, "defaultBackupSet", "other")), false},
		"other client":             {listOf(1, strings.ReplaceAll(job, `"clientName":"s-adhoc`, `"clientName":"x-adhoc`)), false},
		"other instance":           {listOf(1, strings.ReplaceAll(job, `"instanceName":"s-adhoc`, `"instanceName":"x-adhoc`)), false},
		"a name in another script": {listOf(1, strings.ReplaceAll(job, `"status":"Running"`, "\"status\":\"caf\xe9\"")), true},
		"listed twice":             {listOf(2, job, job), true},
		"start time out of bounds": {listOf(1, strings.ReplaceAll(job, fmt.Sprint(now.Unix()), "9223372036854775807")), true},
		"a byte order mark":        {"\ufeff\r" + listOf(1, job), true},
		"none, XML":                {`<JobManager_JobListResponse totalRecordsWithoutPaging="0"/>`, false},
		"none, XML, code 0":        {`<?xml version="1.0"?><JobManager_JobListResponse errorCode="0" totalRecordsWithoutPaging="0"><error errorCode="0"/></JobManager_JobListResponse>` + "\r\n<!-- -->", false},
		"one, XML":                 {listInXML(1, now, "stestgroup"), true},
		"one, XML, other spelling": {"\ufeff<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\" ?>\r" + listInXML(1, now, "STestGROUP"), true},
		"one, XML, any text":       {strings.Replace(listInXML(1, now, "stestgroup"), `status="Running"`, "status=\"caf\xe9\"", 1), true},
		"one, XML, other names":    {listInXML(1, now, "other"), false},
		"one, XML, no names":       {`<JobManager_JobListResponse totalRecordsWithoutPaging="1"><jobs><jobSummary jobId="7"/></jobs></JobManager_JobListResponse>`, true},
	} {
		t.Run(name, func(t *testing.T) {
			v := startVendor(t, map[string]http.HandlerFunc{"Jobs": always(200, tt.body), "TaskDetails": always(200, detailsOf(testMarker))})
			c := newTestClient(t, v.url)
			var want []string
			if tt.found {
				want = ids("7")
			}
			wantFound(t, mustFind(t, c, testTask(), now), want, nil)
		})
	}
}

// pagedJobs serves a list of jobs page by page, as the request asks for it, with
// at most limit jobs a page.
func pagedJobs(t *testing.T, limit int, total func(n int) string, list func(call int) []string) http.HandlerFunc {
	var calls atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		var req struct {
			PagingConfig struct{ Offset, Limit int } `json:"pagingConfig"`
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &req, json.MatchCaseInsensitiveNames(true))
		}
		if err != nil {
			t.Error(err)
		}
		jobs := list(int(calls.Add(1)))
		first := min(req.PagingConfig.Offset, len(jobs))
		last := min(first+min(req.PagingConfig.Limit, limit), len(jobs))
		reply(w, 200, `{`+total(len(jobs))+`"jobs":[`+strings.Join(jobs[first:last], ",")+`]}`)
	}
}

func TestOddPages(t *testing.T) {
	now := time.Now()
	other := func(n int) (list []string) {
		for i := range n {
			list = append(list, strings.ReplaceAll(summaryOf(1000-i, now), "stestgroup", "other"))
		}
		return list
	}
	ours := summaryOf(7, now)
	known := func(n int) string { return fmt.Sprintf(`"totalRecordsWithoutPaging":%d,`, n) }
	for _, tt := range []struct {
		name  string
		limit int
		total func(int) string
		list  func(call int) []string
		fails bool
	}{
		{"fewer a page than asked for", 20, known, func(int) []string { return append(other(130), ours) }, false},
		{"no total", 100, func(int) string { return "" }, func(int) []string { return append(other(230), ours) }, false},
		{"exactly one page", 100, known, func(int) []string { return append(other(99), ours) }, false},
		{"exactly two pages, no total", 100, func(int) string { return "" }, func(int) []string { return append(other(199), ours) }, false},
		{"new jobs push others to the next page", 100, known, func(call int) []string { return append(other(130+30*call), ours) }, false},
		{"jobs are gone", 100, known, func(call int) []string { return other(150)[min(call-1, 1):] }, true},
		{"the total promises more", 100, func(n int) string { return known(n + 1) }, func(int) []string { return other(30) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := startVendor(t, map[string]http.HandlerFunc{
				"Jobs": pagedJobs(t, tt.limit, tt.total, tt.list), "TaskDetails": always(200, detailsOf(testMarker)),
			})
			found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), now)
			if tt.fails {
				if err == nil {
					t.Fatalf("found %+v in a list that is not whole", found)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantFound(t, found, ids("7"), nil)
		})
	}
}

// TestPagesThatStandStill: whoever answers every page alike has shown only what
// is on the first one.
func TestPagesThatStandStill(t *testing.T) {
	now := time.Now()
	var page []string
	for i := range 100 {
		page = append(page, strings.ReplaceAll(summaryOf(1000-i, now), "stestgroup", "other"))
	}
	first := listOf(150, page...)
	for name, second := range map[string]string{
		"the same again":    first,
		"the same, one new": listOf(151, append(page[:99:99], strings.ReplaceAll(summaryOf(1001, now), "stestgroup", "other"))...),
		"an empty list":     listOf(0),
		"no jobs":           `{"jobs":[]}`,
		"no jobs of many":   `{"totalRecordsWithoutPaging":150}`,
	} {
		v := startVendor(t, nil)
		v.answer = map[string]http.HandlerFunc{"Jobs": func(w http.ResponseWriter, _ *http.Request) {
			if v.count("Jobs") == 1 {
				reply(w, 200, first)
				return
			}
			reply(w, 200, second)
		}}
		found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), now)
		if err == nil {
			t.Errorf("%s: found %+v", name, found)
			continue
		}
		wantVerdict(t, err, Unknown)
		// What was read is not lost to a caller whose job is in it.
		v.mu.Lock()
		v.answer["TaskDetails"] = always(200, detailsOf(testMarker))
		v.calls["Jobs"] = 0
		v.mu.Unlock()
		elsewhere := testTask()
		elsewhere.SubclientName = "other"
		if got := mustFind(t, newTestClient(t, v.url), elsewhere, now); len(got.Job.IDs) < 100 {
			t.Errorf("%s: found %d jobs", name, len(got.Job.IDs))
		}
	}
}

// TestJobAgesOut: the oldest job of the list ends its time in it while we read,
// at a vendor that lists old jobs first.
func TestJobAgesOut(t *testing.T) {
	now := time.Now()
	var jobs []string
	for i := range 100 {
		jobs = append(jobs, strings.ReplaceAll(summaryOf(1000+i, now), "stestgroup", "other"))
	}
	jobs = append(jobs, summaryOf(2000, now))
	clock, ended := 0, 0 // s
	v := startVendor(t, map[string]http.HandlerFunc{
		"TaskDetails": always(200, detailsOf(testMarker)),
		"Jobs": func(w http.ResponseWriter, r *http.Request) {
			var req struct {
				PagingConfig struct {
					Offset int `json:"offset"`
				} `json:"pagingConfig"`
				JobFilter struct {
					Back int `json:"completedJobLookupTime"`
				} `json:"jobFilter"`
			}
			if err := json.UnmarshalRead(r.Body, &req); err != nil {
				t.Error(err)
			}
			cutoff := clock - req.JobFilter.Back
			if clock == 0 {
				ended = cutoff // it is the last moment of the first job
			}
			clock += 4
			list := jobs
			if ended < cutoff {
				list = jobs[1:]
			}
			reply(w, 200, listOf(len(list), list[req.PagingConfig.Offset:min(req.PagingConfig.Offset+100, len(list))]...))
		},
	})
	wantFound(t, mustFind(t, newTestClient(t, v.url), testTask(), now), ids("2000"), nil)
}

// TestEndlessList ends, and says that it does not know.
func TestEndlessList(t *testing.T) {
	next := 0
	v := startVendor(t, map[string]http.HandlerFunc{"Jobs": func(w http.ResponseWriter, _ *http.Request) {
		var page []string
		for range pageSize {
			next++
			page = append(page, fmt.Sprintf(`{"jobSummary":{"jobId":%d,"subclient":{"subclientName":"other"}}}`, next))
		}
		reply(w, 200, listOf(1<<30, page...))
	}})
	_, err := newTestClient(t, v.url).Find(t.Context(), testTask(), time.Now())
	wantVerdict(t, err, Unknown)
	if n := v.count("Jobs"); n != maxJobs/pageSize {
		t.Errorf("%d pages", n)
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
		"Jobs": always(200, listOf(3, summaryOf(9, now), summaryOf(8, now), summaryOf(7, now))),
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

// TestDescriptionShapes: where the text stands, and what it must be, to be proof.
func TestDescriptionShapes(t *testing.T) {
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
			v := startVendor(t, map[string]http.HandlerFunc{"Jobs": always(200, listOf(1, summaryOf(7, now))), "TaskDetails": always(200, tt.body)})
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

// TestDetailsThatAreNone: what is no answer of the API is asked for again, and
// proves nothing meanwhile.
func TestDetailsThatAreNone(t *testing.T) {
	now := time.Now()
	for _, body := range []string{
		"", "null", "[]", `"text"`, "7", "Task details listed successfully.", `{"taskInfo":`, `{"jobDescription":"x`,
		"<html><title>Sign in</title></html>", `<page jobDescription="` + testMarker + `"/>`, `<TMMsg_JobTaskDetailsResp>`,
		`<TMMsg_JobTaskDetailsResp><jobDescription>` + testMarker, `<TMMsg_JobTaskDetailsResp></x>`, "<", "<!DOCTYPE HTML>\r\n<HTML>",
	} {
		v := startVendor(t, map[string]http.HandlerFunc{"Jobs": always(200, listOf(1, summaryOf(7, now))), "TaskDetails": always(200, body)})
		found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), now)
		if e, ok := errors.AsType[*Error](err); !ok || e.Op != opTaskDetails || found.Job.ID != "" || len(found.Candidates) > 0 {
			t.Errorf("%q: found %+v, error %v", body, found, err)
		}
	}
}

// TestDeniedDetails: a user who may not see details would log in again for each
// job of each look, and the vendor counts sessions.
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
		for range 5 {
			wantFound(t, mustFind(t, c, testTask(), since), nil, want)
		}
		if n := sim.Account().Logins; n != 2 {
			t.Errorf("%d logins, want the first and one to make sure", n)
		}
		<-time.After(deniedPause)
		wantFound(t, mustFind(t, c, testTask(), since), nil, want)
		if n := sim.Account().Logins; n != 3 {
			t.Errorf("%d logins, want one more", n)
		}
	})
}

// TestDeadTokenIsNoCandidate: that the token is not accepted says nothing about
// the job, neither in the list nor in the details.
func TestDeadTokenIsNoCandidate(t *testing.T) {
	now := time.Now()
	for _, op := range []string{"Jobs", "TaskDetails"} {
		answers := map[string]http.HandlerFunc{
			"Jobs": always(200, listOf(1, summaryOf(7, now))), "WhoAmI": always(401, denied),
		}
		answers[op] = always(401, denied)
		v := startVendor(t, answers)
		found, err := newTestClient(t, v.url, byToken).Find(t.Context(), testTask(), now)
		if _, ok := errors.AsType[*LoginError](err); !ok {
			t.Errorf("%s: found %+v, error %v", op, found, err)
		}
		noSecrets(t, err)
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
