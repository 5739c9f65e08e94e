package simulator_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// Every fault is sent over a real connection to a net/http client.
func TestFaults(t *testing.T) {
	type want struct {
		status int    // 0: no answer
		err    error  // when there is no answer
		body   string // part of it
		header string // "Name: value"
		jobs   int
		final  string // the status of the job in the end
	}
	for _, test := range []struct {
		fault simulator.Fault
		want  want
	}{
		{simulator.Fault{}, want{status: 200, body: `"jobIds":["5976"]`, jobs: 1}},
		{simulator.Fault{Kind: simulator.None}, want{status: 200, body: `"jobIds":["5976"]`, jobs: 1}},
		{simulator.Fault{Kind: simulator.Status, Status: 307, Header: map[string]string{"Location": "http://127.0.0.1:1/"}}, want{err: syscall.ECONNREFUSED}},
		{simulator.Fault{Kind: simulator.Status, Status: 418, Body: "short and stout"}, want{status: 418, body: "short and stout"}},
		{simulator.Fault{Kind: simulator.Status, Status: 504, AfterStart: true}, want{status: 504, body: "<TITLE>Gateway Timeout", jobs: 1}},
		{simulator.Fault{Kind: simulator.Unauthorised}, want{status: 401, body: `"errorCode":5`}},
		{simulator.Fault{Kind: simulator.TooManyRequests, For: 36 * time.Second}, want{status: 429, header: "X-Ratelimit-Period: 36"}},
		{simulator.Fault{Kind: simulator.Crash}, want{status: 500, body: `{"error":{"errorMessage":`}},
		{simulator.Fault{Kind: simulator.Crash, AfterStart: true}, want{status: 500, body: `{"error":{"errorMessage":`, jobs: 1}},
		{simulator.Fault{Kind: simulator.Refused500}, want{status: 500, body: `"errorCode":2}`}},
		{simulator.Fault{Kind: simulator.Unavailable, For: 1500 * time.Millisecond}, want{status: 503, header: "Retry-After: 2"}},
		{simulator.Fault{Kind: simulator.HTML}, want{status: 503, body: "<TITLE>Service Unavailable</TITLE>", header: "Retry-After: "}},
		{simulator.Fault{Kind: simulator.CutBeforeStart}, want{err: io.EOF}},
		{simulator.Fault{Kind: simulator.CutAfterStart}, want{err: io.EOF, jobs: 1}},
		{simulator.Fault{Kind: simulator.ResetAfterStart}, want{err: syscall.ECONNRESET, jobs: 1}},
		{simulator.Fault{Kind: simulator.HalfBody}, want{status: 200, err: io.ErrUnexpectedEOF, body: `{"taskId":4038`, jobs: 1}},
		{simulator.Fault{Kind: simulator.Trickle, For: time.Millisecond}, want{status: 200, body: `"jobIds":["5976"]`, jobs: 1}},
		{simulator.Fault{Kind: simulator.PlainText}, want{status: 200, body: "Task created successfully.", header: "Content-Type: application/json; charset=utf-8", jobs: 1}},
		{simulator.Fault{Kind: simulator.Empty}, want{status: 200, header: "Content-Length: 0", jobs: 1}},
		{simulator.Fault{Kind: simulator.Malformed}, want{status: 200, body: `{"taskId":4038,"jobId`, jobs: 1}},
		{simulator.Fault{Kind: simulator.TaskOnly}, want{status: 200, body: `{"taskId":4038}`}},
		{simulator.Fault{Kind: simulator.FailedToStart}, want{status: 200, body: `"jobIds":["5976"]`, jobs: 1, final: "Failed to Start"}},
		{simulator.Fault{Kind: simulator.EndsFailed}, want{status: 200, body: `"jobIds":["5976"]`, jobs: 1, final: "Failed"}},
		{simulator.Fault{Kind: simulator.EndsWithErrors}, want{status: 200, jobs: 1, final: "Completed w/ one or more errors"}},
		{simulator.Fault{Kind: simulator.EndsCommitted}, want{status: 200, jobs: 1, final: "Committed"}},
		{simulator.Fault{Kind: simulator.OddSpelling}, want{status: 200, body: "{\r\"taskId\":4038,\"jobIds\":[\r5976\r]\r}", jobs: 1}},
		{simulator.Fault{Kind: simulator.Delay, For: time.Millisecond}, want{status: 200, jobs: 1}},
		{simulator.Fault{Kind: simulator.Slow, For: time.Millisecond}, want{status: 200, jobs: 1}},
		{simulator.Fault{Kind: simulator.LateStart, For: time.Millisecond}, want{status: 200, jobs: 1}},
		{simulator.Fault{Kind: simulator.HangAfterStart, For: time.Millisecond}, want{err: io.EOF, jobs: 1}},
	} {
		t.Run(test.fault.String(), func(t *testing.T) {
			sim, c := start(t, simulator.Config{JobDuration: time.Nanosecond})
			sim.Script(test.fault)
			got, err := c.send(http.MethodPost, "/CreateTask", task("stestgroup", "m"))
			if got.status != test.want.status || !errors.Is(err, test.want.err) {
				t.Errorf("status %d, error %v", got.status, err)
			}
			if !strings.Contains(got.body, test.want.body) {
				t.Errorf("body %q", got.body)
			}
			if name, value, ok := strings.Cut(test.want.header, ": "); ok && got.header.Get(name) != value {
				t.Errorf("%s is %q, want %q", name, got.header.Get(name), value)
			}
			a := sim.Account()
			if a.JobsStarted != test.want.jobs || len(a.JobsByMarker["m"]) != test.want.jobs {
				t.Errorf("%d jobs started: %v", a.JobsStarted, a.JobsByMarker)
			}
			if kind := test.fault.String(); kind != "none" && a.Faults[kind] != 1 {
				t.Errorf("faults: %v", a.Faults)
			}
			if test.want.final != "" && c.status("5976") != test.want.final {
				t.Errorf("the job is %s", c.status("5976"))
			}
		})
	}
}

