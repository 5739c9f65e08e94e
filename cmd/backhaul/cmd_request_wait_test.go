package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// finish writes the end of the job of a started request.
func finish(t *testing.T, c *programtest.Client, id string, outcome schemas.Outcome) {
	t.Helper()
	key := publisher.NewKey("cli", id)
	started := startedOf(t, c, key)
	appendJob(t, c, key, &schemas.JobFinished{
		Naming: started.Naming, Message: started.Message, JobRef: schemas.JobRef{JobID: started.JobID}, Outcome: outcome, VendorStatus: "as it ended",
		JobTimes: schemas.JobTimes{EndedAt: time.Now(), ObservedAt: time.Now()},
	})
}

// --wait=finished ends with 0 only if all data was kept.
func TestRequest_waitsForTheEnd(t *testing.T) {
	t.Parallel()
	s := programtest.StartServiceIn(t, []string{"BACKHAUL_FOLLOW=false"}, simulator.Config{}) // the test writes the ends itself
	args := func(id string, more ...string) []string {
		return append([]string{"request", "--client-name", "s-adhoc-object-storage", "--subclient-name", "stestgroup", "--request-id", id}, more...)
	}
	for outcome, want := range map[schemas.Outcome]int{schemas.OutcomeCompletedWithWarnings: exitDone, schemas.OutcomeCompletedWithErrors: exitFailed} {
		id := "w-" + string(outcome)
		p := programtest.Start(t, s.Env, "backhaul", args(id, "--wait=finished")...)
		p.WaitFor(t, "job-started")
		finish(t, s.Client, id, outcome)
		if code := p.ExitCode(); code != want || !strings.Contains(p.Output.String(), "job-finished") || !strings.Contains(p.Output.String(), strings.ReplaceAll(string(outcome), "-", " ")) {
			t.Errorf("%s: exit code %d, want %d:\n%s", outcome, code, want, p.Output.String())
		}
		if _, _, stderr := programtest.Once(t, s.Env, "", args(id, "--wait")...); !strings.Contains(stderr, "this outcome is on record since 20") {
			t.Errorf("%s, a second time: %s", outcome, stderr)
		}
		file := writeFile(t, `{"requestId":"`+id+`","clientName":"s-adhoc-object-storage","subclientName":"stestgroup"}`)
		code, out, _ := programtest.Once(t, s.Env, "", "request", "--file", file, "--wait=finished", "--output", "json")
		sum := summaryOf(t, out)
		if code != want || sum.Known != 1 || sum.Ends == nil || sum.Ends.Finished[string(outcome)] != 1 || sum.Ends.None != 0 {
			t.Errorf("%s of a file: exit code %d, %s", outcome, code, out)
		}
	}

	code, out, stderr := programtest.Once(t, s.Env, "", args("w-open", "--wait=finished", "--timeout", "2s")...)
	if code != exitFailed || !strings.Contains(out, "job-started") || !strings.Contains(stderr, "1 request has no end on record yet: w-open; their jobs are not affected") || !strings.Contains(stderr, "--request-id w-open") ||
		!strings.Contains(stderr, "no replica that follows jobs is heard") {
		t.Errorf("no end in time: exit code %d, %s%s", code, out, stderr)
	}
	p := programtest.Start(t, s.Env, "backhaul", args("w-open", "--wait=finished")...)
	p.WaitFor(t, "job-started")
	p.Signal(t, syscall.SIGINT)
	if code := p.ExitCode(); code != exitInterrupted || !strings.Contains(p.Output.String(), "interrupted, 1 of 1 requests have no end on record yet") {
		t.Errorf("interrupted: exit code %d, %s", code, p.Output.String())
	}
	for _, old := range []string{"--wait", "--wait=true", "--wait=started"} {
		if code, out, _ := programtest.Once(t, s.Env, "", args("w-open", old)...); code != exitDone || !strings.Contains(out, "job-started") {
			t.Errorf("%s: exit code %d, %s", old, code, out)
		}
	}
	for _, wrong := range [][]string{{"--wait=ended"}, {"--wait", "finished"}} {
		if code, _, stderr := programtest.Once(t, s.Env, "", args("w-open", wrong...)...); code != exitUsage || !strings.Contains(stderr, "finished") {
			t.Errorf("%v: exit code %d, %s", wrong, code, stderr)
		}
	}
}
