package systemtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// startPolicedService is a service with a policy file, to be overwritten.
func startPolicedService(t *testing.T, text string) (s *programtest.Service, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "policy.yaml")
	programtest.WritePolicy(t, file, text)
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World(), Conflict: simulator.ConflictIgnore})
	url := programtest.NATSServer(t)
	s = &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: append(programtest.ServiceEnv(url, endpoint), "BACKHAUL_POLICY_FILE="+file)}
	s.StartRun(t)
	return s, file
}

// A request that the policy does not allow never reaches the vendor, whatever it is
// denied for.
func TestPolicyKeepsRequestsFromTheVendor(t *testing.T) {
	t.Parallel()
	s, _ := startPolicedService(t, programtest.BillingPolicy)
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
		s.Publish("backup.request.billing", nil, fmt.Appendf(nil, `{"requestId":%q,%s}`, id, b.members))
	}
	s.Publish("backup.request.crm", nil, programtest.SampleRequest("stranger"))
	s.WaitForOutcomes()
	if calls := s.Sim.Account().Calls; len(calls) != 0 {
		t.Fatalf("the vendor was called: %v", calls)
	}
	for id, b := range bad {
		subject, event := s.Terminal(id)
		message := fmt.Sprint(event["errorMessage"])
		if !strings.Contains(subject, "job-failed") || event["errorCode"] != "NOT_ALLOWED" || event["errorSource"] != "backhaul" ||
			event["retryable"] != false || !strings.Contains(message, b.says) || !strings.Contains(message, `source "billing"`) {
			t.Errorf("%s: %s %v", id, subject, event)
		}
	}
	deadLetters := s.Stored(publisher.DeadLetterStream, "backup.dlq.*")
	if len(deadLetters) != len(bad)+1 {
		t.Errorf("%d dead letters, want %d", len(deadLetters), len(bad)+1)
	}
	for _, deadLetter := range deadLetters {
		if code := deadLetter.Headers().Get(publisher.HeaderDeadLetterCode); code != "NOT_ALLOWED" {
			t.Errorf("a dead letter has the code %s", code)
		}
	}
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("good"))
	s.WaitForOutcomes()
	s.OneJob("good")
	if calls := s.Sim.Account().CreateTaskCalls; calls != 1 {
		t.Errorf("%d calls of CreateTask, want the allowed request's", calls)
	}
}

// policyCheck returns the line of /readyz?verbose about the policy; "" when all is well.
func policyCheck(t *testing.T, admin string) string {
	t.Helper()
	status, text := programtest.Probe(t, admin+"/readyz?verbose")
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
	s, file := startPolicedService(t, programtest.BillingPolicy)
	admin := programtest.AdminURL(t, s.Run)
	s.Publish("backup.request.crm", nil, programtest.SampleRequest("before"))
	s.WaitForOutcomes()

	programtest.WritePolicy(t, file, strings.ReplaceAll(programtest.BillingPolicy, "clientName", "client"))
	waittest.Eventually(t, "a condition of the policy", func() bool { return policyCheck(t, admin) != "" })
	if check := policyCheck(t, admin); !strings.Contains(check, file+":4: ") || !strings.Contains(check, "did you mean clientName?") {
		t.Errorf("the condition is %s", check)
	}
	s.Run.WaitFor(t, "policy file refused")
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("meanwhile"))
	s.WaitForOutcomes()
	s.OneJob("meanwhile")

	programtest.WritePolicy(t, file, strings.ReplaceAll(programtest.BillingPolicy, "billing", "crm"))
	s.Run.Signal(t, syscall.SIGHUP)
	s.Run.WaitFor(t, "policy reloaded")
	if check := policyCheck(t, admin); check != "" {
		t.Errorf("the condition is %s", check)
	}
	s.Publish("backup.request.crm", nil, programtest.SampleRequest("after"))
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("too-late"))
	s.WaitForOutcomes()
	for subject, want := range map[string]int{"job-failed.crm.before": 1, "job-started.crm.after": 1, "job-failed.billing.too-late": 1} {
		if got := len(s.Stored(publisher.EventsStream, "backup.event."+subject)); got != want {
			t.Errorf("%d events %s, want %d", got, subject, want)
		}
	}
	if code := s.Run.Stop(t); code != programtest.ExitDone {
		t.Errorf("exit code %d", code)
	}
}

// The limit applies to two processes together and over a restart.
func TestRequestsPerHour(t *testing.T) {
	t.Parallel()
	const limit, requests = 20, 60
	s, _ := startPolicedService(t, fmt.Sprintf("sources:\n  billing:\n    requestsPerHour: %d\n    allow: [{clientName: [\"*\"], subclientName: [\"*\"], storagePolicyName: [\"*\"], onDemandInputFile: [\"*\"]}]\n", limit))
	second := programtest.Start(t, s.Env, "backhaul", "run")
	second.WaitFor(t, "reading requests")
	for i := range limit {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(fmt.Sprint("id-", i)))
	}
	s.WaitForOutcomes()
	s.Run.Kill()
	s.StartRun(t)
	for i := range requests {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(fmt.Sprint("id-", i))) // the first are copies
	}
	s.WaitForOutcomes()
	for i := range requests {
		id := fmt.Sprint("id-", i)
		if i < limit {
			s.OneJob(id)
			continue
		}
		_, event := s.Terminal(id)
		if message := fmt.Sprint(event["errorMessage"]); event["errorCode"] != "NOT_ALLOWED" || event["retryable"] != true ||
			!strings.Contains(message, "requestsPerHour: 20") || !strings.Contains(message, "a new request can be made from 20") {
			t.Errorf("%s: %v", id, event)
		}
	}
	if calls := s.Sim.Account().CreateTaskCalls; calls != limit {
		t.Errorf("%d calls of CreateTask, want %d", calls, limit)
	}
}

func TestWithoutAPolicyOneWarning(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	s.Run.WaitFor(t, "there is no policy")
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("id"))
	s.WaitForOutcomes()
	s.OneJob("id")
	if got := strings.Count(s.Run.Output.String(), "there is no policy"); got != 1 {
		t.Errorf("it was said %d times", got)
	}
}
