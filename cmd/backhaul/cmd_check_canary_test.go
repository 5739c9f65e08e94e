package main

import (
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/vendorapi/simulator"
)

// A canary is one job beside a running service, which does not take it for a request's.
func TestCheckCanary(t *testing.T) {
	t.Parallel()
	s := programtest.StartServiceIn(t, []string{"BACKHAUL_WRITES_PER_HOUR=100"}, simulator.Config{JobDuration: 100 * time.Millisecond})
	run := func(want int, says string, args ...string) {
		t.Helper()
		if code, out, stderr := programtest.Once(t, s.Env, "", append([]string{"check"}, args...)...); code != want || !strings.Contains(out+stderr, says) {
			t.Errorf("%v: exit code %d, want %d with %q: %s%s", args, code, want, says, out, stderr)
		}
	}
	events := s.Messages(publisher.EventsStream)
	run(exitUsage, "must be CLIENT/GROUP", "--canary", "stestgroup", "--yes")
	run(exitUsage, "must be above 0", "--canary", "a/b", "--canary-timeout", "0s", "--yes")
	run(exitUsage, "There is no terminal to ask on: give --yes", "--canary", "s-adhoc-object-storage/stestgroup")
	if jobs := s.Sim.Account().JobsStarted; jobs != 0 {
		t.Fatalf("%d jobs before a yes", jobs)
	}
	taken := func() (entries uint64) {
		t.Helper()
		s.Answered("the budget", func() error {
			stream, err := s.JS.Stream(t.Context(), publisher.BudgetStream)
			if err == nil {
				entries = stream.CachedInfo().State.LastSeq
			}
			return err
		})
		return entries
	}
	before := taken()
	run(exitDone, "0 errors")
	check := taken() - before
	run(exitDone, "Completed after", "--canary", "s-adhoc-object-storage/stestgroup", "--yes")
	if jobs, entries := s.Sim.Account().JobsStarted, taken()-before-check; jobs != 1 || entries <= check {
		t.Errorf("%d jobs, %d entries of the budget; a check has %d", jobs, entries, check)
	}
	run(exitFailed, "the vendor has the client", "--canary", "s-adhoc-object-storage/nothing", "--yes", "-o", "json")
	if now := s.Messages(publisher.EventsStream); now != events {
		t.Errorf("%d events, before %d", now, events)
	}
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("after-canary"))
	s.WaitForOutcomes()
	s.OneJob("after-canary")

	s.Publish("backup.request.billing", nil, []byte(`{"requestId":"typo","clientName":"nosuch","subclientName":"stestgroup"}`))
	s.WaitForOutcomes()
	run(exitDone, "nothing matches nosuch/stestgroup, which the last failed request named: billing/typo")
	run(exitDone, "the vendor has the clients s-adhoc-object-storage")

	s.Sim.ScriptFor("Login", simulator.Fault{Kind: simulator.Crash})
	run(exitUnreachable, "logins", "--canary", "s-adhoc-object-storage/stestgroup", "--yes")
	if jobs := s.Sim.Account().JobsStarted; jobs != 2 {
		t.Errorf("%d jobs, want no canary after an error of the check", jobs)
	}
}

// Ctrl-C leaves the job running, and its id is printed.
func TestCheckCanary_interrupt(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{JobDuration: time.Hour})
	p := programtest.Start(t, s.Env, "backhaul", "check", "--canary", "s-adhoc-object-storage/stestgroup", "--yes")
	p.WaitFor(t, "canary: Running after")
	if code := p.Stop(t); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	p.WaitFor(t, "job 5976 is left alone after an interrupt: Running")
	if a := s.Sim.Account(); a.JobsStarted != 1 || a.Calls["JobAction"] != 0 {
		t.Errorf("%d jobs, %d actions", a.JobsStarted, a.Calls["JobAction"])
	}
}
