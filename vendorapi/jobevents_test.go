package vendorapi

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// killEvents is an answer of Events in the shape that public clients read.
const killEvents = `{"commservEvents":[
	{"id":3,"jobId":7,"eventCode":"318768185","eventCodeString":"19:1081","severity":0,"description":"The job was killed by user [CORP\\anna]. Reason:[maintenance]","timeSource":1700000300},
	{"id":2,"jobId":7,"eventCode":"318767286","eventCodeString":"19:182","severity":0,"description":"The job is being killed.","timeSource":1700000299},
	{"id":1,"jobId":7,"eventCode":"218103838","eventCodeString":"13:30","severity":6,"description":"Cannot reach <b>MediaAgent</b> [ma-1].","timeSource":1700000100}]}`

func TestJobReasons(t *testing.T) {
	at := func(second int64) time.Time { return time.Unix(1_700_000_000+second, 0) }
	event := func(code, text string) schemas.Reason {
		return schemas.Reason{Code: code, Text: text, From: schemas.ReasonFromEvent}
	}
	killed, err := readJobEvents("7", response{Status: 200, Body: []byte(killEvents)})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		events []JobEvent
		want   []schemas.Reason
		by     string
	}{
		"none":   {},
		"killed": {killed, []schemas.Reason{event("19:1081", `The job was killed by user [CORP\anna]. Reason:[maintenance]`), event("13:30", "Cannot reach MediaAgent [ma-1].")}, `CORP\anna`},
		"most severe": {[]JobEvent{{"13:30", "minor", 3, at(9)}, {"13:31", "critical", 9, at(1)}, {"80:19", "major", 6, at(5)}},
			[]schemas.Reason{event("13:31", "critical")}, ""},
		"newest":                     {[]JobEvent{{"13:30", "old", 6, at(1)}, {"13:31", "new", 6, at(5)}}, []schemas.Reason{event("13:31", "new")}, ""},
		"information of other parts": {[]JobEvent{{"13:30", "started", 0, at(1)}}, nil, ""},
		"information of the Job Manager, when it is all": {[]JobEvent{{"19:183", "stop pending", 0, at(1)}}, []schemas.Reason{event("19:183", "stop pending")}, ""},
		"no text":                {[]JobEvent{{"19:1917", "", 9, at(1)}, {"13:30", "x", 3, at(1)}}, []schemas.Reason{event("13:30", "x")}, ""},
		"killed without a name":  {[]JobEvent{{"19:1081", "The job was killed.", 0, at(1)}}, []schemas.Reason{event("19:1081", "The job was killed.")}, ""},
		"killed by a plain name": {[]JobEvent{{"19:1081", "Job killed by user admin, Reason:[x]", 0, at(1)}}, []schemas.Reason{event("19:1081", "Job killed by user admin, Reason:[x]")}, "admin"},
	} {
		got, by := JobReasons(c.events)
		if len(got) != len(c.want) || by != c.by {
			t.Errorf("%s: %+v by %q, want %+v by %q", name, got, by, c.want, c.by)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %+v, want %+v", name, got[i], c.want[i])
			}
		}
	}
}

// Every shape in which public clients read events.
func TestReadJobEvents_shapes(t *testing.T) {
	want := JobEvent{Code: "19:1081", Text: "by user [a]", Severity: SeverityMajor, At: time.Unix(1_700_000_000, 0)}
	for name, body := range map[string]string{
		"list":         `{"commservEvents":[{"eventCodeString":"19:1081","severity":6,"description":"by user [a]","timeSource":1700000000}]}`,
		"one":          `{"commservEvents":{"eventCodeString":"19:1081","severity":6,"description":"by user [a]","timeSource":1700000000}}`,
		"text":         `{"commservEvents":[{"eventCodeString":"19:1081","severity":"6","description":"by user [a]","timeSource":"1700000000"}]}`,
		"number alone": `{"commservEvents":[{"eventCode":"318768185","severity":6,"description":"by user [a]","timeSource":1700000000}]}`,
		"XML":          `<EventManager_EventListResponse><commservEvents eventCodeString="19:1081" severity="6" description="by user [a]" timeSource="1700000000"/></EventManager_EventListResponse>`,
	} {
		events, err := readJobEvents("1", response{Status: 200, Body: []byte(body)})
		if err != nil || len(events) != 1 || events[0] != want {
			t.Errorf("%s: %+v, %v", name, events, err)
		}
	}
	for _, body := range []string{`{"commservEvents":[]}`, `{}`} {
		if events, err := readJobEvents("1", response{Status: 200, Body: []byte(body)}); err != nil || len(events) != 0 {
			t.Errorf("%s: %+v, %v", body, events, err)
		}
	}
	for _, body := range []string{``, `OK`, `<html></html>`, `{"errorCode":2,"errorMessage":"no"}`, `{"commservEvents":[`} {
		if events, err := readJobEvents("1", response{Status: 200, Body: []byte(body)}); err == nil {
			t.Errorf("%q is read as %+v", body, events)
		}
	}
}

