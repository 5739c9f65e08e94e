package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// consumers returns every consumer of every stream.
func (c *plainClient) consumers() map[string]*jetstream.ConsumerInfo {
	c.t.Helper()
	all := make(map[string]*jetstream.ConsumerInfo)
	streams := c.js.StreamNames(c.t.Context())
	for name := range streams.Name() {
		stream, err := c.js.Stream(c.t.Context(), name)
		if err != nil {
			c.t.Fatal(err)
		}
		list := stream.ListConsumers(c.t.Context())
		for info := range list.Info() {
			all[name+"/"+info.Name] = info
		}
		if list.Err() != nil {
			c.t.Fatal(list.Err())
		}
	}
	if streams.Err() != nil {
		c.t.Fatal(streams.Err())
	}
	return all
}

func namesOf(consumers map[string]*jetstream.ConsumerInfo) []string {
	return slices.Sorted(maps.Keys(consumers))
}

// keepLetters puts some dead letters into the stream, the first of them replayed.
func (c *plainClient) keepLetters(n int) {
	c.t.Helper()
	pub, err := publisher.New(c.nc)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range n {
		id := fmt.Sprint("letter-", i)
		key := publisher.NewKey("billing", id)
		if err := pub.DeadLetter(c.t.Context(), publisher.DeadLetter{
			Subject: "backup.request.billing", Data: sampleRequest(id), Key: key, RequestID: id, Sequence: uint64(i + 1000), Code: "2", Reason: "busy",
		}); err != nil {
			c.t.Fatal(err)
		}
		if _, err := pub.Append(c.t.Context(), key, 0, &schemas.JobFailed{
			Naming:    schemas.Naming{RequestID: id, Source: "billing", ClientName: "c", SubclientName: "g"},
			ErrorCode: "2", ErrorMessage: "busy", ErrorSource: "vendor", FailedAt: time.Now(),
		}, ""); err != nil {
			c.t.Fatal(err)
		}
	}
}

