package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
)

// someRoutes is the path of a routes file with this content.
func someRoutes(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTriggerCheck(t *testing.T) {
	t.Parallel()
	const route = "- {container: a, clientName: c, subclientName: g}\n"
	for name, c := range map[string]struct {
		args           []string
		routes         string
		code           int
		stdout, stderr string
	}{
		"example":     {[]string{"--routes", programtest.InRepository(t, "deploy", "routes.example.yaml")}, "", exitDone, "created in invoices/2026/*.pdf", ""},
		"no routes":   {nil, "", exitUsage, "", "BACKHAUL_TRIGGER_ROUTES"},
		"no file":     {[]string{"--routes", "none.yaml"}, "", exitUsage, "", "none.yaml: cannot be read: no such file"},
		"an argument": {[]string{"routes.yaml"}, "", exitUsage, "", "--routes"},
		"broken":      {nil, "routes:\n- {contaner: a}\n", exitUsage, "", `routes.yaml:2: a route has no key "contaner"; did you mean container?`},
		"a template":  {nil, "routes:\n- {container: team-*, clientName: c, subclientName: \"{container}\"}\n", exitDone, "created in team-*/*  c/{container}", ""},
		"a typo":      {nil, "routes:\n- {container: team-*, clientName: c, subclientName: \"{contaner}\"}\n", exitUsage, "", "routes.yaml:2: subclientName has {contaner}, which is no placeholder"},
		"unreachable": {nil, "routes:\n" + route + strings.Replace(route, "g}", "h}", 1), exitFailed, "routes.yaml:3: fault: route of line 3: cannot be reached", ""},
		"as JSON":     {[]string{"-o", "json"}, "routes:\n" + route + route, exitFailed, `"line":3,"severity":"fault"`, ""},
		"not to load": {[]string{"-o", "json"}, "routes:\n- {}\n", exitUsage, `{"ok":false,"problems":["`, "routes.yaml:2"},
		"a warning":   {nil, "routes:\n- {container: a, backupLevel: FULL, clientName: c, subclientName: g}\n", exitDone, "warning: route of line 2: asks for FULL", ""},
		"a rule":      {nil, "routes:\n- {container: a, clientName: c, subclientName: g, onRunning: queue, minInterval: 5m}\n", exitDone, "waits for a job that runs, at least 5m between jobs", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var env []string
			if c.routes != "" {
				env = append(env, "BACKHAUL_TRIGGER_ROUTES="+someRoutes(t, c.routes))
			}
			code, stdout, stderr := programtest.Once(t, env, "", append([]string{"trigger", "check"}, c.args...)...)
			if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit code %d, want %d with %q and %q in\n%s\n%s", code, c.code, c.stdout, c.stderr, stdout, stderr)
			}
		})
	}
}

