package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

func TestCancel_usage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, says string }{
		{"", "which requests? Give SOURCE/ID, filters such as --source and --label, --file, or --all"},
		{"inv-7 --reason x", `"inv-7" is not a request: give SOURCE/ID, such as billing/inv-7`},
		{"billing/ --reason x", `"billing/" is not a request`},
		{"b.c/x --reason x", `"b.c/x" is not a request`},
		{"billing/x --source billing --reason x", "do not go with filters, --file or --all"},
		{"billing/x --all --reason x", "do not go with filters, --file or --all"},
		{"--batch monday --reason x", "--batch goes with --file, the file that was sent"},
		{"billing/x", "--reason: the reason is missing: the event that the request's source reads says why"},
		{"--all --as= --reason x --as \x01", "one line"},
		{"--file none.ndjson --reason x", "--file: open none.ndjson: no such file"},
		{"--label ticket --reason x", "must be name=value"},
		{"--label =x --reason x", "must be name=value"},
		{"--label n=1 --label n=2 --reason x", `the label n has two values: "1" and "2"`},
		{"--client-name= --source billing --reason x", "it is empty"},
		{"billing/x --reason x", "needs a server: set --nats or BACKHAUL_NATS_URL"},
	} {
		code, out, stderr := programtest.Once(t, nil, "", append([]string{"cancel"}, strings.Fields(test.args)...)...)
		if code != exitUsage || out != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("cancel %s: exit code %d, %s%s, want 2 and %q", test.args, code, out, stderr, test.says)
		}
	}
}

// waitingService has streams and no replica.
func waitingService(t *testing.T) *programtest.Service {
	t.Helper()
	url := programtest.NATSServer(t)
	s := &programtest.Service{Client: programtest.Connect(t, url), Env: []string{"BACKHAUL_NATS_URL=" + url}}
	if code, _, stderr := programtest.Once(t, s.Env, "", "setup"); code != exitDone {
		t.Fatalf("setup: exit code %d, %s", code, stderr)
	}
	return s
}

func labelled(id, ticket string) []byte {
	return fmt.Appendf(nil, `{"requestId":%q,"clientName":"files","subclientName":"home","labels":{"ticket":%q,"n":"1"}}`, id, ticket)
}

