package vendorapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

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
		"XML, jobs of a page":      strings.ReplaceAll(listInXML(1, time.Now(), "other"), "JobManager_JobListResponse", "list"),
		"XML, jobs, two roots":     listInXML(1, time.Now(), "other") + `<App_GenericResp errorCode="2"/>`,
		"array":                    `[]`,
		"null":                     `null`,
		"cut":                      `{"totalRecordsWithoutPaging":0`,
		"two documents":            `{"totalRecordsWithoutPaging":0}{"errorCode":2}`,
		"a job without an id":      `{"totalRecordsWithoutPaging":1,"jobs":[{"jobSummary":{"jobId":0}}]}`,
		"an empty job":             `{"totalRecordsWithoutPaging":1,"jobs":[{}]}`,
		"jobs of another shape":    `{"totalRecordsWithoutPaging":1,"jobs":["5976"]}`,
	} {
		for _, way := range listWays {
			v := startVendor(t, map[string]http.HandlerFunc{way: always(200, body)})
			found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), time.Now())
			if err == nil {
				t.Fatalf("%s by %s: found %+v in %s", name, way, found, body)
			}
			if VerdictOf(err) != Unknown {
				t.Errorf("%s by %s: verdict %s", name, way, VerdictOf(err))
			}
			noSecrets(t, err)
		}
	}
	for _, status := range []int{201, 204, 302, 400, 403, 404, 500, 502, 503} {
		for _, way := range listWays {
			v := startVendor(t, map[string]http.HandlerFunc{way: always(status, "{\"totalRecordsWithoutPaging\":0}")})
			if found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), time.Now()); err == nil {
				t.Errorf("HTTP %d by %s: found %+v", status, way, found)
			}
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
		"none":                      {`{"totalRecordsWithoutPaging":0}`, false},
		"none, text":                {`{"totalRecordsWithoutPaging":"0","jobs":null}`, false},
		"none, code 0":              {`{"totalRecordsWithoutPaging":0,"errorCode":0,"errList":[]}`, false},
		"one":                       {listOf(1, job), true},
		"no total":                  {`{"jobs":[` + job + `]}`, true},
		"text for numbers":          {listOf(1, strings.NewReplacer(`:7,`, `:"7",`, fmt.Sprint(now.Unix()), fmt.Sprintf(`"%d"`, now.Unix())).Replace(job)), true},
		"no start time":             {listOf(1, `{"jobSummary":{"jobId":7,"subclient":{"subclientName":"STESTGROUP"}}}`), true},
		"start time 0":              {listOf(1, strings.ReplaceAll(job, fmt.Sprint(now.Unix()), "0")), true},
		"no names":                  {listOf(1, `{"jobSummary":{"jobId":7}}`), true},
		"other content group":       {listOf(1, strings.ReplaceAll(job, "stestgroup", "other")), false},
		"other backup set":          {listOf(1, strings.ReplaceAll(job, "defaultBackupSet", "other")), false},
		"other client":              {listOf(1, strings.ReplaceAll(job, `"clientName":"s-adhoc`, `"clientName":"x-adhoc`)), false},
		"other instance":            {listOf(1, strings.ReplaceAll(job, `"instanceName":"s-adhoc`, `"instanceName":"x-adhoc`)), false},
		"a name in another script":  {listOf(1, strings.ReplaceAll(job, `"status":"Running"`, "\"status\":\"caf\xe9\"")), true},
		"listed twice":              {listOf(2, job, job), true},
		"other group, listed twice": {listOf(2, strings.ReplaceAll(job, "stestgroup", "other"), strings.ReplaceAll(job, "stestgroup", "other")), false},
		"start time out of bounds":  {listOf(1, strings.ReplaceAll(job, fmt.Sprint(now.Unix()), "9223372036854775807")), true},
		"a byte order mark":         {"\ufeff\r" + listOf(1, job), true},
		"none, XML":                 {`<JobManager_JobListResponse totalRecordsWithoutPaging="0"/>`, false},
		"none, XML, code 0":         {`<?xml version="1.0"?><JobManager_JobListResponse errorCode="0" totalRecordsWithoutPaging="0"><error errorCode="0"/></JobManager_JobListResponse>` + "\r\n<!-- -->", false},
		"one, XML":                  {listInXML(1, now, "stestgroup"), true},
		"one, XML, other spelling":  {"\ufeff<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\" ?>\r" + listInXML(1, now, "STestGROUP"), true},
		"one, XML, any text":        {strings.Replace(listInXML(1, now, "stestgroup"), `status="Running"`, "status=\"caf\xe9\"", 1), true},
		"one, XML, other names":     {listInXML(1, now, "other"), false},
		"one, XML, no names":        {`<JobManager_JobListResponse totalRecordsWithoutPaging="1"><jobs><jobSummary jobId="7"/></jobs></JobManager_JobListResponse>`, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, way := range listWays {
				v := startVendor(t, map[string]http.HandlerFunc{way: always(200, tt.body), "TaskDetails": always(200, detailsOf(testMarker))})
				c := newTestClient(t, v.url)
				var want []string
				if tt.found {
					want = ids("7")
				}
				wantFound(t, mustFind(t, c, testTask(), now), want, nil)
			}
		})
	}
}

