package canary

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"backhaul/cmd/internal/doctor"
	"backhaul/publisher"
	"backhaul/vendorapi"
	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// rig is a canary at a simulator over HTTP.
type rig struct {
	t *testing.T
	Canary
	sim  *simulator.Simulator
	mu   sync.Mutex
	said []string
}

func newRig(t *testing.T, cfg simulator.Config, change ...func(*vendorapi.Config)) *rig {
	t.Helper()
	if cfg.JobDuration == 0 {
		cfg.JobDuration = 100 * time.Millisecond
	}
	sim, endpoint := simulatortest.Start(t, cfg)
	r := &rig{t: t, sim: sim, Canary: Canary{
		Task: NewTask("s-adhoc-object-storage", "stestgroup"), Timeout: 20 * time.Second, Window: time.Minute, InDoubt: "reconcile",
		Interval: 20 * time.Millisecond, Limits: new(Limits),
	}}
	r.Say = func(line string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.said = append(r.said, line)
	}
	clientConfig := vendorapi.Config{Endpoint: endpoint, Timeout: 5 * time.Second, Answered: r.Limits.Answered, Auth: vendorapi.Auth{
		Mode: vendorapi.AuthLogin, Username: "backhaul", Password: func() (vendorapi.Secret, error) { return "simulator", nil },
	}}
	for _, f := range change {
		f(&clientConfig)
	}
	client, err := vendorapi.New(clientConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(context.Background()) })
	r.Vendor = client
	return r
}

// want checks that a finding has the level and says something.
func (r *rig) want(got Result, level doctor.Level, check, says string) {
	r.t.Helper()
	for _, f := range got.Findings {
		if f.Check == "canary "+check && f.Level == level && strings.Contains(f.What+" -> "+f.Fix, says) {
			return
		}
	}
	r.t.Errorf("no %s of %q that says %q in %+v", level, check, says, got.Findings)
}

// oneJob checks that the vendor has one job, that of the canary.
func (r *rig) oneJob(got Result) {
	r.t.Helper()
	account := r.sim.Account()
	if ids := account.JobsByMarker[r.Task.Marker]; account.JobsStarted != 1 || len(ids) != 1 || ids[0] != got.JobID {
		r.t.Errorf("jobs %v of %d, and the canary names %q", ids, account.JobsStarted, got.JobID)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	secretstest.NotShown(r.t, r.sim.Secrets(), got, r.said)
}

func TestRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.sim.ScriptLives(simulator.MustParseLife("pending:200ms(13:30 no contact),running:200ms,completed"))
	got := r.Run(t.Context())
	r.oneJob(got)
	r.want(got, doctor.OK, "start", "job 5976, answered in")
	r.want(got, doctor.OK, "job list", "GET, asked for JSON: a list in JSON")
	r.want(got, doctor.OK, "job list", "GET, asked for XML: a list in XML")
	r.want(got, doctor.OK, "visibility", "was listed")
	r.want(got, doctor.OK, "description", "is shown")
	r.want(got, doctor.Note, "limits", "no answer named a limit")
	r.want(got, doctor.OK, "end", "(13:30 no contact), Running after")
	r.want(got, doctor.OK, "end", ", Completed after")
	r.want(got, doctor.OK, "settings", "BACKHAUL_VENDOR_VISIBILITY_WINDOW=1m0s and BACKHAUL_IN_DOUBT=reconcile")
	if !strings.Contains(strings.Join(r.said, "\n"), r.Task.Marker) || strings.HasPrefix(r.said[0], "job") {
		t.Errorf("the marker is said before the start: %q", r.said)
	}
}

// A limit of the vendor is reported, and its pause is waited for.
func TestLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.sim.ScriptFor("Job", simulator.Fault{Kind: simulator.TooManyRequests, For: time.Second})
	r.sim.ScriptLives(simulator.MustParseLife("running:10ms,completed"))
	began := time.Now()
	got := r.Run(t.Context())
	r.oneJob(got)
	r.want(got, doctor.Note, "limits", "Job: X-Ratelimit-Period: 1")
	if a := r.sim.Account(); time.Since(began) < time.Second || a.Calls["Job"] != 2 {
		t.Errorf("%d calls of GET Job after %s", a.Calls["Job"], time.Since(began))
	}
}