func TestJob_FailedToStart(t *testing.T) {
	sim, c := direct(t, simulator.Config{})
	sim.Script(simulator.Fault{Kind: simulator.FailedToStart})
	c.get("/Job/"+c.start("stestgroup", "")).want("jobs.0.jobSummary.percentComplete", "100",
		"jobs.0.jobSummary.jobElapsedTime", "0", "jobs.0.jobSummary.jobSubmitErrorCode", "14")
}

func TestFaults_401EndsTheSession(t *testing.T) {
	sim, c := direct(t, simulator.Config{})
	sim.Script(simulator.Fault{Kind: simulator.Unauthorised})
	c.call(http.StatusUnauthorized, http.MethodPost, "/CreateTask", task("stestgroup", ""))
	c.denied()
	c.login()
	c.start("stestgroup", "")
}

func TestFaults_OddSpelling(t *testing.T) {
	sim, c := direct(t, simulator.Config{})
	odd := simulator.Fault{Kind: simulator.OddSpelling}
	sim.Script(odd, odd)
	got := c.post("/CreateTask", task("stestgroup", ""), "Accept: application/xml")
	if !strings.HasPrefix(got.body, "<?xml version=") {
		t.Errorf("answer %q", got.body)
	}
	wantTree(t, got.body, `<TMMsg_CreateTaskResp taskId="4038"><jobIds val="5976"/></TMMsg_CreateTaskResp>`)
	got = c.post("/CreateTask", task("x", ""), "Accept: application/xml")
	if !strings.Contains(got.body, `<TMMsg_GenericResp errorCode="587207178" errorMessage="Failed`) {
		t.Errorf("answer %q", got.body)
	}
	sim.ScriptFor("taskdetails", odd)
	marker := "backhaul:billing/7"
	details := c.get("/Job/" + c.start("stestgroup", marker) + "/TaskDetails")
	details.want("taskInfo.subTasks.0.options.commonOpts.jobDescription", marker)
	if strings.Contains(details.body, marker) || !strings.Contains(details.body, `backhaul:billing\u002f7`) {
		t.Errorf("answer %q", details.body)
	}
}

