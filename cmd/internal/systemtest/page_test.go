package systemtest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
)

// A refused request is seen on the page, and is replayed there after its content
// group was made: one more request, one job, and events that say who did it.
func TestADeadLetterIsReplayedFromThePage(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	s.Run.Stop(t)
	s.Env = append(s.Env, tokenFile(t), "BACKHAUL_ADMIN_COMMAND_CENTER_URL=https://cc.example.com/#/jobs/{jobId}")
	s.StartRun(t)
	admin := programtest.AdminURL(t, s.Run)
	s.Sim.Script(simulator.Fault{Kind: simulator.Refused500})
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("page-1"))
	s.WaitForOutcomes()

	do := viewer(t, admin)
	waittest.Eventually(t, "the request on the page", func() bool { return strings.Contains(do("/?state=failed", nil), ">page-1</a>") })
	if body := do("/dead-letters", nil); !strings.Contains(body, `href="/dead-letters/1"`) || !strings.Contains(body, ">page-1</a>") {
		t.Fatalf("no dead letter in\n%s", body)
	}
	csrf := signIn(t, do, "/dead-letters/1")
	do("/dead-letters/1/replay", url.Values{"csrf": {csrf}, "reason": {"CHG-17"}})
	s.WaitForOutcomes()
	event := s.OneJob("page-1-replay-1")
	if event["replayOf"] != "billing/page-1" {
		t.Errorf("the new request is a replay of %v", event["replayOf"])
	}
	waittest.Eventually(t, "the job on the page", func() bool {
		return strings.Contains(do("/", nil), fmt.Sprintf(`href="https://cc.example.com/#/jobs/%v"`, event["jobId"]))
	})
	if body := do("/requests/billing/page-1-replay-1", nil); !strings.Contains(body, `<a href="/requests/billing/page-1">billing/page-1</a>`) {
		t.Errorf("the page of the new request does not name the old one:\n%s", body)
	}
	acts := s.Stored(publisher.EventsStream, "backup.event.operator.*")
	if len(acts) != 1 || !strings.Contains(string(acts[0].Data()), "Ann (console)") || !strings.Contains(string(acts[0].Data()), "CHG-17") {
		t.Errorf("%d operator events: %s", len(acts), acts)
	}
	if code := s.Run.Stop(t); code != programtest.ExitDone {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(s.Run.Output.String(), token) {
		t.Error("the log shows the token")
	}
}

// A job is suspended from the page: recorded, one call, which counts in the tenant's budget.
func TestAJobIsSuspendedFromThePage(t *testing.T) {
	t.Parallel()
	s := programtest.StartServiceIn(t, []string{tokenFile(t), "BACKHAUL_WRITES_PER_HOUR=50"}, simulator.Config{JobDuration: time.Hour})
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("page-2"))
	s.WaitForOutcomes()
	job := fmt.Sprint(s.OneJob("page-2")["jobId"])
	do := viewer(t, programtest.AdminURL(t, s.Run))
	const path = "/requests/billing/page-2"
	csrf := signIn(t, do, path)
	waittest.Eventually(t, "the calls so far in the budget", func() bool { return programtest.Metric(t, s, "backhaul_budget_writes_spent") == 2 })
	if body := do(path, nil); !strings.Contains(body, `value="suspend"`) {
		t.Errorf("no buttons:\n%s", body)
	}
	body := do(path+"/jobs/"+job, url.Values{"csrf": {csrf}, "do": {"suspend"}, "reason": {"wrong group, CHG-17"}})
	if !strings.Contains(body, "The vendor accepted it. The job was Running, and is Suspended.") {
		t.Errorf("after the suspension:\n%s", body)
	}
	if calls := s.Sim.Account().Calls["JobAction"]; calls != 1 {
		t.Errorf("the vendor was asked %d times", calls)
	}
	waittest.Eventually(t, "the action in the budget", func() bool { return programtest.Metric(t, s, "backhaul_budget_writes_spent") == 3 })
	acts := s.Stored(publisher.EventsStream, "backup.event.operator.job-suspend")
	if len(acts) != 1 || !strings.Contains(string(acts[0].Data()), "Ann (console)") || !strings.Contains(string(acts[0].Data()), "CHG-17") {
		t.Errorf("%d operator events: %s", len(acts), acts)
	}
	waittest.Eventually(t, "word of it on the list", func() bool {
		return strings.Contains(do("/", nil), "<b>job-suspend</b> job "+job+" of request page-2 of billing")
	})
}