// The marker is that of no request, whatever its source and key.
func TestTheMarkerIsNoRequests(t *testing.T) {
	t.Parallel()
	marker := NewTask("c", "g").Marker
	if other := NewTask("c", "g").Marker; other == marker {
		t.Errorf("twice %q", marker)
	}
	kind, _, _ := strings.Cut(publisher.NewKey("canary", "x").Marker(), ":")
	if strings.HasPrefix(marker, kind+":") {
		t.Errorf("%q begins as those of requests", marker)
	}
}

func TestAJobThatIsInvisibleForAWhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{VisibleAfter: time.Second})
	r.Window = 300 * time.Millisecond
	got := r.Run(t.Context())
	r.oneJob(got)
	r.want(got, doctor.OK, "visibility", "was listed 1")
	r.want(got, doctor.OK, "end", "Completed")
	r.want(got, doctor.Warning, "settings", "they are 300ms and reconcile now")
}

// What the vendor does not list after its end is reported, and no window is suggested.
func TestAJobThatIsNeverListed(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{VisibleAfter: time.Hour})
	r.Timeout = 300 * time.Millisecond
	got := r.Run(t.Context())
	r.oneJob(got)
	r.want(got, doctor.Error, "visibility", "was not listed within")
	r.want(got, doctor.Warning, "end", "no status was shown")
	r.want(got, doctor.Warning, "settings", "BACKHAUL_IN_DOUBT=fail until jobs are listed")
}

func TestADescriptionThatIsNotShown(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{HideDescriptions: true})
	got := r.Run(t.Context())
	r.oneJob(got)
	r.want(got, doctor.Warning, "description", "is not shown by TaskDetails")
	r.want(got, doctor.Warning, "settings", "BACKHAUL_IN_DOUBT=fail fit")
}

// Where GET is not answered, the job is found by POST.
func TestListsByPostOnly(t *testing.T) {
	t.Parallel()
	for _, status := range []int{404, 405} {
		r := newRig(t, simulator.Config{})
		r.sim.SetFaults([]simulator.Chance{{Endpoint: "JobList", Probability: 1, Fault: simulator.Fault{Kind: simulator.Status, Status: status}}})
		got := r.Run(t.Context())
		r.oneJob(got)
		r.want(got, doctor.Note, "job list", "GET, asked for JSON: JobList: ")
		r.want(got, doctor.OK, "job list", "POST, asked for JSON: a list")
		r.want(got, doctor.Warning, "job list", "only POST is answered")
		r.want(got, doctor.OK, "visibility", "was listed")
	}
}

// The state is read from the list where GET Job/{id} is not answered.
func TestTheStateIsReadFromTheList(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.sim.SetFaults([]simulator.Chance{{Endpoint: "Job", Probability: 1, Fault: simulator.Fault{Kind: simulator.Status, Status: 404}}})
	got := r.Run(t.Context())
	r.oneJob(got)
	r.want(got, doctor.OK, "end", "Completed")
}

// A job whose answer is lost is found by its description, and not started again.
func TestALostAnswer(t *testing.T) {
	t.Parallel()
	for _, kind := range []simulator.Kind{simulator.CutAfterStart, simulator.HalfBody, simulator.Empty} {
		r := newRig(t, simulator.Config{VisibleAfter: 300 * time.Millisecond})
		r.sim.Script(simulator.Fault{Kind: kind})
		got := r.Run(t.Context())
		r.oneJob(got)
		r.want(got, doctor.Warning, "start", "was found by its description after")
		r.want(got, doctor.OK, "end", "Completed")
		if calls := r.sim.Account().CreateTaskCalls; calls != 1 {
			t.Errorf("%s: %d calls of CreateTask", kind, calls)
		}
	}
}