func TestScriptFor_IsConsumedInOrder(t *testing.T) {
	sim, c := direct(t, simulator.Config{})
	sim.SetFaults([]simulator.Chance{{Fault: simulator.Fault{Kind: simulator.Crash}, Probability: 1}})
	sim.Script(simulator.Fault{Kind: simulator.HTML}, simulator.Fault{})
	sim.Script(simulator.Fault{Kind: simulator.Unavailable})
	sim.ScriptFor("Jobs", simulator.Fault{Kind: simulator.Status, Status: 502})
	c.call(http.StatusBadGateway, http.MethodPost, "/Jobs", "{}")
	c.post("/Jobs", "{}")
	var got []int
	for range 5 {
		reply, err := c.send(http.MethodPost, "/CreateTask", task("stestgroup", ""))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, reply.status)
	}
	if want := []int{503, 200, 503, 500, 500}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for name, script := range map[string]func(){
		"endpoint": func() { sim.ScriptFor("Nothing") },
		"kind":     func() { sim.Script(simulator.Fault{Kind: "x"}) },
		"place":    func() { sim.SetFaults([]simulator.Chance{{Endpoint: "x"}}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("an unknown %s in a script does not panic", name)
				}
			}()
			script()
		}()
	}
}

func TestSetFaults_RepeatsBySeed(t *testing.T) {
	faults, err := simulator.ParseFaults("504=0.3,500=0.3,html=0.1,Jobs/502=0.5")
	if err != nil {
		t.Fatal(err)
	}
	run := func(seed int64, otherCalls bool) (statuses []int) {
		sim, c := direct(t, simulator.Config{Seed: seed})
		sim.SetFaults(faults)
		for range 200 {
			reply, err := c.send(http.MethodPost, "/CreateTask", task("stestgroup", ""))
			if err != nil {
				t.Fatal(err)
			}
			statuses = append(statuses, reply.status)
			if otherCalls {
				_, _ = c.send(http.MethodPost, "/Jobs", "{}")
			}
		}
		return statuses
	}
	first := run(1, false)
	if again := run(1, true); !slices.Equal(first, again) {
		t.Error("the same seed gave other faults")
	}
	if other := run(2, false); slices.Equal(first, other) {
		t.Error("another seed gave the same faults")
	}
	count := make(map[int]int)
	for _, status := range first {
		count[status]++
	}
	for _, status := range []int{200, 500, 503, 504} {
		if count[status] < 5 {
			t.Errorf("statuses %v", count)
		}
	}
}