func TestReadDelayReason(t *testing.T) {
	for body, want := range map[string]string{
		`{"job":{"jobDetail":{"progressInfo":{"reasonForJobDelay":"no <i>drive</i> free"}}}}`:                                                              "no drive free",
		`<JobManager_JobDetailResponse><job><jobDetail><progressInfo reasonForJobDelay="no drive free"/></jobDetail></job></JobManager_JobDetailResponse>`: "no drive free",
		`{}`: "",
	} {
		if got, err := readDelayReason(response{Status: 200, Body: []byte(body)}); err != nil || got != want {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
}

// A page has the jobs of its category, in the order of the vendor; paging is in the headers.
func TestListJobs_pages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := onPipe(t, simulator.Config{JobDuration: time.Minute})
		var ids []string
		for i := range 5 {
			ids = append(ids, begin(t, c, loadTask(i)))
		}
		<-time.After(2 * time.Minute)
		ids = append(ids, begin(t, c, loadTask(5)))
		for category, want := range map[JobCategory]int{ActiveJobs: 1, FinishedJobs: 5, AllJobs: 6} {
			seen := make(map[string]bool)
			for offset := 0; ; {
				page, err := c.ListJobs(t.Context(), JobQuery{Category: category, Lookback: time.Hour, Limit: 2, Offset: offset})
				if err != nil || page.Total != want || page.Rows > 2 {
					t.Fatalf("%s at %d: %+v, %v", category, offset, page, err)
				}
				for _, info := range page.Jobs {
					seen[info.ID] = true
					if finished := info.ID != ids[5]; finished != (info.Outcome == schemas.OutcomeCompleted) || finished == info.Ended.IsZero() {
						t.Errorf("%+v", info)
					}
				}
				if offset += page.Rows; offset >= page.Total || page.Rows == 0 {
					break
				}
			}
			if len(seen) != want {
				t.Errorf("%s: %d jobs, want %d", category, len(seen), want)
			}
		}
		if page, err := c.ListJobs(t.Context(), JobQuery{Category: FinishedJobs, Lookback: 30 * time.Second}); err != nil || len(page.Jobs) != 0 || page.Total != 0 {
			t.Errorf("jobs that ended longer ago are listed: %+v, %v", page, err)
		}
	})
}

// Reads that the vendor refuses for its load hold nothing else: CreateTask is made at once.
func TestListJobs_holdsNoStart(t *testing.T) {
	for _, status := range []int{429, 503} {
		busy := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(status)
		}
		v := startVendor(t, map[string]http.HandlerFunc{"Job": busy, "Events": busy, "7": busy, "CreateTask": always(200, `{"taskId":1,"jobIds":["5"]}`)})
		c := newTestClient(t, v.url)
		_, err := c.ListJobs(t.Context(), JobQuery{Category: AllJobs})
		if e := wantVerdict(t, err, Throttled); e.RetryAfter != time.Minute || e.NotAsked() {
			t.Errorf("%d: %+v", status, e)
		}
		_, err = c.Job(t.Context(), "7")
		wantVerdict(t, err, Throttled)
		_, err = c.JobEvents(t.Context(), "7")
		wantVerdict(t, err, Throttled)
		if job, err := c.CreateTask(t.Context(), testTask()); err != nil || job.ID != "5" {
			t.Errorf("%d: after it CreateTask gives %+v, %v", status, job, err)
		}
		if state := c.Breaker(); state != "closed" {
			t.Errorf("%d: the breaker is %s", status, state)
		}
	}
}

func TestUnsupported(t *testing.T) {
	for status, want := range map[int]bool{404: true, 405: true, 501: true, 400: false, 429: false, 500: false, 503: false} {
		v := startVendor(t, map[string]http.HandlerFunc{"Job": always(status, ``)})
		_, err := newTestClient(t, v.url).ListJobs(t.Context(), JobQuery{Category: AllJobs})
		if err == nil || Unsupported(err) != want {
			t.Errorf("%d: %v is unsupported: %v", status, err, !want)
		}
	}
	if Unsupported(nil) || Unsupported(&UnseenJobError{ID: "7"}) {
		t.Error("no answer of that kind")
	}
}

// A vendor that does not know the parameter sends the events of all jobs.
func TestReadJobEvents_ofOtherJobs(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"commservEvents":[{"jobId":2,"eventCodeString":"19:1081","description":"killed by user [eve]"},{"jobId":1,"eventCodeString":"19:857","description":"mine"},{"eventCodeString":"19:858","description":"of no job"}]}`,
		`<EventManager_EventListResponse><commservEvents jobId="2" eventCodeString="19:1081" description="killed by user [eve]"/><commservEvents jobId="1" eventCodeString="19:857" description="mine"/><commservEvents eventCodeString="19:858" description="of no job"/></EventManager_EventListResponse>`,
	} {
		events, err := readJobEvents("1", response{Status: 200, Body: []byte(body)})
		if err != nil || len(events) != 2 || events[0].Text != "mine" || events[1].Text != "of no job" {
			t.Errorf("%+v, %v", events, err)
		}
	}
}