// Requests are cancelled by name and by filters, with a question, a dry run and totals.
func TestCancel_selects(t *testing.T) {
	t.Parallel()
	s := waitingService(t)
	for i := range 3 {
		s.Publish("backup.request.billing", nil, labelled(fmt.Sprint("b-", i), "CHG-17"))
	}
	s.Publish("backup.request.billing.high", nil, labelled("b-high", "CHG-17"))
	s.Publish("backup.request.crm", nil, labelled("c-1", "CHG-17"))
	s.Publish("backup.request.crm", nil, labelled("c-2", "CHG-18"))
	s.Publish("backup.request.crm", nil, []byte(`{"clientName":"photos","subclientName":"home"}`))
	if code, _, stderr := programtest.Once(t, s.Env, "", "request", "--source", "odd", "--request-id", "o-1", "--client-name", "Files", "--subclient-name", "odd",
		"--label", `note=a,b=c "d"`); code != exitDone {
		t.Fatalf("request: exit code %d, %s", code, stderr)
	}
	file := filepath.Join(t.TempDir(), "monday.ndjson")
	if err := os.WriteFile(file, []byte(`{"clientName":"files","subclientName":"home"}`+"\n"+`{"requestId":"own","clientName":"files","subclientName":"home"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(wantCode int, wantOut, wantErr string, args ...string) {
		t.Helper()
		code, out, stderr := programtest.Once(t, s.Env, "", append([]string{"cancel"}, args...)...)
		if code != wantCode || out != wantOut || !strings.Contains(stderr, wantErr) {
			t.Errorf("cancel %s: exit code %d, %q, %s, want %d, %q, %q", args, code, out, stderr, wantCode, wantOut, wantErr)
		}
	}
	const b0 = "billing/b-0  would cancel\nbilling/b-1  would cancel\nbilling/b-2  would cancel\nbilling/b-high  would cancel\n"
	run(exitDone, b0+"crm/c-1  would cancel\n", "5 would cancel", "--label", "ticket=CHG-17", "--dry-run")
	run(exitDone, b0, "4 would cancel", "--source", "billing", "--label", "ticket=CHG-17", "--label", "n=1", "--dry-run")
	run(exitDone, "", "no request that waits is selected", "--label", "ticket=CHG-17", "--label", "n=2", "--dry-run")
	run(exitDone, "", "no request that waits is selected", "--subclient-name", "other", "--reason", "x")
	// A label is compared as it is. Upper and lower case of the vendor's names are the same.
	run(exitDone, "odd/o-1  would cancel\n", "1 would cancel", "--label", `note=a,b=c "d"`, "--client-name", "FILES", "--dry-run")
	run(exitDone, "", "no request that waits is selected", "--label", `note=a,b=c "d`, "--dry-run")
	if code, out, _ := programtest.Once(t, s.Env, "", "cancel", "--client-name", "photos", "--dry-run"); code != exitDone || !strings.HasPrefix(out, "crm/seq-7-") || !strings.HasSuffix(out, "  would cancel\n") {
		t.Errorf("a request without an id: exit code %d, %s", code, out)
	}
	run(exitUsage, "", "Cancel 5 requests (4 of billing, 1 of crm)? There is no terminal to ask on: give --yes", "--label", "ticket=CHG-17", "--reason", "x")
	run(exitUsage, "", "Cancel 8 requests (4 of billing, 3 of crm, 1 of odd)?", "--all", "--reason", "x")
	if n := len(s.Stored(publisher.EventsStream, "backup.event.>")); n != 0 {
		t.Errorf("%d events of what was not done", n)
	}
	run(exitDone, "crm/c-1  cancelled\n", "1 cancelled", "crm/c-1", "--reason", "CHG-17", "--as", "ann")
	run(exitDone, "crm/c-1  cancelled before: cancelled by ann: CHG-17\n", "1 cancelled before", "crm/c-1", "--reason", "again")
	run(exitFailed, "", "crm/none: no request none", "crm/none", "--reason", "x")
	run(exitDone, strings.ReplaceAll(b0, "would cancel", "cancelled"), "4 cancelled", "--source", "billing", "--reason", "CHG-17", "--yes", "--as", "ann")
	if code, out, _ := programtest.Once(t, s.Env, "", "cancel", "crm/c-2", "--reason", "x", "-o", "json"); code != exitDone || lines(t, out)[0]["result"] != "cancelled" || lines(t, out)[0]["requestId"] != "c-2" {
		t.Errorf("exit code %d: %s", code, out)
	}
	subject, event := s.Terminal("b-high")
	if subject != "backup.event.job-failed.billing.b-high" || event["errorCode"] != schemas.CodeCancelled || event["errorMessage"] != "cancelled by ann: CHG-17" || event["labels"].(map[string]any)["ticket"] != "CHG-17" {
		t.Errorf("%s: %v", subject, event)
	}
	if code, out, _ := programtest.Once(t, s.Env, "", "status", "billing/b-0"); code != exitDone ||
		!strings.HasPrefix(out, "billing/b-0: cancelled by ann: CHG-17; its message is still queued, the next delivery removes it\n") {
		t.Errorf("status: exit code %d, %s", code, out)
	}
	if code, out, _ := programtest.Once(t, s.Env, "", "events", "--kind", "operator", "--last", "1"); code != exitDone || !strings.Contains(out, "cancel ") || !strings.Contains(out, "request crm/c-2: x") {
		t.Errorf("events: exit code %d, %s", code, out)
	}

	// A file that was sent by mistake, under the name of the batch.
	if code, _, stderr := programtest.Once(t, s.Env, "", "request", "--file", file, "--batch", "again"); code != exitDone {
		t.Fatalf("request: exit code %d, %s", code, stderr)
	}
	code, out, stderr := programtest.Once(t, s.Env, "", "cancel", "--file", file, "--reason", "wrong file", "--yes")
	if code != exitDone || out != "cli/own  cancelled\n" || !strings.Contains(stderr, "1 of the file's 2 requests do not wait: 1 never sent by the source cli with this name of the batch, or no longer known\n") {
		t.Errorf("another batch: exit code %d, %s%s", code, out, stderr)
	}
	code, _, stderr = programtest.Once(t, s.Env, "", "cancel", "--file", file, "--batch", "again", "--client-name", "photos", "--dry-run")
	if code != exitDone || !strings.Contains(stderr, "2 of the file's 2 requests wait but are not selected by another filter\n") || strings.Contains(stderr, "do not wait") {
		t.Errorf("another client: exit code %d, %s", code, stderr)
	}
	code, out, stderr = programtest.Once(t, s.Env, "", "cancel", "--file", file, "--batch", "again", "--reason", "wrong file", "--yes")
	if code != exitDone || !strings.Contains(out, "cli/own  cancelled before") || !strings.Contains(out, "cli/file-") || !strings.Contains(stderr, "1 cancelled, 1 cancelled before") {
		t.Errorf("the batch: exit code %d, %s%s", code, out, stderr)
	}
}

// A replica removes what was cancelled. A request that waited for is over, one that was started is
// refused, and a replay of all does not replay what was cancelled.
func TestCancel_withAReplica(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("done"))
	s.WaitForOutcomes()
	job := s.OneJob("done")["jobId"]
	code, out, _ := programtest.Once(t, s.Env, "", "cancel", "billing/done", "--reason", "x")
	if code != exitFailed || !strings.HasPrefix(out, fmt.Sprintf("billing/done  refused: it does not wait, it is started: job %s", job)) {
		t.Errorf("a started one: exit code %d, %s", code, out)
	}
	// What of a file does not wait is counted by its state, and the job of what has started is named.
	file := filepath.Join(t.TempDir(), "f.ndjson")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%s\n%s\n", labelled("never", "x"), labelled("done", "x")), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := programtest.Once(t, s.Env, "", "cancel", "--source", "billing", "--file", file, "--dry-run")
	if want := fmt.Sprintf("2 of the file's 2 requests do not wait: 1 started, 1 never sent by the source billing with this name of the batch, or no longer known\n"+
		"billing/done has started: job %s\na job that has started goes on; `backhaul job kill %[1]s` ends those, with the vendor's settings\n", job); code != exitDone || out != "" || !strings.Contains(stderr, want) {
		t.Errorf("exit code %d, %s%s, want %s", code, out, stderr, want)
	}
	if code, _, stderr := programtest.Once(t, s.Env, "", "pause", "--for", "1h"); code != exitDone {
		t.Fatalf("pause: exit code %d, %s", code, stderr)
	}
	waits := programtest.Start(t, s.Env, "backhaul", "request", "--client-name", "s-adhoc-object-storage", "--subclient-name", "stestgroup",
		"--source", "billing", "--request-id", "waits", "--wait")
	waittest.Eventually(t, "the request waits", func() bool { return s.Messages(publisher.RequestsStream) == 1 })
	// The pause of the request's source goes on, which is said; another one's is not.
	for _, source := range []string{"billing", "crm"} {
		if code, _, stderr := programtest.Once(t, s.Env, "", "pause", "--source", source, "--for", "1h"); code != exitDone {
			t.Fatalf("pause: exit code %d, %s", code, stderr)
		}
	}
	if code, out, stderr := programtest.Once(t, s.Env, "", "cancel", "billing/waits", "--reason", "by mistake", "--as", "ann"); code != exitDone ||
		!strings.Contains(stderr, "source billing is paused until ") || !strings.Contains(stderr, ": its other requests wait until then") || strings.Contains(stderr, "source crm") {
		t.Fatalf("cancel: exit code %d, %s%s", code, out, stderr)
	}
	if code := waits.ExitCode(); code != exitFailed || !strings.Contains(waits.Output.String(), "cancelled by ann: by mistake") {
		t.Errorf("request --wait: exit code %d, %s", code, waits.Output.String())
	}
	for _, args := range [][]string{{"resume"}, {"resume", "--source", "billing"}} {
		if code, _, stderr := programtest.Once(t, s.Env, "", args...); code != exitDone {
			t.Fatalf("resume: exit code %d, %s", code, stderr)
		}
	}
	s.WaitForOutcomes()
	waittest.Eventually(t, "it is counted", func() bool {
		return programtest.Metric(t, s, `backhaul_requests_total{result="cancelled"}`) == 1
	})
	if n := s.Sim.Account().CreateTaskCalls; n != 1 || s.Messages(publisher.DeadLetterStream) != 1 {
		t.Errorf("%d calls of the vendor, %d dead letters, want 1 and 1", n, s.Messages(publisher.DeadLetterStream))
	}
	if code, _, stderr := programtest.Once(t, s.Env, "", "dlq", "replay", "--all", "--yes"); code != exitDone || !strings.Contains(stderr, "no dead letter is selected") {
		t.Errorf("replay of all: exit code %d, %s", code, stderr)
	}
	if code, out, _ := programtest.Once(t, s.Env, "", "dlq", "replay", "--error-code", "CANCELLED", "--dry-run"); code != exitDone || out != "1  billing/waits  would replay as waits-replay-1\n" {
		t.Errorf("replay of cancelled ones: exit code %d, %s", code, out)
	}
	if code, out, _ := programtest.Once(t, s.Env, "", "dlq", "replay", "1", "--yes"); code != exitDone || out != "1  billing/waits  replayed as waits-replay-1\n" {
		t.Errorf("replay: exit code %d, %s", code, out)
	}
	s.WaitForOutcomes()
	s.OneJob("waits-replay-1")
}

// A ledger that has forgotten events is not relied on.
func TestCancel_aLedgerThatForgets(t *testing.T) {
	t.Parallel()
	s := waitingService(t)
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("id"))
	events, err := s.JS.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := events.CachedInfo().Config
	cfg.MaxMsgs, cfg.Discard = 100, jetstream.DiscardOld
	if _, err := s.JS.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := programtest.Once(t, s.Env, "", "cancel", "billing/id", "--reason", "x")
	if code != exitFailed || out != "" || !strings.Contains(stderr, "has max_msgs 100 and forgets events of requests") || !strings.Contains(stderr, "run `backhaul recover`") {
		t.Errorf("exit code %d, %s%s", code, out, stderr)
	}
}
