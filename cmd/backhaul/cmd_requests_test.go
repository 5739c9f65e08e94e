package main

import (
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/vendorapi/simulator"
)

// `requests` lists what the events and the queue say, by state, source and label, and goes on with
// what changes.
func TestRequests_lists(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("one"))
	s.Publish("backup.request.crm", nil, []byte(`{"requestId":"two","clientName":"s-adhoc-object-storage","subclientName":"no-such-group"}`))
	s.WaitForOutcomes()
	s.Run.Stop(t)
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("three"))
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("one")) // a copy, which has its outcome
	for args, want := range map[string]string{
		"-o name":                                "billing/three\ncrm/two\nbilling/one\n",
		"-o name --state waiting":                "billing/three\n",
		"-o name --state failed,started":         "crm/two\nbilling/one\n",
		"-o name --state open,finished":          "billing/one\n",
		"-o name --source crm":                   "crm/two\n",
		"-o name --label ticket=CHG-17":          "billing/three\nbilling/one\n",
		"-o name --label ticket=CHG-18":          "",
		"-o name --subclient-name no-such-group": "crm/two\n",
		"-o name --client-name nobody":           "",
		"-o name --since 1d --limit 1":           "billing/three\n",
		"-o name --since 0s":                     "",
	} {
		code, out, stderr := programtest.Once(t, s.Env, "", append([]string{"requests"}, strings.Fields(args)...)...)
		if code != exitDone || out != want {
			t.Errorf("%s: exit code %d, %q, want %q\n%s", args, code, out, want, stderr)
		}
	}
	for args, want := range map[string]string{
		"":                        "REQUEST",
		"--state failed -o wide":  "587207178 (35:4618): Failed to start backups",
		"--state started -o json": `{"name":"billing/one","requestId":"one","state":"started"`,
		"--limit 1":               "2 older requests are not shown",
		"--source nobody":         "no request matches",
	} {
		code, out, stderr := programtest.Once(t, s.Env, "", append([]string{"requests"}, strings.Fields(args)...)...)
		if code != exitDone || !strings.Contains(out+stderr, want) {
			t.Errorf("%s: exit code %d, %q is missing in\n%s%s", args, code, want, out, stderr)
		}
	}
	for _, args := range []string{"--state lost", "--limit -1", "-o yaml", "--source a.b"} {
		if code, out, _ := programtest.Once(t, s.Env, "", append([]string{"requests"}, strings.Fields(args)...)...); code != exitUsage {
			t.Errorf("%s: exit code %d, %s", args, code, out)
		}
	}
	const file = `{"requestId":"one","clientName":"c","subclientName":"g"}{"requestId":"three","clientName":"c","subclientName":"g"}{"requestId":"two","clientName":"c","subclientName":"g"}`
	for args, want := range map[string]string{
		"-o name --file - --source billing":                 "billing/three\nbilling/one\n",
		"-o name --file - --source billing --state waiting": "billing/three\n",
		"-o name --file - --source crm":                     "crm/two\n",
		"-o name --file -":                                  "",
	} {
		code, out, stderr := programtest.Once(t, s.Env, file, append([]string{"requests"}, strings.Fields(args)...)...)
		if code != exitDone || out != want || !strings.Contains(stderr, "of the file's 3 requests are not listed") {
			t.Errorf("%s: exit code %d, %q, want %q\n%s", args, code, out, want, stderr)
		}
	}
	if code, _, stderr := programtest.Once(t, s.Env, "", "requests", "--batch", "x"); code != exitUsage || !strings.Contains(stderr, "--batch goes with --file") {
		t.Errorf("--batch alone: exit code %d, %s", code, stderr)
	}
	watch := programtest.Start(t, s.Env, "backhaul", "requests", "--watch", "--state", "claimed,started", "--source", "billing")
	watch.WaitFor(t, "billing/one")
	s.StartRun(t)
	watch.WaitFor(t, "billing/three  started")
	if code := watch.Stop(t); code != exitDone || strings.Contains(watch.Output.String(), "canceled") {
		t.Errorf("a stop of --watch is an error: exit code %d\n%s", code, watch.Output.String())
	}
}
