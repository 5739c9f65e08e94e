package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
)

// A scope is paused and resumed by its names; everything that shows the queue says so.
func TestPauseAndResumeOfAScope(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	run := func(want int, says string, args ...string) {
		t.Helper()
		if code, out, stderr := programtest.Once(t, s.Env, "", args...); code != want || !strings.Contains(out+stderr, says) {
			t.Errorf("%v: exit code %d, want %d with %q: %s%s", args, code, want, says, out, stderr)
		}
	}
	run(exitUsage, "one token of a subject", "pause", "--source", "a.b")
	run(exitDone, "replicas know of it within 1s", "pause", "--source", "billing", "--for", "1h", "--reason", "CHG-17", "--as", "ann")
	run(exitDone, "are the names right?", "pause", "--source", "billing", "--for", "1m")
	run(exitDone, "source billing: since 2", "status")
	run(exitDone, "source billing is paused until 2", "check")
	run(exitDone, "the request waits: source billing is paused until 2", "request", "--source", "billing", "--request-id", "p-1",
		"--client-name", "s-adhoc-object-storage", "--subclient-name", "stestgroup")
	run(exitDone, "held up by  paused scope: source billing is paused until 2", "status", "billing/p-1")
	run(exitDone, `"holdUps":[{"what":"paused scope","text":"source billing is paused until 2`, "status", "billing/p-1", "-o", "json")
	run(exitDone, "by ann: CHG-17", "status", "billing/p-1")
	run(exitFailed, "by which it was paused: source billing", "resume", "--client", "billing")
	run(exitDone, "source crm", "pause", "--source", "crm", "--for", "1h")
	run(exitDone, "client s-adhoc-object-storage is paused", "pause", "--client", "s-adhoc-object-storage", "--for", "1h", "--reason", "CHG-18", "--as", "cid")
	run(exitDone, "is paused already", "pause", "--source", "billing", "--for", "30m", "--reason", "INC-3", "--as", "bob")
	code, out, stderr := programtest.Once(t, s.Env, "", "resume", "--source", "billing")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitDone || len(lines) != 4 || !strings.HasPrefix(lines[0], "source billing is resumed") || !strings.HasSuffix(lines[0], " by ann: CHG-17") ||
		!strings.HasPrefix(lines[1], "ended, too: the pause of the same names until 2") || strings.Contains(lines[1], "bob") == strings.Contains(lines[2], "bob") ||
		!strings.HasPrefix(lines[3], "still paused: client s-adhoc-object-storage until 2") || !strings.Contains(lines[3], " by cid: CHG-18") {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
	run(exitDone, `"stillPaused":[{"source":"crm"`, "resume", "--client", "s-adhoc-object-storage", "-o", "json")
	s.WaitForOutcomes()
	s.OneJob("p-1")
	run(exitDone, "resume-scope", "events", "--kind", "operator")
}

// The list of pauses may have been written by another program: what a terminal interprets in it is not
// printed.
func TestPauseOfAScope_byAnotherProgram(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	now := time.Now().UTC()
	list := fmt.Appendf(nil, `{"pauses":[{"source":"billing","since":%q,"until":%q,"actor":"bob\u001b[31m","reason":"a\u0007\nb\u202e","operationId":"1"}]}`,
		now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))
	s.Publish(publisher.PausesSubject, nil, list)
	waittest.Eventually(t, "replica that knows the pause", func() bool {
		_, out, _ := programtest.Once(t, s.Env, "", "status")
		return strings.Contains(out, "source billing: since 2")
	})
	for _, args := range [][]string{
		{"status"}, {"check"}, {"request", "--source", "billing", "--request-id", "p-1", "--client-name", "s-adhoc-object-storage", "--subclient-name", "stestgroup"},
		{"status", "billing/p-1"}, {"requests"}, {"pause", "--source", "billing", "--for", "1m"}, {"resume", "--source", "crm"}, {"resume", "--source", "billing"},
	} {
		_, out, stderr := programtest.Once(t, s.Env, "", args...)
		if text := out + stderr; strings.ContainsAny(text, "\x1b\a\u202e") || !strings.Contains(text, "billing") {
			t.Errorf("%v prints %q", args, text)
		}
	}
}

// A pause can be ended although another program has damaged the list.
func TestResumeOfAScope_withADamagedList(t *testing.T) {
	t.Parallel()
	s := waitingService(t)
	run := func(want int, says string, args ...string) {
		t.Helper()
		if code, out, stderr := programtest.Once(t, s.Env, "", args...); code != want || !strings.Contains(out+stderr, says) {
			t.Errorf("%v: exit code %d, want %d with %q: %s%s", args, code, want, says, out, stderr)
		}
	}
	run(exitDone, "source billing is paused until 2", "pause", "--source", "billing", "--for", "1h", "--reason", "x")
	s.Publish(publisher.PausesSubject, nil, []byte("garbage"))
	run(exitDone, "source billing is resumed, and every other scope: the list of the paused ones could not be read", "resume", "--source", "billing", "--reason", "x")
	run(exitFailed, "source billing is not paused, nor is another scope", "resume", "--source", "billing")
	run(exitDone, "resume-scope", "events", "--kind", "operator")
}