// Where jobs are not followed, a route must not wait for one.
func TestTriggerNeedsFollowing(t *testing.T) {
	t.Parallel()
	env := []string{"BACKHAUL_FOLLOW=false", "BACKHAUL_NATS_URL=nats://127.0.0.1:1", "BACKHAUL_ADMIN_ADDR=off", "BACKHAUL_TRIGGER_ROUTES=" + someRoutes(t, "routes:\n- {container: a, clientName: c, subclientName: g, onRunning: queue}\n")}
	for _, args := range [][]string{{"trigger"}, {"trigger", "check"}} {
		if code, _, stderr := programtest.Once(t, env, "", args...); code != exitUsage || !strings.Contains(stderr, "routes.yaml:2: onRunning and minInterval need started jobs to be followed") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}

// What recorded notifications would become, by the routes and by others.
func TestTriggerReplay(t *testing.T) {
	t.Parallel()
	old := someRoutes(t, `routes: [{container: "*", clientName: c, subclientName: "{container}", window: {quiet: 30s, max: 5m}}]`)
	rare := someRoutes(t, `routes: [{container: "*", clientName: c, subclientName: "{container}", window: {quiet: 2h, max: 4h}}]`)
	var day strings.Builder
	for hour := range 24 {
		for bucket := range 3 {
			fmt.Fprintf(&day, `{"detail-type":"Object Created","source":"aws.s3","time":"2026-11-23T%02d:00:00Z","detail":{"bucket":{"name":"b%d"},"object":{"key":"k%d","size":3}}}`+"\n", hour, bucket, hour)
		}
	}
	file := filepath.Join(t.TempDir(), "day.ndjson")
	if err := os.WriteFile(file, []byte(day.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := programtest.Once(t, nil, "", "trigger", "replay", file, "--routes", old, "--against", rare, "-o", "json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitDone || len(lines) != 2 || !strings.Contains(lines[0], `"requests":72,`) || !strings.Contains(lines[0], `"busiest":3`) || !strings.Contains(lines[1], `"changes":72,`) {
		t.Fatalf("exit code %d: %s%s", code, out, stderr)
	}
	var second struct{ Requests int }
	if err := json.Unmarshal([]byte(lines[1]), &second); err != nil || second.Requests >= 24 {
		t.Errorf("longer windows make %d requests, %v", second.Requests, err)
	}
	if code, out, _ = programtest.Once(t, nil, "", "trigger", "replay", file, "--routes", old); code != exitDone || !strings.Contains(out, "writes per hour") {
		t.Errorf("exit code %d: %s", code, out)
	}
	client := programtest.Connect(t, programtest.NATSServer(t))
	url := client.NC.ConnectedUrl()
	if code, _, stderr = programtest.Once(t, nil, "", "setup", "--trigger", "--nats", url); code != exitDone {
		t.Fatal(stderr)
	}
	for range 3 {
		client.Publish("storage.event.minio", nil, programtest.Notification("team-a", "k"))
	}
	args := []string{"trigger", "replay", "stream:STORAGE_EVENTS", "--routes", old, "--nats", url, "-o", "json"}
	if code, out, stderr = programtest.Once(t, nil, "", append(args, "--since", "1h")...); code != exitDone || !strings.Contains(out, `"notifications":3,`) || !strings.Contains(out, `"requests":1,`) {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
	if n := client.Messages("STORAGE_EVENTS"); n != 3 {
		t.Errorf("%d messages are left in the stream", n)
	}
	if code, _, stderr = programtest.Once(t, nil, "", "trigger", "replay", "--routes", old); code != exitUsage || !strings.Contains(stderr, "stream:NAME") {
		t.Errorf("without a file: exit code %d, %s", code, stderr)
	}
}

func TestTriggerExplain(t *testing.T) {
	t.Parallel()
	routes := someRoutes(t, `routes:
- {container: logs, ignore: true}
- {name: listed, container: b, clientName: c, subclientName: g, directive: {container: b, prefix: lists/}, window: {quiet: 90s, max: 1h}}
`)
	explain := func(stdin string, args ...string) (int, string, string) {
		return programtest.Once(t, nil, stdin, append([]string{"trigger", "explain", "--routes", routes}, args...)...)
	}
	const created = `{"detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"BUCKET"},"object":{"key":"KEY","size":3}}}`
	document := func(bucket, key string) string {
		return strings.NewReplacer("BUCKET", bucket, "KEY", key).Replace(created)
	}
	lines := strings.Join([]string{
		document("b", "a/b.txt"), document("b", "a//b.txt"), document("b", "lists/1.txt"), document("logs", "x"), document("other", "x"),
		strings.Replace(document("b", "x"), "Created", "Deleted", 1), `{"Event":"s3:TestEvent"}`,
	}, "\n")
	code, out, stderr := explain(lines, "-")
	if code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for i, want := range []string{
		"MESSAGE",
		`INCREMENTAL backup of c/g, 1m30s after its last change, at most 1h after the first or at 1000 paths; lists "/b/a/b.txt"`,
		"without a list of paths, because its key has an empty part",
		"a directive file of the trigger",
		"a route says to ignore it",
		"no route matches",
		"if c/g waits for one, this is taken out",
		"the test that is sent",
	} {
		if got := strings.Split(out, "\n"); i >= len(got) || !strings.Contains(got[i], want) {
			t.Errorf("line %d has no %q:\n%s", i, want, out)
		}
	}

	code, out, _ = explain("", "-o", "json", programtest.InRepository(t, "consumer", "trigger", "testdata", "minio-put.json"), programtest.InRepository(t, "consumer", "trigger", "testdata", "aws-s3-2.6.json"))
	var first struct {
		Message, Format, Kind, Container, Key, Reason, Conclusion string
		Size                                                      int64
	}
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &first); err != nil || code != exitDone || strings.Count(out, "\n") != 2 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	if first.Format != "minio" || first.Key != "raw/ä b+c.mov" || first.Reason != "no-route" || first.Size != 2048 || !strings.HasSuffix(first.Message, "minio-put.json#1") {
		t.Errorf("got %+v", first)
	}

	binary := []string{"-H", "ce-specversion: 1.0", "-H", "ce-type:google.cloud.storage.object.v1.finalized", "-o", "json", "-"}
	if code, out, _ = explain(`{"bucket":"b","name":"k","size":"1"}`, binary...); code != exitDone || !strings.Contains(out, `"route":"listed","line":3`) {
		t.Errorf("binary mode: exit code %d, %s", code, out)
	}
	ruled := someRoutes(t, "routes: [{container: b, clientName: c, subclientName: g, onRunning: queue, minInterval: 15m}]")
	if code, out, _ = explain(document("b", "a"), "-", "--routes", ruled); code != exitDone || !strings.Contains(out, "after the first, and after a job of the group that runs, at least 15m after the start of its last job") {
		t.Errorf("a route with a rule: exit code %d, %s", code, out)
	}
	templates := someRoutes(t, `routes: [{container: team-*, clientName: c, subclientName: "{container}-{prefix:1}"}]`)
	for key, want := range map[string]string{"a/b": `"contentGroup":"c/team-x-a"`, "b": `"reason":"no-route"`} {
		if code, out, _ = explain(document("team-x", key), "-", "-o", "json", "--routes", templates); code != exitDone || !strings.Contains(out, want) {
			t.Errorf("%s by a template: exit code %d, %s, want %s", key, code, out, want)
		}
	}
	bytes := `{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"%FF"}}}]}`
	if code, out, _ = explain(bytes, "-o", "json", "-"); code != exitDone || !strings.Contains(out, `"keyBytes":"/w=="`) {
		t.Errorf("a key that is not UTF-8: exit code %d, %s", code, out)
	}
	// What cannot be understood does not hide the rest, and cannot move the cursor.
	if code, out, _ = explain(document("b", "k")+"\n\x1b[2Jnot JSON", "-"); code != exitFailed || !strings.Contains(out, "/b/k") || !strings.Contains(out, "dead letter") || strings.Contains(out, "\x1b") {
		t.Errorf("half of it is garbage: exit code %d, %q", code, out)
	}
	for name, args := range map[string][]string{
		"no file": nil, "a missing file": {"none.json"}, "a bad header": {"-", "-H", "novalue"}, "a bad output": {"-", "-o", "xml"},
	} {
		if code, _, stderr := explain("", args...); code != exitUsage || stderr == "" {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
}
