package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"backhaul/publisher"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

const billingPolicy = `sources:
  billing:
    allow:
      - clientName: [s-adhoc-object-storage]
        subclientName: [stestgroup, "load-*"]
        storagePolicyName: ["", default-plan]
        onDemandInputFile: ["", /sk/]
`

// startPolicedService is a service with a policy file, to be overwritten.
func startPolicedService(t *testing.T, text string) (s *service, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "policy.yaml")
	writePolicy(t, file, text)
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world(), Conflict: simulator.ConflictIgnore})
	url := natsServer(t)
	s = &service{plainClient: connectPlainly(t, url), sim: sim, env: append(serviceEnv(url, endpoint), "BACKHAUL_POLICY_FILE="+file)}
	s.startRun(t)
	return s, file
}

func writePolicy(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// A request that the policy does not allow never reaches the vendor, whatever it is
// denied for.
func TestPolicyKeepsRequestsFromTheVendor(t *testing.T) {
	t.Parallel()
	s, _ := startPolicedService(t, billingPolicy)
	const names = `"clientName":"s-adhoc-object-storage","subclientName":"stestgroup"`
	bad := map[string]struct{ members, says string }{
		"path":    {names + `,"onDemandInputFile":"/other/list.txt"`, `onDemandInputFile "/other/list.txt"`},
		"prefix":  {names + `,"onDemandInputFile":"/sku/list.txt"`, `onDemandInputFile "/sku/list.txt"`},
		"climb":   {names + `,"onDemandInputFile":"/sk/../other/list.txt"`, `segment ".."`},
		"client":  {`"clientName":"x","subclientName":"stestgroup"`, `clientName "x"`},
		"group":   {`"clientName":"s-adhoc-object-storage","subclientName":"x"`, `subclientName "x"`},
		"plan":    {names + `,"storagePolicyName":"x"`, `storagePolicyName "x"`},
		"level":   {names + `,"backupLevel":"FULL"`, `backupLevel "FULL"`},
		"not-set": {names + `,"backupsetName":"x"`, `backupsetName "x"`},
	}
	for id, b := range bad {
		s.publish("backup.request.billing", nil, fmt.Appendf(nil, `{"requestId":%q,%s}`, id, b.members))
	}
	s.publish("backup.request.crm", nil, sampleRequest("stranger"))
	s.waitForOutcomes()
	if calls := s.sim.Account().Calls; len(calls) != 0 {
		t.Fatalf("the vendor was called: %v", calls)
	}
	for id, b := range bad {
		subject, event := s.terminal(id)
		message := fmt.Sprint(event["errorMessage"])
		if !strings.Contains(subject, "job-failed") || event["errorCode"] != "NOT_ALLOWED" || event["errorSource"] != "backhaul" ||
			event["retryable"] != false || !strings.Contains(message, b.says) || !strings.Contains(message, `source "billing"`) {
			t.Errorf("%s: %s %v", id, subject, event)
		}
	}
	letters := s.stored(publisher.DeadLetterStream, "backup.dlq.*")
	if len(letters) != len(bad)+1 {
		t.Errorf("%d dead letters, want %d", len(letters), len(bad)+1)
	}
	for _, letter := range letters {
		if code := letter.Headers().Get(publisher.HeaderDeadLetterCode); code != "NOT_ALLOWED" {
			t.Errorf("a dead letter has the code %s", code)
		}
	}
	s.publish("backup.request.billing", nil, sampleRequest("good"))
	s.waitForOutcomes()
	s.oneJob("good")
	if calls := s.sim.Account().CreateTaskCalls; calls != 1 {
		t.Errorf("%d calls of CreateTask, want the allowed request's", calls)
	}
}

// policyCheck is what /readyz?verbose says of the policy; "" when all is well.
func policyCheck(t *testing.T, admin string) string {
	t.Helper()
	status, text := probe(t, admin+"/readyz?verbose")
	var answer struct {
		Checks []struct {
			Name, Error   string
			OK, Condition bool
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("%d, %v: %s", status, err, text)
	}
	for _, check := range answer.Checks {
		if check.Name == "policy" {
			if !check.Condition || check.OK != (check.Error == "") {
				t.Errorf("the check is %+v", check)
			}
			return check.Error
		}
	}
	t.Fatalf("no policy in %s", text)
	return ""
}

func TestPolicyIsReloaded(t *testing.T) {
	t.Parallel()
	s, file := startPolicedService(t, billingPolicy)
	admin := adminURL(t, s.run)
	s.publish("backup.request.crm", nil, sampleRequest("before"))
	s.waitForOutcomes()

	writePolicy(t, file, strings.ReplaceAll(billingPolicy, "clientName", "client"))
	eventually(t, "a condition of the policy", func() bool { return policyCheck(t, admin) != "" })
	if check := policyCheck(t, admin); !strings.Contains(check, file+":4: ") || !strings.Contains(check, "did you mean clientName?") {
		t.Errorf("the condition is %s", check)
	}
	s.run.waitFor(t, "policy file refused")
	s.publish("backup.request.billing", nil, sampleRequest("meanwhile"))
	s.waitForOutcomes()
	s.oneJob("meanwhile")

	writePolicy(t, file, strings.ReplaceAll(billingPolicy, "billing", "crm"))
	s.run.signal(t, syscall.SIGHUP)
	s.run.waitFor(t, "policy reloaded")
	if check := policyCheck(t, admin); check != "" {
		t.Errorf("the condition is %s", check)
	}
	s.publish("backup.request.crm", nil, sampleRequest("after"))
	s.publish("backup.request.billing", nil, sampleRequest("too-late"))
	s.waitForOutcomes()
	for subject, want := range map[string]int{"job-failed.crm.before": 1, "job-started.crm.after": 1, "job-failed.billing.too-late": 1} {
		if got := len(s.stored(publisher.EventsStream, "backup.event."+subject)); got != want {
			t.Errorf("%d events %s, want %d", got, subject, want)
		}
	}
	if code := s.run.stop(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// The limit holds for two processes together and over a restart.
func TestRequestsPerHour(t *testing.T) {
	t.Parallel()
	const limit, requests = 20, 60
	s, _ := startPolicedService(t, fmt.Sprintf("sources:\n  billing:\n    requestsPerHour: %d\n    allow: [{clientName: [\"*\"], subclientName: [\"*\"], storagePolicyName: [\"*\"], onDemandInputFile: [\"*\"]}]\n", limit))
	second := start(t, s.env, "backhaul", "run")
	second.waitFor(t, "reading requests")
	for i := range limit {
		s.publish("backup.request.billing", nil, sampleRequest(fmt.Sprint("id-", i)))
	}
	s.waitForOutcomes()
	s.run.kill()
	s.startRun(t)
	for i := range requests {
		s.publish("backup.request.billing", nil, sampleRequest(fmt.Sprint("id-", i))) // the first are copies
	}
	s.waitForOutcomes()
	for i := range requests {
		id := fmt.Sprint("id-", i)
		if i < limit {
			s.oneJob(id)
			continue
		}
		_, event := s.terminal(id)
		if message := fmt.Sprint(event["errorMessage"]); event["errorCode"] != "NOT_ALLOWED" || event["retryable"] != true ||
			!strings.Contains(message, "requestsPerHour: 20") || !strings.Contains(message, "room for a new one from 20") {
			t.Errorf("%s: %v", id, event)
		}
	}
	if calls := s.sim.Account().CreateTaskCalls; calls != limit {
		t.Errorf("%d calls of CreateTask, want %d", calls, limit)
	}
}

func TestWithoutAPolicyOneWarning(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	s.run.waitFor(t, "there is no policy")
	s.publish("backup.request.billing", nil, sampleRequest("id"))
	s.waitForOutcomes()
	s.oneJob("id")
	if got := strings.Count(s.run.output.String(), "there is no policy"); got != 1 {
		t.Errorf("it was said %d times", got)
	}
}

func TestPolicyCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, broken, request := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "broken.yaml"), filepath.Join(dir, "request.json")
	writePolicy(t, good, billingPolicy)
	writePolicy(t, broken, strings.ReplaceAll(billingPolicy, "allow", "alow"))
	if err := os.WriteFile(request, sampleRequest("id"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"BACKHAUL_POLICY_FILE=" + good}
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
		"check as JSON":   {env, "", []string{"check", "-o", "json"}, exitDone, []string{`"sha256":"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := once(t, c.env, c.stdin, append([]string{"policy"}, c.args...)...)
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
	code, _, stderr := once(t, append(serviceEnv("nats://127.0.0.1:1", "http://127.0.0.1:1/api"), "BACKHAUL_POLICY_FILE="+broken), "", "run")
	if code != exitUsage || !strings.Contains(stderr, broken+":3: ") {
		t.Errorf("run with a broken file: exit code %d, %s", code, stderr)
	}
}
