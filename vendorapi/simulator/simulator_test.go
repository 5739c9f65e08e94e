package simulator_test

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
)

// The simulator must not share code with the client that it tests. The format of recordings is not
// the client's.
func TestPackage_SharesNoCodeWithTheClient(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if path == "backhaul/vendorapi/recording" {
				continue
			}
			if first, _, _ := strings.Cut(path, "/"); first == "backhaul" || strings.Contains(first, ".") {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}

func TestPackage_EveryFileChecksForSecrets(t *testing.T) { secretstest.EveryFile(t) }

func TestSimulator_ConcurrentCalls(t *testing.T) {
	sim, c := start(t, simulator.Config{})
	c.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 16
	const workers, calls = 16, 25
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range calls {
				marker := fmt.Sprintf("backhaul:test/%d-%d", w, i)
				id := c.start(fmt.Sprintf("load-%d", i), marker)
				got := c.get("/Job/" + id + "/TaskDetails").text("taskInfo.subTasks.0.options.commonOpts.jobDescription")
				if got != marker {
					t.Errorf("job %s has the marker %q, want %q", id, got, marker)
				}
				c.post("/Jobs", `{"category":1}`)
				_ = sim.Account()
			}
		})
	}
	wg.Wait()
	a := sim.Account()
	if a.JobsStarted != workers*calls || len(a.JobsByMarker) != workers*calls || a.CreateTaskCalls != workers*calls {
		t.Errorf("%d calls, %d jobs, %d markers", a.CreateTaskCalls, a.JobsStarted, len(a.JobsByMarker))
	}
	if a.MaxConcurrent < 1 || a.MaxConcurrent > workers || a.Connections < 1 {
		t.Errorf("%d at once over %d connections", a.MaxConcurrent, a.Connections)
	}
	if a.Calls["Jobs"] != workers*calls || a.Calls["Login"] != 1 {
		t.Errorf("calls %v", a.Calls)
	}
}

func TestSimulator_DateHeader(t *testing.T) {
	now := newClock()
	_, c := start(t, simulator.Config{Now: now.Now})
	if got := c.get("/Job/1").header.Get("Date"); got != "Mon, 23 Nov 2026 10:00:00 GMT" {
		t.Errorf("Date %q", got)
	}
}

func TestControl(t *testing.T) {
	sim, c := direct(t, simulator.Config{})
	control := *c
	control.endpoint, control.token = "http://simulator.invalid/simulator", ""
	c.start("stestgroup", "m")

	var a simulator.Account
	if err := json.Unmarshal([]byte(control.get("/account").body), &a); err != nil || !reflect.DeepEqual(a, sim.Account()) {
		t.Errorf("%+v, %v\nwant %+v", a, err, sim.Account())
	}
	var behaviours []simulator.Behaviour
	if err := json.Unmarshal([]byte(control.get("/behaviours").body), &behaviours); err != nil || len(behaviours) < 40 {
		t.Errorf("%d behaviours, %v", len(behaviours), err)
	}

	got := control.call(http.StatusBadRequest, http.MethodPost, "/faults", "oops=1")
	if !strings.Contains(got.body, `unknown kind "oops"`) {
		t.Errorf("answer %q", got.body)
	}
	control.call(http.StatusNoContent, http.MethodPost, "/faults", "504=1")
	c.call(http.StatusGatewayTimeout, http.MethodPost, "/CreateTask", task("stestgroup", ""))
	control.call(http.StatusNoContent, http.MethodPost, "/faults", "")
	control.call(http.StatusNoContent, http.MethodPost, "/script", "502,Job/504")
	c.call(http.StatusBadGateway, http.MethodPost, "/CreateTask", task("stestgroup", ""))
	c.call(http.StatusGatewayTimeout, http.MethodGet, "/Job/1", "")
	control.call(http.StatusBadRequest, http.MethodPost, "/script", "oops")
	control.call(http.StatusNoContent, http.MethodPost, "/blackout", "on")
	if got := c.status(c.start("load-1", "")); got != "Queued" {
		t.Errorf("in a blackout window a job is %s", got)
	}
	control.call(http.StatusBadRequest, http.MethodPost, "/blackout", "maybe")
	control.call(http.StatusNotFound, http.MethodGet, "/reset", "")
	control.call(http.StatusNoContent, http.MethodPost, "/blackout", "off")

	control.call(http.StatusNoContent, http.MethodPost, "/clock", "stop")
	control.call(http.StatusNoContent, http.MethodPost, "/next-lives", "pending:90s,no-run")
	control.call(http.StatusNoContent, http.MethodPost, "/lives", "load-3/failed-to-start=1")
	first, second := c.start("load-2", ""), c.start("load-3", "")
	if a, b := c.status(first), c.status(second); a != "Pending" || b != "Failed to Start" {
		t.Errorf("%s, %s", a, b)
	}
	before := control.get("/clock").body
	control.call(http.StatusNoContent, http.MethodPost, "/clock", "1m30s")
	if after := control.get("/clock").body; after == before {
		t.Errorf("the clock stays at %s", after)
	}
	if got := c.status(first); got != "No Run" {
		t.Errorf("after its time a job is %s", got)
	}
	control.call(http.StatusNoContent, http.MethodPost, "/clock", "run")
	third := c.start("load-2", "")
	control.call(http.StatusNoContent, http.MethodPost, "/life?job="+third, "suspended")
	if got := c.status(third); got != "Suspended" {
		t.Errorf("with its new life a job is %s", got)
	}
	for path, body := range map[string]string{"/life?job=1": "suspended", "/life?job=" + third: "oops", "/lives": "oops", "/next-lives": "oops", "/clock": "-1s"} {
		control.call(http.StatusBadRequest, http.MethodPost, path, body)
	}

	sim.Script(simulator.Fault{Kind: simulator.HTML})
	control.call(http.StatusNoContent, http.MethodPost, "/reset", "")
	if a := sim.Account(); a.JobsStarted != 0 || a.CreateTaskCalls != 0 || len(a.Calls) != 0 {
		t.Errorf("after a reset: %+v", a)
	}
	c.denied()
	c.login()
	if id := c.start("stestgroup", ""); id != "5976" || c.status(id) != "Running" {
		t.Errorf("after a reset the first job is %s and %s", id, c.status(id))
	}
}

