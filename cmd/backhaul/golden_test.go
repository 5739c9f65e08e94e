package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	compareWithFile(t, filepath.Join("testdata", name), got)
}

func compareWithFile(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make it with -update", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look, and run with -update if it is meant\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

// unstable are the parts of an output that no two runs have in common.
var unstable = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`by( +)[^ ,]+/\d+`), "by${1}HOST/PID"},
	{regexp.MustCompile(`"owner":"[^"]+"`), `"owner":"HOST/PID"`},
	{regexp.MustCompile(`"nonce":"[^"]+"`), `"nonce":"NONCE"`},
	{regexp.MustCompile(`[\d.]+ (Ki)?B, TIME`), "N KiB, TIME"},
	{regexp.MustCompile(`"bytes":[1-9]\d*`), `"bytes":N`},
	{regexp.MustCompile(`"oldestAgeSeconds":[\d.]*[1-9]\d*`), `"oldestAgeSeconds":N`},
	{regexp.MustCompile(`TIME, \d+s ago`), "TIME, Ns ago"},
	{regexp.MustCompile(`the oldest \d+s ago`), "the oldest Ns ago"},
	{regexp.MustCompile(`changes-[0-9a-f]{32}`), "changes-HASH"},
	{regexp.MustCompile(`seq-(\d+)-\d{19}`), "seq-$1-STORED"},
	{regexp.MustCompile(`(/job-changed/\d+)/\d{19}`), "$1/NANOSECONDS"},
	{regexp.MustCompile(`go1\.\d+(\.\d+)?`), "GO"},
	{regexp.MustCompile(`"(version|commit)":"[^"]+"`), `"$1":"..."`},
	{regexp.MustCompile(`backhaul \S+ \([^)]+, GO\)`), "backhaul VERSION (COMMIT, GO)"},
}

func stable(text string) string {
	for _, u := range unstable {
		text = u.pattern.ReplaceAllString(text, u.instead)
	}
	return text
}