func TestParseFaults(t *testing.T) {
	chance := func(endpoint string, p float64, f simulator.Fault) simulator.Chance {
		return simulator.Chance{Fault: f, Endpoint: endpoint, Probability: p}
	}
	for spec, want := range map[string][]simulator.Chance{
		"":     nil,
		" ":    nil,
		"none": nil,
		"cut-after-start=0.05, 503=0.05,slow=3s": {
			chance("CreateTask", 0.05, simulator.Fault{Kind: simulator.CutAfterStart}),
			chance("CreateTask", 0.05, simulator.Fault{Kind: simulator.Unavailable}),
			chance("CreateTask", 1, simulator.Fault{Kind: simulator.Slow, For: 3 * time.Second}),
		},
		"slow=0.1:3s": {chance("CreateTask", 0.1, simulator.Fault{Kind: simulator.Slow, For: 3 * time.Second})},
		"slow=1":      {chance("CreateTask", 1, simulator.Fault{Kind: simulator.Slow})},
		"jobs/502=0.5,login/html-after-start=1": {
			chance("Jobs", 0.5, simulator.Fault{Kind: simulator.Status, Status: 502}),
			chance("Login", 1, simulator.Fault{Kind: simulator.HTML, AfterStart: true}),
		},
		"503-after-start=0.5:2s,500-refused=0": {
			chance("CreateTask", 0.5, simulator.Fault{Kind: simulator.Unavailable, AfterStart: true, For: 2 * time.Second}),
			chance("CreateTask", 0, simulator.Fault{Kind: simulator.Refused500}),
		},
	} {
		got, err := simulator.ParseFaults(spec)
		if err != nil || !slices.EqualFunc(got, want, func(a, b simulator.Chance) bool {
			return a.Endpoint == b.Endpoint && a.Probability == b.Probability && a.For == b.For && a.String() == b.String()
		}) {
			t.Errorf("%q: %+v, %v", spec, got, err)
		}
	}
	for spec, want := range map[string]string{
		"503":                  "must be kind=probability",
		"=1":                   "unknown kind",
		"oops=1":               "unknown kind \"oops\": must be one of none, 401",
		"status=1":             "unknown kind",
		"600=1":                "unknown kind",
		"0503=1":               "unknown kind",
		"slow-after-start=1":   "unknown kind",
		"Nothing/503=1":        "unknown endpoint",
		"503=2":                "must be between 0 and 1",
		"503=-1":               "must be between 0 and 1",
		"503=NaN":              "must be between 0 and 1",
		"503=x":                "not a probability or a duration",
		"503=1s:1s":            "not a probability",
		"503=0.1:x":            "not a probability or a duration",
		"503=0.1:-1s":          "not a probability or a duration",
		"503=0.1,,504=0.1":     "must be kind=probability",
		"cut-after-start=0.1;": "not a probability or a duration",
	} {
		if got, err := simulator.ParseFaults(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", spec, got, err, want)
		}
	}
}

func TestParseScript(t *testing.T) {
	script, err := simulator.ParseScript(" cut-after-start, none,503:10s,jobs/502,504-after-start ")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]simulator.Fault{
		"CreateTask": {{Kind: simulator.CutAfterStart}, {Kind: simulator.None}, {Kind: simulator.Unavailable, For: 10 * time.Second}, {Kind: simulator.Status, Status: 504, AfterStart: true}},
		"Jobs":       {{Kind: simulator.Status, Status: 502}},
	}
	if !reflect.DeepEqual(script, want) {
		t.Errorf("%+v, want %+v", script, want)
	}
	if script, err := simulator.ParseScript(""); script != nil || err != nil {
		t.Errorf("no script is %+v, %v", script, err)
	}
	for spec, want := range map[string]string{
		"oops": "unknown kind", "Nothing/503": "unknown endpoint", "503:soon": "not a duration", "503:-1s": "not a duration", "503=1": "unknown kind", "503,,504": "unknown kind",
	} {
		if got, err := simulator.ParseScript(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", spec, got, err, want)
		}
	}
}

// Behaviours names every endpoint, so that the list is complete.
func TestBehaviours_NameEveryEndpoint(t *testing.T) {
	var told strings.Builder
	for _, b := range simulator.Behaviours() {
		told.WriteString(strings.ReplaceAll(b.Text, "/", "") + "\n")
	}
	for _, name := range simulator.Endpoints() {
		if !regexp.MustCompile(`\b` + name + `\b|V4` + name).MatchString(told.String()) {
			t.Errorf("no behaviour names %s", name)
		}
	}
}