// listWays are the operations that list jobs, as startVendor names them: GET Job, and POST Jobs
// where the vendor does not have the first.
var listWays = []string{"Job", "Jobs"}

// asked is the page that a call asks for.
type asked struct{ offset, limit, back int }

// pageOf returns it for both operations.
func pageOf(t *testing.T, r *http.Request) asked {
	t.Helper()
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Error(err)
		}
		return n
	}
	if r.Method == http.MethodGet {
		return asked{number(r.Header.Get("offset")), number(r.Header.Get("limit")), number(r.URL.Query().Get("completedJobLookupTime"))}
	}
	var req struct {
		PagingConfig struct{ Offset, Limit int } `json:"pagingConfig"`
		JobFilter    struct {
			Back int `json:"completedJobLookupTime"`
		} `json:"jobFilter"`
	}
	if err := json.UnmarshalRead(r.Body, &req, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Error(err)
	}
	return asked{req.PagingConfig.Offset, req.PagingConfig.Limit, req.JobFilter.Back}
}

// pagedJobs serves a list of jobs page by page, as the request asks for it, with
// at most limit jobs a page.
func pagedJobs(t *testing.T, limit int, total func(n int) string, list func(call int) []string) http.HandlerFunc {
	var calls atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		page := pageOf(t, r)
		jobs := list(int(calls.Add(1)))
		first := min(page.offset, len(jobs))
		last := min(first+min(page.limit, limit), len(jobs))
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
		{"jobs are gone", 100, known, func(call int) []string { return other(150)[min(call-1, 1)*(maxOverlap+1):] }, true},
		{"the total promises more", 100, func(n int) string { return known(n + 1) }, func(int) []string { return other(30) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, way := range listWays {
				v := startVendor(t, map[string]http.HandlerFunc{
					way: pagedJobs(t, tt.limit, tt.total, tt.list), "TaskDetails": always(200, detailsOf(testMarker)),
				})
				found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), now)
				if tt.fails {
					if err == nil {
						t.Fatalf("%s: found %+v in a list that is not whole", way, found)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				wantFound(t, found, ids("7"), nil)
			}
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
		for _, way := range listWays {
			v := startVendor(t, nil)
			v.answer = map[string]http.HandlerFunc{way: func(w http.ResponseWriter, _ *http.Request) {
				if v.count(way) == 1 {
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
			v.calls[way] = 0
			v.mu.Unlock()
			elsewhere := testTask()
			elsewhere.SubclientName = "other"
			if got := mustFind(t, newTestClient(t, v.url), elsewhere, now); got.Job.ID == "" {
				t.Errorf("%s: found no job", name)
			}
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
		"Job": func(w http.ResponseWriter, r *http.Request) {
			page := pageOf(t, r)
			cutoff := clock - page.back
			if clock == 0 {
				ended = cutoff // it is the last moment of the first job
			}
			clock += 4
			list := jobs
			if ended < cutoff {
				list = jobs[1:]
			}
			reply(w, 200, listOf(len(list), list[page.offset:min(page.offset+100, len(list))]...))
		},
	})
	wantFound(t, mustFind(t, newTestClient(t, v.url), testTask(), now), ids("2000"), nil)
}

// TestEndlessList ends, and says that it does not know.
func TestEndlessList(t *testing.T) {
	v := startVendor(t, map[string]http.HandlerFunc{"Job": func(w http.ResponseWriter, r *http.Request) {
		next := pageOf(t, r).offset
		var page []string
		for range pageSize {
			next++
			page = append(page, fmt.Sprintf(`{"jobSummary":{"jobId":%d,"subclient":{"subclientName":"other"}}}`, next))
		}
		reply(w, 200, listOf(1<<30, page...))
	}})
	_, err := newTestClient(t, v.url).Find(t.Context(), testTask(), time.Now())
	wantVerdict(t, err, Unknown)
	if n, want := v.count("Job"), (maxJobs-pageSize)/(pageSize-maxOverlap)+1; n != want {
		t.Errorf("%d pages", n)
	}
}

func TestNameKey(t *testing.T) {
	names := []string{"", "a", "A", "k", "K", "\u212a", "s", "ſ", "ß", "ẞ", "σ", "ς", "Σ", "é", "É", "i", "İ", "ı", "stestgroup", "STestGroup", "\xff", "\xfe"}
	for _, a := range names {
		for _, b := range names {
			if got, want := nameKey(a, "x") == nameKey(b, "X"), strings.EqualFold(a, b); got != want {
				t.Errorf("%q and %q: same key %t, equal %t", a, b, got, want)
			}
		}
	}
	if nameKey("a", "bc") == nameKey("ab", "c") {
		t.Error("where the first name ends is lost")
	}
}
