package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
)

const storeKey = "s3-Geheim-1f77" // no other text contains it

// notification is what MinIO sends of a new object.
func notification(container, key string) []byte {
	return fmt.Appendf(nil, `{"EventName":"s3:ObjectCreated:Put","Key":"%s/%s","Records":[{"eventVersion":"2.0","eventSource":"minio:s3",
"eventName":"s3:ObjectCreated:Put","eventTime":"2026-11-23T10:00:00Z","s3":{"bucket":{"name":%q},"object":{"key":%q,"size":7}}}]}`, container, key, container, key)
}

func triggerEnv(t *testing.T, natsURL string, store *objectstoretest.Server, routes string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(file, []byte(routes), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		"BACKHAUL_NATS_URL=" + natsURL, "BACKHAUL_TRIGGER_ROUTES=" + file, "BACKHAUL_ADMIN_ADDR=127.0.0.1:0",
		"BACKHAUL_TRIGGER_S3_ENDPOINT=" + store.URL, "BACKHAUL_TRIGGER_S3_PATH_STYLE=true",
		"BACKHAUL_TRIGGER_S3_ACCESS_KEY=backhaul", "BACKHAUL_TRIGGER_S3_SECRET_KEY=" + storeKey,
	}
}

// From a change in storage to a job, with the list of what changed in the store.
func TestAStorageChangeBecomesAJob(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	store := objectstoretest.Start(t, "invoices")
	env := triggerEnv(t, s.nc.ConnectedUrl(), store, `routes:
- container: invoices
  clientName: s-adhoc-object-storage
  subclientName: stestgroup
  window: {quiet: 500ms}
  directive: {container: invoices, prefix: .backhaul/}
  labels: {team: finance}
`)
	p := start(t, env, "backhaul", "trigger")
	p.waitFor(t, "reading notifications")
	url := adminURL(t, p)
	waitForStatus(t, url+"/readyz", http.StatusOK)
	s.publish("storage.event.minio", nil, notification("invoices", "2026/1.pdf"))
	s.publish("storage.event.minio", nil, notification("invoices", "2026/2.pdf"))
	s.publish("storage.event.minio", nil, notification("invoices", ".backhaul/old.txt"))
	s.publish("storage.event.minio", nil, []byte("not a notification"))
	p.waitFor(t, "backup requested")
	s.waitForOutcomes()
	id := logged(t, p.output.String(), "requestId")
	_, event := s.terminalOf("storage", id)
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
	eventually(t, "empty notification stream", func() bool { return s.messages(publisher.StorageStream) == 0 })
	_, metrics := probe(t, url+"/metrics")
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
	if n := s.messages(publisher.DeadLetterStream); n != 1 {
		t.Errorf("%d dead letters", n)
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
	secretstest.NotShown(t, []string{storeKey}, p.output.String(), metrics)
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
			env := test.env(triggerEnv(t, "nats://127.0.0.1:1", store, test.routes))
			code, _, stderr := once(t, env, "", "trigger")
			if code != test.code || !strings.Contains(stderr, test.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, test.code, test.want, stderr)
			}
			secretstest.NotShown(t, []string{storeKey}, stderr)
		})
	}
}

// sameLines compares two lists without their order.
func sameLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return
	}
	times := make(map[string]int, len(want))
	for _, line := range want {
		times[line]--
	}
	for _, line := range got {
		times[line]++
	}
	lost, double, foreign := 0, 0, 0
	for line, n := range times {
		switch {
		case n < 0:
			lost++
		case n > 0 && slices.Contains(want, line):
			double++
		case n > 0:
			foreign++
		}
	}
	t.Errorf("%s: %d lost, %d double, %d that did not change, of %d", what, lost, double, foreign, len(want))
}