// What every command prints, as people and as programs read it.
func TestOutputs(t *testing.T) {
	t.Parallel()
	show := func(t *testing.T, env []string, code int, stdin, name string, args ...string) {
		t.Helper()
		for _, output := range []string{outputTable, outputJSON} {
			got, out, stderr := programtest.Once(t, env, stdin, append(args, "--output", output)...)
			if got != code {
				t.Errorf("%v: exit code %d, want %d: %s", args, got, code, stderr)
			}
			golden(t, name+"."+map[string]string{outputTable: "txt", outputJSON: "json"}[output], stable(out))
		}
	}
	t.Run("without a server", func(t *testing.T) {
		t.Parallel()
		show(t, nil, exitDone, "", "version", "version")
		show(t, nil, exitDone, "", "schema-ls", "schema", "ls")
		const documents = `{"clientName":"c","subclientName":"g"}
{"clientname":"c",
 "subclientName":7}
{"specversion":"1.0","type":"backhaul.request.rejected.v1","data":{}}
`
		show(t, nil, exitFailed, documents, "schema-validate", "schema", "validate", "-")
	})
	t.Run("empty", func(t *testing.T) {
		t.Parallel()
		env := []string{"BACKHAUL_NATS_URL=" + programtest.NATSServer(t), "BACKHAUL_ADMIN_ADDR=off"}
		if code, out, _ := programtest.Once(t, env, "", "setup"); code != exitDone {
			t.Fatal(out)
		} else {
			golden(t, "setup-first.txt", out)
		}
		show(t, env, exitDone, "", "setup", "setup")
		show(t, env, exitDone, "", "status-empty", "status")
		show(t, append(env, "BACKHAUL_ADMIN_ADDR=127.0.0.1:1"), exitDone, "", "status-no-replica", "status")
		show(t, env, exitDone, "", "events-empty", "events")
		programtest.Once(t, env, "", "request", "--client-name", "c", "--subclient-name", "g", "--request-id", "waits")
		show(t, env, exitDone, "", "request-sent-again", "request", "--client-name", "c", "--subclient-name", "g", "--request-id", "waits")
		c := programtest.Connect(t, strings.TrimPrefix(env[0], "BACKHAUL_NATS_URL="))
		if _, err := c.JS.PauseConsumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		show(t, env, exitDone, "", "status-waiting", "status")
		show(t, env, exitDone, "", "status-request-waiting", "status", "cli/waits")

		if code, _, stderr := programtest.Once(t, env, "", "setup", "--trigger"); code != exitDone {
			t.Fatal(stderr)
		}
		show(t, env, exitDone, "", "status-trigger-empty", "status")
		for range 2 {
			c.Publish("storage.event.minio", nil, programtest.Notification("invoices", "a"))
		}
		c.Publish(publisher.WindowSubject("group"), nil, []byte("{}"))
		show(t, env, exitDone, "", "status-trigger", "status")

		p := programtest.Start(t, programtest.TriggerEnv(t, c.NC.ConnectedUrl(), objectstoretest.Start(t, "lists"), `routes:
- {container: invoices, clientName: c, subclientName: s, window: {quiet: 1h, max: 2h, maxPaths: 2}, directive: {container: lists, prefix: backhaul/}}
`), "backhaul", "trigger")
		c.Publish("storage.event.minio", nil, programtest.Notification("invoices", "b"))
		c.Publish("storage.event.minio", nil, programtest.Notification("invoices", "c"))
		waittest.Eventually(t, "a request, and a window", func() bool {
			said, err := trigger.Listen(t.Context(), c.NC)
			if err != nil {
				t.Fatal(err)
			}
			return said != nil && said.Asked.Requests == 1 && said.Notifications == 1 && inFlight(c, publisher.StorageStream, publisher.StorageConsumer) == 1
		})
		show(t, env, exitDone, "", "status-trigger-reading", "status")
		p.Kill()
	})
	t.Run("service", func(t *testing.T) {
		t.Parallel()
		// The test writes the end of a job itself.
		s := programtest.StartServiceIn(t, []string{"BACKHAUL_FOLLOW=false"}, simulator.Config{})
		s.Publish("backup.request.billing", nil, programtest.SampleRequest("done-1"))
		s.WaitForOutcomes()
		s.Publish("backup.request.billing", nil, []byte(`{"requestId":"refused-1","clientName":"s-adhoc-object-storage","subclientName":"no-such-group"}`))
		s.WaitForOutcomes()
		s.Publish("backup.request.billing", nil, []byte(`{"requestId":"done-1","clientName":"other","subclientName":"group"}`))
		s.WaitForOutcomes()
		env := append(s.Env, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(programtest.AdminURL(t, s.Run), "http://"))
		waittest.Eventually(t, "a pull, and the first question about the trigger", func() bool {
			_, text := programtest.Probe(t, programtest.AdminURL(t, s.Run)+"/readyz?verbose")
			return pulls(s.Client) == 1 && strings.Contains(text, "not in use")
		})
		show(t, env, exitDone, "", "status", "status")
		show(t, env, exitDone, "", "status-request-done", "status", "done-1")
		show(t, env, exitDone, "", "status-request-refused", "status", "billing/refused-1")
		rejected := s.Stored(publisher.EventsStream, "backup.event.request-rejected.billing.*")[0].Subject()
		show(t, env, exitDone, "", "status-request-rejected", "status", "--source", "billing", rejected[strings.LastIndexByte(rejected, '.')+1:])
		show(t, env, exitDone, "", "events", "events")
		killJob(t, s.Client, "done-1")
		show(t, env, exitDone, "", "status-request-finished", "status", "done-1")
		show(t, env, exitDone, "", "protection", "protection")
		show(t, env, exitDone, "", "events-job", "events", "--job-id", "5976")
		show(t, env, exitDone, "", "events-killed", "events", "--outcome", "killed")
		show(t, env, exitDone, "", "events-completed", "events", "--outcome", "completed")
		client := []string{"request", "--client-name", "s-adhoc-object-storage", "--source", "billing", "--wait"}
		show(t, env, exitDone, "", "request-wait", append(client, "--subclient-name", "stestgroup", "--request-id", "wait-1")...)
		show(t, env, exitFailed, "", "request-wait-refused", append(client, "--subclient-name", "no-such-group", "--request-id", "wait-2")...)
	})
}