// Without a job the search ends, and nothing is sent again.
func TestALostAnswerWithoutAJob(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.Window = 50 * time.Millisecond
	r.sim.Script(simulator.Fault{Kind: simulator.CutBeforeStart})
	got := r.Run(t.Context())
	r.want(got, doctor.Error, "start", "no job was found with the description "+r.Task.Marker)
	if a := r.sim.Account(); a.CreateTaskCalls != 1 || a.JobsStarted != 0 || got.JobID != "" {
		t.Errorf("%d calls, %d jobs, job %q", a.CreateTaskCalls, a.JobsStarted, got.JobID)
	}
}

func TestAJobThatIsKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.sim.ScriptLives(simulator.MustParseLife("running:200ms,killed(ann not needed)"))
	got := r.Run(t.Context())
	r.want(got, doctor.Warning, "end", "Killed after")
	r.want(got, doctor.Warning, "end", "by ann")
	r.sim.ScriptLives(simulator.MustParseLife("failed-to-start(14)"))
	r.Task = NewTask("s-adhoc-object-storage", "load-1")
	r.want(r.Run(t.Context()), doctor.Error, "end", "Failed to Start")
}

// Names that match nothing are answered with those that the vendor has, other refusals as they are.
func TestARefusedStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.Task = NewTask("nobody", "stestgroup")
	got := r.Run(t.Context())
	r.want(got, doctor.Error, "start", "no client or content group matches nobody/stestgroup")
	r.want(got, doctor.Error, "start", "the vendor has the clients s-adhoc-object-storage")
	r.Task = NewTask("S-adhoc-object-storage", "nothing")
	r.want(r.Run(t.Context()), doctor.Error, "start", "the vendor has the client: see the name of the content group")
	r.sim.SetFaults([]simulator.Chance{{Endpoint: "Client", Probability: 1, Fault: simulator.Fault{Kind: simulator.Status, Status: 403}}})
	r.want(r.Run(t.Context()), doctor.Error, "start", "does not list its clients to this user")
	if jobs := r.sim.Account().JobsStarted; jobs != 0 {
		t.Errorf("%d jobs", jobs)
	}
	r.sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: 7 * time.Second})
	got = r.Run(t.Context())
	r.want(got, doctor.Error, "start", "no job was started: CreateTask")
	r.want(got, doctor.Note, "limits", "CreateTask: X-Ratelimit-Period: 7")
}

// An interrupt, and the timeout, leave the job running and say its id.
func TestAJobThatIsLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{JobDuration: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	say := r.Say
	r.Say = func(line string) {
		if say(line); strings.HasPrefix(line, "Running") {
			cancel()
		}
	}
	got := r.Run(ctx)
	r.oneJob(got)
	r.want(got, doctor.Note, "end", "job 5976 is left alone after an interrupt: Running")
	r.Say, r.Task, r.Timeout = say, NewTask("s-adhoc-object-storage", "load-1"), 300*time.Millisecond
	r.want(r.Run(t.Context()), doctor.Warning, "end", "has not ended within 300ms and goes on: Running")
	if calls := r.sim.Account().Calls["JobAction"]; calls != 0 {
		t.Errorf("%d actions on jobs", calls)
	}
}

// An interrupt before the answer does not lose the job's id, and one before the call starts nothing.
func TestAnInterruptAroundTheStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{JobDuration: time.Hour})
	r.sim.Script(simulator.Fault{Kind: simulator.Slow, For: 300 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	r.Say = func(line string) {
		if strings.HasPrefix(line, "starting") {
			cancel()
		}
	}
	got := r.Run(ctx)
	r.oneJob(got)
	r.want(got, doctor.Note, "end", "job 5976 is left alone")
	if doctor.Failed(got.Findings) {
		t.Errorf("an interrupt is an error: %+v", got.Findings)
	}
	if r.Run(ctx); r.sim.Account().CreateTaskCalls != 1 {
		t.Errorf("a job was started after the interrupt")
	}
}