func FuzzParseFaults(f *testing.F) {
	f.Add("cut-after-start=0.05,503=0.05:10s,slow=3s,Jobs/503=0.1,504-after-start=0.01")
	f.Add("none")
	f.Add("503=NaN")
	f.Fuzz(func(t *testing.T, spec string) {
		chances, err := simulator.ParseFaults(spec)
		if err != nil {
			return
		}
		sim := simulator.New(simulator.Config{})
		sim.SetFaults(chances)
		for _, c := range chances {
			if !(c.Probability >= 0 && c.Probability <= 1) || c.For < 0 || c.Endpoint == "" {
				t.Errorf("%q: %+v", spec, c)
			}
			sim.ScriptFor(c.Endpoint, c.Fault) // panics on what it does not know
		}
	})
}

func TestBehaviours_NameEveryKind(t *testing.T) {
	source, err := os.ReadFile("fault.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := make(map[string]bool)
	for _, match := range regexp.MustCompile(`(?m)^\t\w+ +Kind = "(.+?)"`).FindAllStringSubmatch(string(source), -1) {
		declared["fault "+match[1]] = true
	}
	described := make(map[string]bool)
	for _, b := range simulator.Behaviours() {
		if b.Basis == "" || b.Text == "" {
			t.Errorf("%s has no basis or no text", b.Name)
		}
		if strings.HasPrefix(b.Name, "fault ") {
			described[b.Name] = true
		}
	}
	if !maps.Equal(declared, described) || len(declared) < 20 {
		t.Errorf("declared %v\ndescribed %v", declared, described)
	}
}

// Waits last as long as configured, and end when the client disconnects.
func TestFaults_Waits(t *testing.T) {
	for _, test := range []struct {
		kind     simulator.Kind
		patience time.Duration
		took     time.Duration
		status   int
		jobs     int
	}{
		{simulator.Delay, time.Hour, 7 * time.Second, 200, 1},
		{simulator.Delay, time.Second, time.Second, 0, 0},
		{simulator.Slow, time.Hour, 7 * time.Second, 200, 1},
		{simulator.Slow, time.Second, time.Second, 0, 1},
		{simulator.LateStart, time.Hour, 7 * time.Second, 200, 1},
		{simulator.LateStart, time.Second, time.Second, 0, 1},
		{simulator.HangAfterStart, time.Hour, 7 * time.Second, 0, 1},
		{simulator.HangAfterStart, time.Second, time.Second, 0, 1},
	} {
		t.Run(string(test.kind)+" "+test.patience.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim, endpoint, transport := simulatortest.StartPipe(t, simulator.Config{})
				c := &client{t: t, endpoint: endpoint, http: &http.Client{Transport: transport, Timeout: test.patience}}
				c.login()
				sim.Script(simulator.Fault{Kind: test.kind, For: 7 * time.Second})
				begin := time.Now()
				got, err := c.send(http.MethodPost, "/CreateTask", task("stestgroup", "m"))
				if took := time.Since(begin); took != test.took || got.status != test.status || (err == nil) != (test.status == 200) {
					t.Errorf("after %v: status %d, %v", took, got.status, err)
				}
				synctest.Wait()
				if n := sim.Account().JobsStarted; n != test.jobs {
					t.Errorf("%d jobs", n)
				}
			})
		})
	}
}

// The job of a late start is invisible until it is created, even if the client does not
// wait for it.
func TestFaults_LateStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, endpoint, transport := simulatortest.StartPipe(t, simulator.Config{})
		c := &client{t: t, endpoint: endpoint, http: &http.Client{Transport: transport, Timeout: time.Second}}
		c.login()
		sim.Script(simulator.Fault{Kind: simulator.LateStart, For: 40 * time.Second})
		if _, err := c.send(http.MethodPost, "/CreateTask", task("stestgroup", "m")); err == nil {
			t.Fatal("answered in time")
		}
		<-time.After(38 * time.Second)
		if got := c.status("5976"); got != "" {
			t.Errorf("%s before its time", got)
		}
		<-time.After(time.Second)
		if got := c.status("5976"); got != "Running" {
			t.Errorf("the job is %q", got)
		}
	})
}
