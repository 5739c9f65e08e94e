package vendorapi

import (
	"errors"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

// A job is suspended, resumed and killed; what makes no sense for it is refused with the vendor's
// reason.
func TestAct(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{JobDuration: time.Hour})
	id := begin(t, c, testTask())
	status := func(want string) {
		t.Helper()
		if job, err := c.Job(t.Context(), id); err != nil || job.Status != want {
			t.Errorf("the job is %q, %v; want %q", job.Status, err, want)
		}
	}
	for _, step := range []struct {
		action JobAction
		then   string
	}{{SuspendJob, "Suspended"}, {ResumeJob, "Running"}, {KillJob, "Killed"}} {
		if err := c.Act(t.Context(), id, step.action); err != nil {
			t.Fatal(err)
		}
		status(step.then)
	}
	for _, gone := range []string{id, "1"} {
		err := c.Act(t.Context(), gone, KillJob)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Verdict != Refused || e.Message == "" || e.Code == "" {
			t.Errorf("job %s: %v", gone, err)
		}
	}
	if err := c.Act(t.Context(), "5976/action/kill?x=", KillJob); err == nil {
		t.Error("an id that is none is sent")
	}
	if got := sim.Account().Calls["JobAction"]; got != 5 {
		t.Errorf("%d calls, want 5", got)
	}
}

// What an answer, or the lack of one, says about the job.
func TestAct_verdicts(t *testing.T) {
	for _, tt := range []struct {
		fault simulator.Fault
		want  Verdict
	}{
		{simulator.Fault{Kind: simulator.TooManyRequests}, Throttled},
		{simulator.Fault{Kind: simulator.Malformed}, Unknown},
		{simulator.Fault{Kind: simulator.Empty}, Unknown},
		{simulator.Fault{Kind: simulator.Crash}, Unknown},
		{simulator.Fault{Kind: simulator.HTML}, Unknown},
		{simulator.Fault{Kind: simulator.CutAfterStart}, Unknown},
	} {
		t.Run(tt.fault.String(), func(t *testing.T) {
			sim, c := onLoopback(t, simulator.Config{JobDuration: time.Hour})
			id := begin(t, c, testTask())
			sim.ScriptFor("JobAction", tt.fault)
			if err := c.Act(t.Context(), id, KillJob); err == nil || VerdictOf(err) != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