// killJob writes what a follower writes about a job that was pending and then killed.
func killJob(t *testing.T, c *programtest.Client, id string) {
	t.Helper()
	key := publisher.NewKey("billing", id)
	started := startedOf(t, c, key)
	at, job := started.StartedAt, schemas.JobRef{JobID: started.JobID, TaskID: started.TaskID}
	appendJob(t, c, key, &schemas.JobChanged{
		Naming: started.Naming, Message: started.Message, JobRef: job, State: schemas.StatePending, VendorStatus: "Pending", Phase: "Scan", Percent: new(40),
		Reasons:   []schemas.Reason{{Code: "13:30", Text: "The MediaAgent cannot be reached.", From: schemas.ReasonFromPending}},
		ChangedAt: at.Add(time.Minute),
	})
	appendJob(t, c, key, &schemas.JobFinished{
		Naming: started.Naming, Message: started.Message, JobRef: job, Outcome: schemas.OutcomeKilled, VendorStatus: "Killed", By: "admin",
		Reasons:  []schemas.Reason{{Code: "19:1081", Text: "The job was killed by admin. Reason:[maintenance]", From: schemas.ReasonFromEvent}},
		JobSizes: schemas.JobSizes{Files: new(int64(3)), FailedFiles: new(int64(0)), Bytes: new(int64(4 << 20))},
		JobTimes: schemas.JobTimes{StartedAt: at, EndedAt: at.Add(time.Hour), ObservedAt: at.Add(time.Hour)},
	})
}

// startedOf returns the job-started event of a request.
func startedOf(t *testing.T, c *programtest.Client, key publisher.Key) *schemas.JobStarted {
	t.Helper()
	stored := c.Stored(publisher.EventsStream, key.Subject(schemas.KindJobStarted))[0]
	_, e, err := publisher.ReadEvent(stored.Subject(), stored.Headers(), stored.Data())
	if err != nil {
		t.Fatal(err)
	}
	return e.(*schemas.JobStarted)
}

// appendJob writes the next event about a job.
func appendJob(t *testing.T, c *programtest.Client, key publisher.Key, e schemas.JobEvent) {
	t.Helper()
	pub, err := publisher.New(c.NC)
	if err != nil {
		t.Fatal(err)
	}
	last := uint64(0)
	if stored := c.Stored(publisher.EventsStream, key.JobFilter(e.Job())); len(stored) > 0 {
		meta, err := stored[len(stored)-1].Metadata()
		if err != nil {
			t.Fatal(err)
		}
		last = meta.Sequence.Stream
	}
	if _, err := pub.AppendJob(t.Context(), key, last, e, ""); err != nil {
		t.Fatal(err)
	}
}

// inFlight is how many messages of a stream are delivered and not acknowledged.
func inFlight(c *programtest.Client, stream, durable string) int {
	c.T.Helper()
	consumer, err := c.JS.Consumer(c.T.Context(), stream, durable)
	if err != nil {
		c.T.Fatal(err)
	}
	return consumer.CachedInfo().NumAckPending
}

// pulls is how many pulls wait at the server.
func pulls(c *programtest.Client) int {
	c.T.Helper()
	consumer, err := c.JS.Consumer(c.T.Context(), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		c.T.Fatal(err)
	}
	return consumer.CachedInfo().NumWaiting
}