// No command leaves a consumer behind: when it ends by itself, when it fails, when
// it is interrupted, and when nobody reads what it prints.
func TestNoCommandLeavesAConsumer(t *testing.T) {
	t.Parallel()
	url := natsServer(t)
	sim := simulator.New(simulator.Config{World: world()})
	endpoint, stop, err := serveSimulator(t.Context(), sim, "127.0.0.1:0", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	env := serviceEnv(url, endpoint)
	if code, _, stderr := once(t, env, "", "setup", "--trigger"); code != exitDone {
		t.Fatal(stderr)
	}
	c := connectPlainly(t, url)
	c.keepLetters(5)
	once(t, env, "", "dlq", "replay", "1", "--yes")
	file := filepath.Join(t.TempDir(), "routes.yaml")
	putFile(t, file, "routes:\n- {container: invoices, clientName: c, subclientName: s}\n")
	before := namesOf(c.consumers())
	unchanged := func(what string) {
		t.Helper()
		if after := namesOf(c.consumers()); !slices.Equal(before, after) {
			t.Errorf("%s: the consumers are %v, were %v", what, after, before)
			before = after
		}
	}
	// Each command with the arguments that make it read as much as it can.
	runs := map[string][]string{
		"backhaul":                 {""},
		"backhaul check":           {""},
		"backhaul setup":           {""},
		"backhaul migrate":         {"--from-store " + t.TempDir()},
		"backhaul recover":         {""},
		"backhaul request":         {"--client-name c --subclient-name g --dry-run", "--client-name c"},
		"backhaul events":          {"", "--last 3", "--limit 1", "--source billing", "--request-id letter-1", "--kind operator", "--since 2h --until 1h", "--last 0 --error-code 2"},
		"backhaul dlq":             {"", "nothing"},
		"backhaul dlq ls":          {"", "--source billing --limit 2", "--output json"},
		"backhaul dlq show":        {"1", "2", "999"},
		"backhaul dlq replay":      {"--all --dry-run", "1 2 3 --dry-run", "2 --yes", "999 --yes", "--all --limit 2 --yes"},
		"backhaul dlq drop":        {"--all --dry-run", "5 --yes", "5 --yes"},
		"backhaul pause":           {"--for 1h"},
		"backhaul status":          {"", "letter-1", "billing/letter-2", "nothing", "--source billing seq-1"},
		"backhaul resume":          {""},
		"backhaul policy":          {""},
		"backhaul policy check":    {file},
		"backhaul policy explain":  {file},
		"backhaul trigger check":   {"--routes " + file},
		"backhaul trigger explain": {file + " --routes " + file},
		"backhaul schema":          {""},
		"backhaul schema ls":       {""},
		"backhaul schema show":     {"backup-request"},
		"backhaul schema validate": {file},
		"backhaul healthcheck":     {"--admin-addr 127.0.0.1:1"},
		"backhaul config":          {""},
		"backhaul config show":     {""},
		"backhaul config check":    {""},
		"backhaul version":         {""},
	}
	// What these do is not over until they are interrupted.
	interrupted := map[string]struct{ args, says string }{
		"backhaul run":       {"", `"message":"reading requests"`},
		"backhaul trigger":   {"--routes " + file, `"message":"reading notifications"`},
		"backhaul simulator": {"--listen 127.0.0.1:0", "simulating Commvault"},
		"backhaul demo":      {"", "NATS JetStream"}, // with a server of its own
	}
	var paths []string
	eachCommand(newRootCommand(), func(cmd *cobra.Command) {
		paths = append(paths, cmd.CommandPath())
		if _, ends := runs[cmd.CommandPath()]; ends == (interrupted[cmd.CommandPath()].says != "") {
			t.Errorf("%s is not in one of the tables of this test", cmd.CommandPath())
		}
	})
	words := func(path, args string) []string { return append(strings.Fields(path)[1:], strings.Fields(args)...) }
	for _, path := range paths {
		for _, args := range runs[path] {
			_, out, stderr := once(t, env, "", words(path, args)...)
			unchanged(path + " " + args)
			if strings.Contains(stderr, "unknown flag") || strings.Contains(stderr, "10026") {
				t.Errorf("%s %s: %s%s", path, args, out, stderr)
			}
		}
	}
	follow := start(t, env, "backhaul", "events", "--follow")
	follow.waitFor(t, "letter-1")
	if len(c.consumers()) != len(before)+1 {
		t.Errorf("events --follow has the consumers %v", namesOf(c.consumers()))
	}
	follow.signal(t, syscall.SIGINT)
	<-follow.done
	unchanged("events --follow, interrupted")
	wait := start(t, env, "backhaul", "request", "--client-name", "c", "--subclient-name", "g", "--request-id", "waits", "--wait")
	eventually(t, "a reader", func() bool { return len(c.consumers()) > len(before) })
	wait.signal(t, syscall.SIGINT)
	<-wait.done
	unchanged("request --wait, interrupted")
	piped := startCommand(t, exec.Command("sh", "-c", binary(t, "backhaul")+" events --follow | head -1"), env)
	piped.waitFor(t, "letter")
	written := 0
	eventually(t, "the end of the reader, by one of the next writes", func() bool {
		key := publisher.NewKey("other", fmt.Sprint("o-", written))
		written++
		c.publish(key.Subject(schemas.KindJobFailed), nats.Header{"ce-id": {key.EventID(schemas.KindJobFailed)}}, []byte(`{"requestId":"o","source":"other","clientName":"c","subclientName":"g","backupLevel":"FULL","errorCode":"1","errorMessage":"m","errorSource":"vendor","retryable":false,"attempts":1,"failedAt":"2026-11-23T10:00:00Z"}`))
		return len(c.consumers()) <= len(before)
	})
	<-piped.done
	unchanged("events --follow | head")
	for _, path := range paths {
		c := interrupted[path]
		if c.says == "" {
			continue
		}
		p := start(t, env, "backhaul", words(path, c.args)...)
		p.waitFor(t, c.says)
		p.signal(t, syscall.SIGINT)
		<-p.done
		unchanged(path + ", interrupted")
	}
}

// Every page of the console leaves the consumers as they were; only the reader of
// the list goes on, and it ends with the process, as do those that count requests.
func TestNoPageLeavesAConsumer(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	s.keepLetters(3)
	s.run.stop(t)
	before := namesOf(s.consumers())
	file := filepath.Join(t.TempDir(), "policy.yaml")
	putFile(t, file, "sources:\n  billing:\n    requestsPerHour: 5\n    allow: [{clientName: [\"*\"], subclientName: [\"*\"]}]\n")
	s.env = append(s.env, "BACKHAUL_POLICY_FILE="+file)
	s.startRun(t)
	s.publish("backup.request.billing", nil, []byte(`{"requestId":"page-1","clientName":"s-adhoc-object-storage","subclientName":"stestgroup"}`))
	s.waitForOutcomes()
	admin := adminURL(t, s.run)
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
		if strings.HasPrefix(path, "/live") { // goes on until the process ends
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
	eventually(t, "the list", func() bool { return strings.Contains(get("/"), "page-1") })
	during := namesOf(s.consumers())
	if want := len(before) + 2; len(during) != want {
		t.Errorf("%d consumers, want %d: %v", len(during), want, during)
	}
	pages := map[string][]string{
		"/{$}":                          {"/", "/?state=failed", "/?q=letter-1"},
		"/requests/{source}/{key}":      {"/requests/billing/page-1", "/requests/billing/letter-1", "/requests/billing/nothing"},
		"/dead-letters":                 {"/dead-letters", "/dead-letters?source=billing"},
		"/dead-letters/{number}":        {"/dead-letters/1", "/dead-letters/999"},
		"/login":                        {"/login"},
		"/live":                         {"/live"},
		"/live/requests/{source}/{key}": {"/live/requests/billing/page-1", "/live/requests/billing/letter-1"},
	}
	source, err := os.ReadFile("../internal/console/page/page.go")
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
			eventually(t, "the consumers as before "+path, func() bool { return slices.Equal(during, namesOf(s.consumers())) })
		}
	}
	for _, path := range []string{"/livez", "/readyz?verbose", "/metrics"} {
		get(path)
	}
	if code := s.run.stop(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if after := namesOf(s.consumers()); !slices.Equal(before, after) {
		t.Errorf("the consumers are %v, were %v", after, before)
	}
}

// A role from before consumers were deleted works without an error and without a
// wait: the server deletes them soon.
func TestAReaderThatMayNotDeleteItsConsumer(t *testing.T) {
	t.Parallel()
	s := guarded(t, "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.*", "$JS.API.CONSUMER.DELETE.BACKUP_DLQ.*")
	s.startRun(t)
	admin := adminURL(t, s.run)
	s.publish("backup.request.billing", nil, []byte(`{"requestId":"old-1","clientName":"c"}`))
	s.run.waitFor(t, `"message":"job-failed"`)
	eventually(t, "the request on the page", func() bool {
		_, body := probe(t, admin+"/")
		return strings.Contains(body, ">old-1</a>")
	})
	for _, path := range []string{"/dead-letters", "/dead-letters/1", "/requests/billing/old-1"} {
		if status, body := probe(t, admin+path); status != http.StatusOK || !strings.Contains(body, "old-1") {
			t.Errorf("%s: %d\n%s", path, status, body)
		}
	}
	for _, args := range [][]string{{"events"}, {"events", "--last", "1"}, {"dlq", "ls"}, {"dlq", "show", "1"}, {"status", "old-1"}} {
		if code, out, stderr := once(t, s.env, "", args...); code != exitDone || !strings.Contains(out, "old-1") || stderr != "" {
			t.Errorf("%v: exit code %d, %s%s", args, code, out, stderr)
		}
	}
	waitForStatus(t, admin+"/readyz", http.StatusOK)
	if text := s.run.output.String(); strings.Contains(text, "not permit") || strings.Contains(text, "ermissions") {
		t.Error("the log mentions what is not permitted")
	}
	if eventlog.InactiveThreshold > 30*time.Second {
		t.Errorf("the server deletes them after %s", eventlog.InactiveThreshold)
	}
}
