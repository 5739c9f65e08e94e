package systemtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
)

// From a change in storage to a job, with the list of what changed in the store.
func TestAStorageChangeBecomesAJob(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	store := objectstoretest.Start(t, "invoices")
	env := programtest.TriggerEnv(t, s.NC.ConnectedUrl(), store, `routes:
- container: invoices
  clientName: s-adhoc-object-storage
  subclientName: stestgroup
  window: {quiet: 500ms}
  directive: {container: invoices, prefix: .backhaul/}
  labels: {team: finance}
`)
	p := programtest.Start(t, env, "backhaul", "trigger")
	p.WaitFor(t, "reading notifications")
	url := programtest.AdminURL(t, p)
	programtest.WaitForStatus(t, url+"/readyz", http.StatusOK)
	s.Publish("storage.event.minio", nil, programtest.Notification("invoices", "2026/1.pdf"))
	s.Publish("storage.event.minio", nil, programtest.Notification("invoices", "2026/2.pdf"))
	s.Publish("storage.event.minio", nil, programtest.Notification("invoices", ".backhaul/old.txt"))
	s.Publish("storage.event.minio", nil, []byte("not a notification"))
	p.WaitFor(t, "backup requested")
	s.WaitForOutcomes()
	id := programtest.Logged(t, p.Output.String(), "requestId")
	_, event := s.TerminalOf("storage", id)
	file := "/invoices/.backhaul/" + id + ".txt"
	if event["jobId"] == nil || event["onDemandInputFile"] != file {
		t.Errorf("the outcome is %v, want a job for %s", event, file)
	}
	if labels, ok := event["labels"].(map[string]any); !ok || labels["team"] != "finance" || labels["trigger.changes"] != "2" || labels["trigger.directive"] != "listed" {
		t.Errorf("its labels are %v", event["labels"])
	}
	if got, want := store.Get("invoices", ".backhaul/"+id+".txt"), "/invoices/2026/1.pdf\n/invoices/2026/2.pdf\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	waittest.Eventually(t, "empty notification stream", func() bool { return s.Messages(publisher.StorageStream) == 0 })
	_, metrics := programtest.Probe(t, url+"/metrics")
	for _, series := range []string{
		`backhaul_trigger_changes_total{format="minio",reason="routed"} 2`,
		`backhaul_trigger_changes_total{format="minio",reason="directive"} 1`,
		`backhaul_trigger_requests_total{directive="listed"} 1`,
		`backhaul_trigger_dead_letters_total{reason="unknown"} 1`,
		`backhaul_trigger_directive_uploads_total{result="ok"} 1`,
		`backhaul_trigger_request_changes_sum 2`,
		`backhaul_ready 1`,
	} {
		if !strings.Contains(metrics, "\n"+series+"\n") {
			t.Errorf("/metrics has no %s", series)
		}
	}
	if n := s.Messages(publisher.DeadLetterStream); n != 1 {
		t.Errorf("%d dead letters", n)
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
	secretstest.NotShown(t, []string{programtest.StoreKey}, p.Output.String(), metrics)
}

// The routes file may change while the trigger runs: a broken one changes nothing and is said where
// operators look, a good one is in force for what waits and for what comes.
func TestRoutesAreReloaded(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	const route = "routes:\n- {container: %s, clientName: s-adhoc-object-storage, subclientName: stestgroup, window: {quiet: %s, max: 1h}}\n"
	env := programtest.TriggerEnv(t, s.NC.ConnectedUrl(), objectstoretest.Start(t), fmt.Sprintf(route, "invoices", "30m"))
	file := strings.TrimPrefix(env[1], "BACKHAUL_TRIGGER_ROUTES=")
	p := programtest.Start(t, env, "backhaul", "trigger")
	p.WaitFor(t, "reading notifications")
	admin := programtest.AdminURL(t, p)
	s.Publish("storage.event.minio", nil, programtest.Notification("invoices", "1.pdf"))
	status := func() string {
		_, stdout, _ := programtest.Once(t, s.Env, "", "status")
		return stdout
	}

	programtest.WritePolicy(t, file, strings.ReplaceAll(fmt.Sprintf(route, "invoices", "1s"), "clientName", "client"))
	p.WaitFor(t, "routes file refused, the old routes stay in force")
	if _, text := programtest.Probe(t, admin+"/readyz?verbose"); !strings.Contains(text, `"name":"routes"`) || !strings.Contains(text, "did you mean clientName?") {
		t.Errorf("/readyz?verbose is %s", text)
	}
	waittest.Eventually(t, "the condition in status", func() bool { return strings.Contains(status(), "routes: since ") })
	if n := s.Messages(publisher.RequestsStream); n != 0 {
		t.Errorf("%d requests by a broken file", n)
	}

	programtest.WritePolicy(t, file, fmt.Sprintf(route, "inv*", "1s"))
	p.Signal(t, syscall.SIGHUP)
	p.WaitFor(t, "routes reloaded")
	p.WaitFor(t, "backup requested")
	s.Publish("storage.event.minio", nil, programtest.Notification("inventory", "2.pdf"))
	s.WaitForOutcomes()
	waittest.Eventually(t, "two requests", func() bool { return strings.Count(p.Output.String(), "backup requested") == 2 })
	if _, text := programtest.Probe(t, admin+"/readyz?verbose"); strings.Contains(text, "did you mean") {
		t.Errorf("/readyz?verbose is %s", text)
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}

// Operators see which containers have changes that no route takes.
func TestUnroutedChangesAreShown(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	env := programtest.TriggerEnv(t, s.NC.ConnectedUrl(), objectstoretest.Start(t), "unrouted: keep\nroutes:\n- {container: a, clientName: c, subclientName: s}\n")
	if code, _, stderr := programtest.Once(t, s.Env, "", "trigger", "unrouted"); code != 1 || !strings.Contains(stderr, "no trigger says that it reads") {
		t.Errorf("without a trigger: exit code %d, %s", code, stderr)
	}
	p := programtest.Start(t, env, "backhaul", "trigger")
	p.WaitFor(t, "reading notifications")
	for range 3 {
		s.Publish("storage.event.minio", nil, programtest.Notification("forgotten", "2026/1.pdf"))
	}
	p.WaitFor(t, "no route takes changes")
	unrouted := func(args ...string) string {
		code, stdout, stderr := programtest.Once(t, s.Env, "", append([]string{"trigger", "unrouted"}, args...)...)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		return stdout
	}
	waittest.Eventually(t, "three changes", func() bool { return strings.Contains(unrouted(), "3 changes without a route since ") })
	if out := unrouted(); !strings.Contains(out, "forgotten") || !strings.Contains(out, "2026/1.pdf") {
		t.Errorf("got %s", out)
	}
	if out := unrouted("-o", "json"); !strings.Contains(out, `{"changes":3,"containers":[{"system":"minio","container":"forgotten","changes":3,`) {
		t.Errorf("got %s", out)
	}
	_, status, _ := programtest.Once(t, s.Env, "", "status")
	if !strings.Contains(status, "3 changes, 3 of them in container forgotten") {
		t.Errorf("status is %s", status)
	}
	_, letters, _ := programtest.Once(t, s.Env, "", "dlq", "ls", "--error-code", "NO_ROUTE", "-o", "json")
	if strings.Count(letters, "no route takes 1 of its 1 changes") != 3 {
		t.Errorf("the dead letters are %s", letters)
	}
	_, page := programtest.Probe(t, programtest.AdminURL(t, s.Run)+"/")
	waittest.Eventually(t, "the page", func() bool {
		_, page = programtest.Probe(t, programtest.AdminURL(t, s.Run)+"/")
		return strings.Contains(page, "No route takes 3 changes: forgotten (3).")
	})
}

// What was set aside goes back to its subject when the trigger can use it: in bulk, and once.
func TestNotificationsSetAsideArePutBack(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	const routes = "unrouted: keep\nroutes:\n- {container: %s, clientName: s-adhoc-object-storage, subclientName: stestgroup, window: {quiet: 300ms}}\n"
	env := programtest.TriggerEnv(t, s.NC.ConnectedUrl(), objectstoretest.Start(t), fmt.Sprintf(routes, "a"))
	file := strings.TrimPrefix(env[1], "BACKHAUL_TRIGGER_ROUTES=")
	p := programtest.Start(t, env, "backhaul", "trigger")
	p.WaitFor(t, "reading notifications")
	s.Publish("storage.event.site-a", nil, []byte("not a notification"))
	for _, key := range []string{"1.pdf", "2.pdf"} {
		s.Publish("storage.event.site-a", nil, programtest.Notification("forgotten", key))
	}
	waittest.Eventually(t, "dead letters", func() bool { return s.Messages(publisher.DeadLetterStream) == 3 })
	_, list, _ := programtest.Once(t, s.Env, "", "dlq", "ls")
	if strings.Count(list, "storage.event.site-a") != 3 || !strings.Contains(list, "unknown format") || strings.Count(list, "NO_ROUTE") != 2 {
		t.Errorf("dlq ls prints %s", list)
	}

	programtest.WritePolicy(t, file, fmt.Sprintf(routes, `"*"`))
	p.Signal(t, syscall.SIGHUP)
	p.WaitFor(t, "reading notifications by other routes")
	code, replayed, stderr := programtest.Once(t, s.Env, "", "dlq", "replay", "--subject", "storage.event.>", "--yes", "--reason", "routes fixed")
	if code != 1 || strings.Count(replayed, "storage/-  replayed on storage.event.site-a") != 2 || strings.Count(replayed, "this version does not understand it either") != 1 {
		t.Errorf("exit code %d: %s%s", code, replayed, stderr)
	}
	p.WaitFor(t, "backup requested")
	waittest.Eventually(t, "a job", func() bool { return strings.Contains(p.Output.String(), `"changes":2`) })
	if _, list, _ = programtest.Once(t, s.Env, "", "dlq", "ls"); strings.Count(list, "put back") != 2 {
		t.Errorf("dlq ls prints %s", list)
	}
}

// The object store is tried before it is needed: by check, and at the start. A group that waits for
// it is shown by status, with the reason.
func TestTheObjectStoreIsTried(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	store := objectstoretest.Start(t, "scans")
	route := func(container string) string {
		return "- {container: " + container + ", clientName: c, subclientName: " + container + ", window: {quiet: 300ms}, directive: {container: " + container + ", prefix: .backhaul/}}\n"
	}
	env := programtest.TriggerEnv(t, s.NC.ConnectedUrl(), store, "routes:\n"+route("scans")+route("missing"))
	env = slices.DeleteFunc(env, func(v string) bool { return strings.Contains(v, "PATH_STYLE") }) // an IP address needs none
	code, out, stderr := programtest.Once(t, env, "", "trigger", "check")
	if code != 1 || !strings.Contains(out, "/scans/.backhaul/ can be written") || !strings.Contains(out, "/missing/.backhaul/ cannot be written: ") || !strings.Contains(out, "→ create the bucket missing") {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
	if code, out, _ = programtest.Once(t, env, "", "trigger", "check", "--offline"); code != 0 || strings.Contains(out, "written") {
		t.Errorf("offline: exit code %d: %s", code, out)
	}
	code, out, stderr = programtest.Once(t, append(slices.Clone(s.Env), env...), "", "check")
	if code != 1 || !strings.Contains(out, "/missing/.backhaul/ cannot be written") {
		t.Errorf("check: exit code %d: %s%s", code, out, stderr)
	}
	if store.Get("scans", ".backhaul/backhaul-check.txt") == "" {
		t.Error("nothing was written")
	}

	p := programtest.Start(t, env, "backhaul", "trigger")
	p.WaitFor(t, "/missing/.backhaul/ cannot be written")
	s.Publish("storage.event.minio", nil, programtest.Notification("missing", "1.pdf"))
	var status string
	waittest.Eventually(t, "the group that waits", func() bool {
		_, status, _ = programtest.Once(t, s.Env, "", "status")
		return strings.Contains(status, "c/missing, for ") && strings.Contains(status, "NoSuchBucket")
	})
	secretstest.NotShown(t, []string{programtest.StoreKey}, p.Output.String(), status, out)
}

func TestTriggerSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	store := objectstoretest.Start(t)
	plain := "routes:\n- {container: a, clientName: c, subclientName: s}\n"
	listing := "routes:\n- {container: a, clientName: c, subclientName: s, directive: {container: a, prefix: x/}}\n"
	for name, test := range map[string]struct {
		routes string
		env    func(env []string) []string
		code   int
		want   string
	}{
		"no server":  {plain, func(env []string) []string { return env[1:] }, 2, "BACKHAUL_NATS_URL"},
		"no store":   {listing, func(env []string) []string { return env[:3] }, 2, "BACKHAUL_TRIGGER_S3_ENDPOINT"},
		"no key":     {listing, func(env []string) []string { return env[:5] }, 2, "BACKHAUL_TRIGGER_S3_ACCESS_KEY"},
		"plain http": {listing, func(env []string) []string { return append(env, "BACKHAUL_TRIGGER_S3_ENDPOINT=http://s3.example.com") }, 2, "plain http"},
		"no endpoint": {listing, func(env []string) []string {
			return append(env, "BACKHAUL_TRIGGER_S3_ENDPOINT=http://127.0.0.1:9000/scans")
		}, 2, "configuration: the endpoint of the object store must be a URL"},
		"no routes":    {"routes: []\n", func(env []string) []string { return env }, 2, "routes is empty"},
		"out of reach": {plain, func(env []string) []string { return env }, 3, "127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := test.env(programtest.TriggerEnv(t, "nats://127.0.0.1:1", store, test.routes))
			code, _, stderr := programtest.Once(t, env, "", "trigger")
			if code != test.code || !strings.Contains(stderr, test.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, test.code, test.want, stderr)
			}
			secretstest.NotShown(t, []string{programtest.StoreKey}, stderr)
		})
	}
}