// A job is killed by its id, and the follower reports the end.
func TestJobCommand(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{JobDuration: time.Hour})
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("k-1"))
	s.WaitForOutcomes()
	id, _ := s.OneJob("k-1")["jobId"].(string)
	run := func(want int, says string, args ...string) {
		t.Helper()
		if code, out, stderr := programtest.Once(t, s.Env, "", args...); code != want || !strings.Contains(out+stderr, says) {
			t.Errorf("%v: exit code %d, want %d with %q: %s%s", args, code, want, says, out, stderr)
		}
	}
	run(exitUsage, "--reason is missing", "job", "kill", id, "--yes")
	run(exitUsage, "is not a job id", "job", "kill", "billing/k-1", "--yes", "--reason", "x")
	run(exitUsage, "Kill it?", "job", "kill", id, "--reason", "x")
	run(exitFailed, "on record for no request", "job", "kill", "1", "--yes", "--reason", "x")
	run(exitDone, "was Running, is Suspended", "job", "suspend", id, "--reason", "x")
	run(exitDone, "was Suspended, is Running", "job", "resume", id, "--reason", "x")
	run(exitDone, `"statusAfter":"Killed"`, "job", "kill", id, "--yes", "--reason", "CHG-17", "-o", "json")
	run(exitFailed, "has ended already: Killed", "job", "kill", id, "--yes", "--reason", "x")
	run(exitDone, "job "+id+" of billing/k-1: CHG-17", "events", "--kind", "operator")
}

// A budget that is used up is said once, with the ways out; the limit of one command is not taken for
// that of the service.
func TestJobCommand_withoutBudget(t *testing.T) {
	t.Parallel()
	s := programtest.StartServiceIn(t, []string{"BACKHAUL_WRITES_PER_HOUR=3"}, simulator.Config{JobDuration: time.Hour, Conflict: simulator.ConflictIgnore})
	for _, id := range []string{"k-1", "k-2"} {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(id))
	}
	s.WaitForOutcomes()
	_, jobs, _ := programtest.Once(t, s.Env, "", "requests", "--state", "open", "-o", "job")
	kill := append([]string{"job", "kill", "--yes", "--reason", "CHG-17"}, strings.Fields(jobs)...)
	code, out, stderr := programtest.Once(t, s.Env, "", kill...)
	if says := " and 1 more: "; code != exitFailed || out != "" || strings.Count(stderr, "used up") != 1 || !strings.Contains(stderr, says) ||
		!strings.Contains(stderr, "3 of 3 are spent, and the next is free at 2") || !strings.Contains(stderr, "--writes-per-hour 7: ") {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
	// Also where neither the setting nor a replica is at hand, a request that waits says what for.
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("k-3"))
	client := []string{s.Env[0], "BACKHAUL_ADMIN_ADDR=off"}
	if _, out, stderr := programtest.Once(t, client, "", "status", "billing/k-3"); !strings.Contains(out, "held up by  budget: 3 of 3 writing calls spent in the last hour, 0 left, the next at 2") {
		t.Errorf("a request without budget: %s%s", out, stderr)
	}
	code, out, stderr = programtest.Once(t, s.Env, "", append(kill, "--writes-per-hour", "7")...)
	if code != exitDone || strings.Count(out, "is Killed") != 2 || strings.Count(stderr, "note: the end of a job is on record (job-finished) when") != 1 {
		t.Errorf("with a limit of its own: exit code %d: %s%s", code, out, stderr)
	}
	if _, out, stderr := programtest.Once(t, s.Env, "", "status"); !strings.Contains(out, " of 3 writing calls spent in the last hour, 0 left, the next at 2") {
		t.Errorf("the service's limit is not shown: %s%s", out, stderr)
	}
}

// Several jobs are acted on one after the other, if all of them are on record.
func TestJobCommand_severalJobs(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{JobDuration: time.Hour, Conflict: simulator.ConflictIgnore})
	for _, id := range []string{"k-1", "k-2"} {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(id))
	}
	s.WaitForOutcomes()
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, stderr := programtest.Once(t, s.Env, "", args...)
		if code != want {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, code, want, out, stderr)
		}
		return out + stderr
	}
	ids := strings.Fields(run(exitDone, "requests", "--state", "open", "-o", "job"))
	one, two := s.OneJob("k-1")["jobId"], s.OneJob("k-2")["jobId"]
	if len(ids) != 2 || !slices.Contains(ids, one.(string)) || !slices.Contains(ids, two.(string)) {
		t.Fatalf("started jobs %q, want %s and %s", ids, one, two)
	}
	act := func(want int, with ...string) string {
		t.Helper()
		return run(want, slices.Concat([]string{"job", "kill", "--reason", "CHG-17"}, ids, with)...)
	}
	if said := act(exitUsage); !strings.Contains(said, "Kill it and 1 more?") {
		t.Errorf("the question is %s", said)
	}
	act(exitFailed, "--yes", "1") // is nobody's, so nothing is done
	run(exitDone, "job", "kill", "--reason", "CHG-17", "--yes", ids[0])
	if said := act(exitFailed, "--yes", ids[0]); strings.Count(said, "has ended already") != 1 || strings.Count(said, "the vendor accepted it; was Running, is Killed") != 1 {
		t.Errorf("the one that has ended holds up the other, or is asked for twice: %s", said)
	}
	if said := act(exitFailed, "--yes"); strings.Count(said, "backhaul: job "+ids[0]+" has ended already: Killed") != 1 || strings.Count(said, "has ended already: Killed") != 2 {
		t.Errorf("again: %s", said)
	}
}
