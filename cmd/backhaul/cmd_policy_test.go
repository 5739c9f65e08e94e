package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
)

func TestPolicyCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, broken, request := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "broken.yaml"), filepath.Join(dir, "request.json")
	programtest.WritePolicy(t, good, programtest.BillingPolicy)
	programtest.WritePolicy(t, broken, strings.ReplaceAll(programtest.BillingPolicy, "allow", "alow"))
	if err := os.WriteFile(request, programtest.SampleRequest("id"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"BACKHAUL_POLICY_FILE=" + good}
	ruled := filepath.Join(dir, "ruled.yaml")
	programtest.WritePolicy(t, ruled, programtest.BillingPolicy+"groups:\n  - {clientName: [\"*\"], subclientName: [STestGroup], onRunning: queue, minInterval: 5m}\n")
	const unfollowed = "BACKHAUL_FOLLOW=false"
	const foreign = `{"clientName":"s-adhoc-object-storage","subclientName":"stestgroup","onDemandInputFile":"/other/x","backupLevel":"FULL"}`
	for name, c := range map[string]struct {
		env   []string
		stdin string
		args  []string
		code  int
		says  []string
	}{
		"allowed":         {env, "", []string{"explain", request, "--source", "billing"}, exitDone, []string{"allowed: source billing", "rule 1 (" + good + ":4) allows it"}},
		"flag":            {nil, "", []string{"explain", request, "--source", "billing", "--policy-file", good}, exitDone, []string{"allowed"}},
		"denied":          {env, foreign, []string{"explain", "-", "--source", "billing"}, exitFailed, []string{"denied: source billing", `onDemandInputFile "/other/x"`, `backupLevel "FULL"`, `"/sk/"`, good + ":7"}},
		"as JSON":         {env, foreign, []string{"explain", "-", "--source", "billing", "-o", "json"}, exitFailed, []string{`"allowed":false`, `"member":"backupLevel","value":"FULL","line":4,"listed":["INCREMENTAL"]`}},
		"no entry":        {env, "", []string{"explain", request, "--source", "crm"}, exitFailed, []string{"denied", "no entry for source crm"}},
		"no source":       {env, "", []string{"explain", request}, exitUsage, []string{"--source"}},
		"no request":      {env, "", []string{"explain", "--source", "billing"}, exitUsage, []string{"REQUEST.json"}},
		"no such request": {env, "", []string{"explain", request + "x", "--source", "billing"}, exitUsage, []string{request + "x"}},
		"invalid request": {env, `{"clientName":"a"}`, []string{"explain", "-", "--source", "billing"}, exitUsage, []string{"/subclientName"}},
		"two requests":    {env, foreign + foreign, []string{"explain", "-", "--source", "billing"}, exitUsage, []string{"more than one JSON document"}},
		"no policy":       {nil, "", []string{"explain", request, "--source", "billing"}, exitUsage, []string{"BACKHAUL_POLICY_FILE"}},
		"check":           {env, "", []string{"check"}, exitDone, []string{"is in order: 1 sources, 1 rules"}},
		"check a file":    {env, "", []string{"check", broken}, exitUsage, []string{broken + ":3: ", "did you mean allow?"}},
		"check in JSON":   {env, "", []string{"check", broken, "-o", "json"}, exitUsage, []string{`{"ok":false,"problems":["policy: `, broken + ":3: "}},
		"check, no file":  {env, "", []string{"check", broken + "x"}, exitUsage, []string{broken + "x: cannot be read: no such file"}},
		"check groups":    {nil, "", []string{"check", ruled}, exitDone, []string{"1 rules, 1 items in groups"}},
		"not followed":    {[]string{unfollowed}, "", []string{"check", ruled}, exitUsage, []string{ruled + ":", "onRunning and minInterval need started jobs to be followed"}},
		"a group's rule":  {nil, "", []string{"explain", request, "--source", "billing", "--policy-file", ruled}, exitDone, []string{"its content group has onRunning: queue, minInterval: 5m0s (" + ruled}},
		"check as JSON":   {env, "", []string{"check", "-o", "json"}, exitDone, []string{`"sha256":"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := programtest.Once(t, c.env, c.stdin, append([]string{"policy"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("nothing about %s in\n%s%s", want, stdout, stderr)
				}
			}
		})
	}
	code, _, stderr := programtest.Once(t, append(programtest.ServiceEnv("nats://127.0.0.1:1", "http://127.0.0.1:1/api"), "BACKHAUL_POLICY_FILE="+broken), "", "run")
	if code != exitUsage || !strings.Contains(stderr, broken+":3: ") {
		t.Errorf("run with a broken file: exit code %d, %s", code, stderr)
	}
	code, _, stderr = programtest.Once(t, append(programtest.ServiceEnv("nats://127.0.0.1:1", "http://127.0.0.1:1/api"), "BACKHAUL_POLICY_FILE="+ruled, unfollowed), "", "run")
	if code != exitUsage || !strings.Contains(stderr, "set BACKHAUL_FOLLOW to true") {
		t.Errorf("run without following, with a rule: exit code %d, %s", code, stderr)
	}
}