func TestLoadWorld(t *testing.T) {
	world, err := simulator.LoadWorld(strings.NewReader(`{
		"clients":[{"name":"files","appName":"File System","instances":[{"name":"DefaultInstanceName",
			"backupSets":[{"name":"defaultBackupSet","contentGroups":["default","home"]}]}]}],
		"plans":["gold"],
		"users":[{"name":"ann","password":"YQ==","company":"acme","accessToken":"given-access","refreshToken":"given-refresh"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	_, c := newClient(t, simulator.Config{World: world})
	c.token = c.post("/Login", `{"username":"ann","password":"YQ=="}`).text("token")
	c.post("/CreateTask", `{"taskInfo":{"associations":[{"clientName":"files","appName":"File System"}],"subTasks":[{}]}}`).
		want("jobIds.0", "5976", "jobIds.1", "5977")
	c.get("/Job/5977").want("jobs.0.jobSummary.subclient.subclientName", "home", "jobs.0.jobSummary.subclient.applicationId", "33")

	defaults, err := json.Marshal(simulator.DefaultWorld())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := simulator.LoadWorld(strings.NewReader(string(defaults))); err != nil || !reflect.DeepEqual(again, simulator.DefaultWorld()) {
		t.Errorf("the default world differs after JSON: %+v, %v", again, err)
	}

	for input, want := range map[string]string{
		``:                        "EOF",
		`{"client":[]}`:           `unknown field "client"`,
		`{"clients":[{"nme":1}]}`: `unknown field "nme"`,
		`{} {}`:                   "text after the JSON object",
		`{"plans":["a","A"]}`:     `plans: "A" is given twice`,
		`{"clients":[{}]}`:        "clients: a name is empty",
		`{"users":[{"name":"a","password":"?"}]}`: `the password of "a" is not Base64`,
		`{"clients":[{"name":"c","instances":[{"name":"i","backupSets":[{"name":"b","contentGroups":["x","x"]}]}]}]}`: `"x" is given twice`,
	} {
		if _, err := simulator.LoadWorld(strings.NewReader(input)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", input, err, want)
		}
	}
}

func TestJobDuration(t *testing.T) {
	now := newClock()
	_, c := direct(t, simulator.Config{Now: now.Now, JobDuration: time.Minute})
	id := c.start("stestgroup", "")
	now.pass(59 * time.Second)
	c.get("/Job/"+id).want("jobs.0.jobSummary.status", "Running", "jobs.0.jobSummary.percentComplete", "98")
}

func TestSimulator_RefusesALargeBody(t *testing.T) {
	_, c := direct(t, simulator.Config{})
	c.call(http.StatusRequestEntityTooLarge, http.MethodPost, "/CreateTask", strings.Repeat(" ", 2<<20))
}
