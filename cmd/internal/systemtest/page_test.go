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

// Dead letters are dropped from the page with the shipped permissions. Without the line for it the page
// names it, and records nothing; where it cannot be known, the answer names it.
func TestADeadLetterIsDroppedFromThePage(t *testing.T) {
	t.Parallel()
	const grant, question = "$JS.API.STREAM.MSG.DELETE.BACKUP_DLQ", "$SYS.REQ.USER.INFO"
	for name, without := range map[string][]string{"as shipped": nil, "without the line": {grant}, "and without the question": {grant, question}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := programtest.StartGuarded(t, without...)
			s.Env = append(s.Env, tokenFile(t))
			s.StartRun(t)
			s.Publish("backup.request.billing", nil, []byte(`{"requestId":"drop-1","clientName":"c"}`))
			s.Run.WaitFor(t, `"message":"job-failed"`)
			admin := programtest.AdminURL(t, s.Run)
			ask := asker(t, admin)
			do := func(path string, form url.Values) string { _, body := ask(path, form); return body }
			csrf := signIn(t, do, "/")
			body := do("/dead-letters/drop?all=yes", nil)
			form := url.Values{"csrf": {csrf}, "all": {"yes"}, "before": {"2"}, "reason": {"test data"}}
			if !strings.Contains(body, "<b>1</b> dead letter is selected: 1 of billing; 1 open.") {
				t.Errorf("the dry run:\n%s", body)
			}
			switch len(without) {
			case 0:
				if body := do("/dead-letters/drop", form); !strings.Contains(body, "1 dropped.") {
					t.Errorf("after the drop:\n%s", body)
				}
				if body := do("/dead-letters", nil); !strings.Contains(body, "No dead letter.") {
					t.Errorf("the list after the drop:\n%s", body)
				}
				if strings.Contains(s.Run.Output.String(), "does not permit") {
					t.Error("something was not permitted")
				}
				// A replay is not granted by default, and the page says so.
				s.Publish("backup.request.billing", nil, []byte(`{"requestId":"drop-2","clientName":"c"}`))
				waittest.Eventually(t, "the second dead letter", func() bool { return strings.Contains(do("/dead-letters", nil), ">drop-2</a>") })
				if body := do("/dead-letters/replay?all=yes", nil); !strings.Contains(body, "<code>backup.request.billing</code>") {
					t.Errorf("the replay does not name the permission:\n%s", body)
				}
			case 1:
				if !strings.Contains(body, "<code>"+grant+"</code>") || strings.Contains(body, `class="replay"`) {
					t.Errorf("the page does not name the permission:\n%s", body)
				}
			case 2:
				status, body := ask("/dead-letters/drop", form)
				if status != http.StatusBadGateway || !strings.Contains(body, "recorded, but not dropped") || !strings.Contains(body, "grant publish on "+grant) {
					t.Errorf("%d\n%s", status, body)
				}
			}
			if code := s.Run.Stop(t); code != programtest.ExitDone {
				t.Errorf("exit code %d", code)
			}
		})
	}
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
	ask := asker(t, admin)
	return func(path string, form url.Values) string {
		t.Helper()
		status, body := ask(path, form)
		if status != http.StatusOK {
			t.Fatalf("%s: %d\n%s", path, status, body)
		}
		return body
	}
}

// asker is like viewer, and returns the status as well.
func asker(t *testing.T, admin string) func(path string, form url.Values) (status int, body string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	return func(path string, form url.Values) (status int, body string) {
		t.Helper()
		resp, err := client.Get(admin + path)
		if form != nil {
			resp, err = client.PostForm(admin+path, form)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		programtest.NoSecrets(t, string(text))
		if strings.Contains(string(text), token) {
			t.Errorf("%s shows the token", path)
		}
		return resp.StatusCode, string(text)
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