// token is what the page asks for.
const token = "seiten-token-Ü-4711-8f2c"

// tokenFile returns the setting of a file with the token.
func tokenFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	programtest.PutFile(t, file, token+"\n")
	return "BACKHAUL_ADMIN_TOKEN_FILE=" + file
}

// viewer returns a browser without scripts: it gets a path, or posts a form there, and keeps cookies.
func viewer(t *testing.T, admin string) func(path string, form url.Values) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	return func(path string, form url.Values) string {
		t.Helper()
		resp, err := client.Get(admin + path)
		if form != nil {
			resp, err = client.PostForm(admin+path, form)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d\n%s", path, resp.StatusCode, body)
		}
		programtest.NoSecrets(t, string(body))
		if strings.Contains(string(body), token) {
			t.Errorf("%s shows the token", path)
		}
		return string(body)
	}
}

// signIn opens a session and returns its secret for forms.
func signIn(t *testing.T, do func(string, url.Values) string, next string) string {
	t.Helper()
	body := do("/login", url.Values{"actor": {"Ann"}, "token": {token}, "next": {next}})
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(body)
	if csrf == nil {
		t.Fatalf("not signed in:\n%s", body)
	}
	return csrf[1]
}

// A viewer does not keep the process from ending.
func TestAViewerDoesNotHoldTheProcess(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	resp, err := http.Get(programtest.AdminURL(t, s.Run) + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if code := s.Run.Stop(t); code != programtest.ExitDone {
		t.Errorf("exit code %d", code)
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(rest), "event: bye") {
		t.Errorf("the stream ends with %v, not with a word:\n%s", err, rest)
	}
}

// The page works with the shipped permissions. With less it says what it cannot
// read, and the service does not care.
func TestThePageWithLeastPrivilege(t *testing.T) {
	t.Parallel()
	for name, without := range map[string][]string{
		"as shipped": nil,
		"less": {
			"$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.>", "$JS.API.CONSUMER.CREATE.BACKUP_DLQ.>", "$JS.API.STREAM.MSG.GET.BACKUP_DLQ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := programtest.StartGuarded(t, without...)
			s.StartRun(t)
			admin := programtest.AdminURL(t, s.Run)
			s.Publish("backup.request.billing", nil, []byte(`{"requestId":"least-1","clientName":"c"}`))
			s.Run.WaitFor(t, `"message":"job-failed"`)
			if without == nil {
				waittest.Eventually(t, "the request on the page", func() bool {
					_, body := programtest.Probe(t, admin+"/")
					return strings.Contains(body, ">least-1</a>") && strings.Contains(body, "<b>connected</b>")
				})
				for _, path := range []string{"/dead-letters", "/dead-letters/1", "/requests/billing/least-1"} {
					if status, body := programtest.Probe(t, admin+path); status != http.StatusOK || !strings.Contains(body, "least-1") {
						t.Errorf("%s: %d\n%s", path, status, body)
					}
				}
				if strings.Contains(s.Run.Output.String(), "does not permit") {
					t.Error("something was not permitted")
				}
				return
			}
			programtest.Probe(t, admin+"/")
			s.Run.WaitFor(t, "does not permit")
			waittest.Eventually(t, "word of it on the page", func() bool {
				_, body := programtest.Probe(t, admin+"/")
				return strings.Contains(body, "<b>stale</b> <span>")
			})
			if status, body := programtest.Probe(t, admin+"/dead-letters"); status != http.StatusServiceUnavailable {
				t.Errorf("the dead letters: %d\n%s", status, body)
			}
			programtest.WaitForStatus(t, admin+"/readyz", http.StatusOK)
		})
	}
}
