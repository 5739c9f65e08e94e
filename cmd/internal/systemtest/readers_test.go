package systemtest

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/programtest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
)

// Every page of the console leaves the consumers as they were; only the reader of
// the list continues, and it ends with the process, as do those that count requests.
func TestNoPageLeavesAConsumer(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	s.KeepDeadLetters(3)
	s.Run.Stop(t)
	before := s.Consumers()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	programtest.PutFile(t, file, "sources:\n  billing:\n    requestsPerHour: 5\n    allow: [{clientName: [\"*\"], subclientName: [\"*\"]}]\n")
	s.Env = append(s.Env, "BACKHAUL_POLICY_FILE="+file)
	s.StartRun(t)
	s.Publish("backup.request.billing", nil, []byte(`{"requestId":"page-1","clientName":"s-adhoc-object-storage","subclientName":"stestgroup"}`))
	s.WaitForOutcomes()
	admin := programtest.AdminURL(t, s.Run)
	get := func(path string) string {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(path, "/live") { // lasts until the process ends
			first := make([]byte, 1)
			_, _ = io.ReadFull(resp.Body, first)
			return ""
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	waittest.Eventually(t, "the list", func() bool { return strings.Contains(get("/"), "page-1") })
	get("/protection") // from now on, what protects the content groups is kept as well
	waittest.Eventually(t, "the consumers of the page", func() bool { return len(s.Consumers()) == len(before)+3 })
	during := s.Consumers()
	pages := map[string][]string{
		"/{$}":                          {"/", "/?state=failed", "/?q=letter-1"},
		"/requests/{source}/{key}":      {"/requests/billing/page-1", "/requests/billing/letter-1", "/requests/billing/nothing"},
		"/dead-letters":                 {"/dead-letters", "/dead-letters?source=billing"},
		"/dead-letters/replay":          {"/dead-letters/replay", "/dead-letters/replay?source=billing", "/dead-letters/replay?all=yes"},
		"/dead-letters/drop":            {"/dead-letters/drop", "/dead-letters/drop?source=billing", "/dead-letters/drop?all=yes"},
		"/dead-letters/{number}":        {"/dead-letters/1", "/dead-letters/999"},
		"/login":                        {"/login"},
		"/cancel":                       {"/cancel", "/cancel?source=billing"},
		"/protection":                   {"/protection", "/protection?state=exposed"},
		"/protection/{group}":           {"/protection/" + strings.Repeat("0", 32)},
		"/live":                         {"/live"},
		"/live/protection":              {"/live/protection"},
		"/live/protection/{group}":      {"/live/protection/" + strings.Repeat("0", 32)},
		"/live/requests/{source}/{key}": {"/live/requests/billing/page-1", "/live/requests/billing/letter-1"},
	}
	source, err := os.ReadFile(programtest.InRepository(t, "cmd", "internal", "console", "page", "page.go"))
	if err != nil {
		t.Fatal(err)
	}
	patterns := regexp.MustCompile(`HandleFunc\("GET ([^"]*)",`).FindAllStringSubmatch(string(source), -1)
	if len(patterns) != len(pages) {
		t.Errorf("%d pages are known, and there are %v", len(pages), patterns)
	}
	for _, pattern := range patterns {
		if pages[pattern[1]] == nil {
			t.Errorf("the page %s is not in the table of this test", pattern[1])
		}
		for _, path := range pages[pattern[1]] {
			get(path)
			// A page that changes by itself reads after it was shown.
			waittest.Eventually(t, "the consumers as before "+path, func() bool { return slices.Equal(during, s.Consumers()) })
		}
	}
	for _, path := range []string{"/livez", "/readyz?verbose", "/metrics"} {
		get(path)
	}
	if code := s.Run.Stop(t); code != programtest.ExitDone {
		t.Errorf("exit code %d", code)
	}
	if after := s.Consumers(); !slices.Equal(before, after) {
		t.Errorf("the consumers are %v, were %v", after, before)
	}
}

// A role from before consumers were deleted works without an error and without a
// wait: the server deletes them soon.
func TestAReaderThatMayNotDeleteItsConsumer(t *testing.T) {
	t.Parallel()
	s := programtest.StartGuarded(t, "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.*", "$JS.API.CONSUMER.DELETE.BACKUP_DLQ.*")
	s.StartRun(t)
	admin := programtest.AdminURL(t, s.Run)
	s.Publish("backup.request.billing", nil, []byte(`{"requestId":"old-1","clientName":"c"}`))
	s.Run.WaitFor(t, `"message":"job-failed"`)
	waittest.Eventually(t, "the request on the page", func() bool {
		_, body := programtest.Probe(t, admin+"/")
		return strings.Contains(body, ">old-1</a>")
	})
	for _, path := range []string{"/dead-letters", "/dead-letters/1", "/requests/billing/old-1"} {
		if status, body := programtest.Probe(t, admin+path); status != http.StatusOK || !strings.Contains(body, "old-1") {
			t.Errorf("%s: %d\n%s", path, status, body)
		}
	}
	for _, args := range [][]string{{"events"}, {"events", "--last", "1"}, {"dlq", "ls"}, {"dlq", "show", "1"}, {"status", "old-1"}} {
		if code, out, stderr := programtest.Once(t, s.Env, "", args...); code != programtest.ExitDone || !strings.Contains(out, "old-1") || stderr != "" {
			t.Errorf("%v: exit code %d, %s%s", args, code, out, stderr)
		}
	}
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusOK)
	if text := s.Run.Output.String(); strings.Contains(text, "not permit") || strings.Contains(text, "ermissions") {
		t.Error("the log mentions what is not permitted")
	}
	if eventlog.InactiveThreshold > 30*time.Second {
		t.Errorf("the server deletes them after %s", eventlog.InactiveThreshold)
	}
}
