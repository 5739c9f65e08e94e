package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"backhaul/cmd/internal/batch"
	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// requestFile writes a file of n requests; every second has no id.
func requestFile(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		id := ""
		if i%2 == 0 {
			id = fmt.Sprintf(`"requestId":"f-%d",`, i)
		}
		fmt.Fprintf(&b, `{%s"clientName":"s-adhoc-object-storage","subclientName":"load-%d"}`+"\n", id, i%7)
	}
	return writeFile(t, b.String())
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "requests.ndjson")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// summaryOf is the last line of what was printed as JSON.
func summaryOf(t *testing.T, stdout string) batch.Summary {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	var last struct{ Summary *batch.Summary }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Summary == nil {
		t.Fatalf("the last line is no summary (%v): %s", err, lines[len(lines)-1])
	}
	return *last.Summary
}

// A batch of 2,000 is killed by SIGKILL twice, interrupted once, and finished by
// a fourth run: every request has one job and one outcome.
func TestABatchIsKilledAndResumed(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	const requests = 2000
	args := []string{"request", "--source", "billing", "--file", requestFile(t, requests), "--wait", "--output", "json"}
	stored := func() uint64 {
		stream := natstest.Stream(t, s.JS, publisher.RequestsStream)
		return stream.CachedInfo().State.LastSeq
	}
	for i, end := range []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGINT} {
		slow := programtest.Start(t, s.Env, "backhaul", append(args, "--rate", "300/s")...)
		waittest.Eventually(t, "requests in the stream", func() bool { return stored() >= uint64(300*(i+1)) })
		slow.Signal(t, end)
		code := slow.ExitCode()
		if end == syscall.SIGINT && (code != exitInterrupted || !strings.Contains(slow.Output.String(), "run the same command again")) {
			t.Errorf("interrupted: exit code %d, %s", code, slow.Output)
		}
	}
	if got := stored(); got >= requests {
		t.Fatalf("%d requests were stored before the last run: they were not ended in the middle", got)
	}
	code, out, stderr := programtest.Once(t, s.Env, "", args...)
	sum := summaryOf(t, out)
	if code != exitDone || sum.Requests != requests || sum.Outcomes.Started != requests || sum.Sent == 0 || sum.Known == 0 {
		t.Errorf("exit code %d, %+v, %s", code, sum, stderr)
	}
	if got := strings.Count(out, `"backhaul.job.started.v1"`); got != requests {
		t.Errorf("%d outcomes were printed", got)
	}
	s.WaitForOutcomes()
	jobs := s.Sim.Account().JobsByMarker
	for marker, ids := range jobs {
		if len(ids) != 1 {
			t.Errorf("%s has jobs %v", marker, ids)
		}
	}
	if n := s.Sim.Account().JobsStarted; n != requests || len(jobs) != requests {
		t.Errorf("%d jobs of %d requests, want %d", n, len(jobs), requests)
	}
	if n := len(s.Stored(publisher.EventsStream, "backup.event.job-started.billing.*")); n != requests {
		t.Errorf("%d job-started events, want %d", n, requests)
	}
	// And what a script does that runs it once more.
	if code, out, _ := programtest.Once(t, s.Env, "", args...); code != exitDone || summaryOf(t, out).Known != requests {
		t.Errorf("once more: exit code %d, %+v", code, summaryOf(t, out))
	}
}

// A file with a fault sends nothing, and does not even need a server.
func TestABadFileSendsNothing(t *testing.T) {
	t.Parallel()
	nowhere := []string{"BACKHAUL_NATS_URL=nats://127.0.0.1:1"}
	good := `{"requestId":"a","clientName":"c","subclientName":"g"}`
	for name, c := range map[string]struct{ data, stderr string }{
		"a fault in the last line": {good + "\n" + `{"clientName":"c","subclientNam":"g"}`, ":2: "},
		"two contents of one id":   {good + "\n" + strings.Replace(good, `"g"`, `"h"`, 1), `requestId "a" is used in line 1`},
		"nothing":                  {"", "no request"},
	} {
		code, _, stderr := programtest.Once(t, nowhere, "", "request", "--file", writeFile(t, c.data))
		if code != exitUsage || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
	for name, c := range map[string]struct {
		args   []string
		code   int
		stderr string
	}{
		"no such file":         {[]string{"--file", "/no/such/file"}, exitUsage, "/no/such/file"},
		"flags and file":       {[]string{"--file", "-", "--label", "a=b"}, exitUsage, "--label"},
		"rate":                 {[]string{"--rate", "fast"}, exitUsage, "--rate"},
		"rate of nothing":      {[]string{"--rate", "0/s"}, exitUsage, "--rate"},
		"rate per week":        {[]string{"--rate", "1/w"}, exitUsage, "--rate"},
		"timeout":              {[]string{"--timeout", "0s"}, exitUsage, "--timeout"},
		"batch without file":   {[]string{"--batch", "b"}, exitUsage, "--batch"},
		"NATS is out of reach": {[]string{"--file", writeFile(t, good)}, exitUnreachable, "127.0.0.1:1"},
	} {
		if code, _, stderr := programtest.Once(t, nowhere, "", append([]string{"request"}, c.args...)...); code != c.code || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: exit code %d, want %d with %q in %s", name, code, c.code, c.stderr, stderr)
		}
	}
}

// What goes where, without a service that works on the requests.
func TestRequestFilePrints(t *testing.T) {
	t.Parallel()
	env := []string{"BACKHAUL_NATS_URL=" + programtest.NATSServer(t)}
	if code, _, stderr := programtest.Once(t, env, "", "setup"); code != exitDone {
		t.Fatal(stderr)
	}
	file := `{"requestId":"a","clientName":"c","subclientName":"g"}
{"clientName":"c","subclientName":"h"}
{"requestId":"a","clientName":"c","subclientName":"g"}`
	code, out, stderr := programtest.Once(t, env, file, "request", "--file", "-")
	if code != exitDone || strings.Count(out, "\n") != 2 || !strings.HasPrefix(out, "sent  cli/a  sequence 1\nsent  cli/file-") {
		t.Errorf("exit code %d, stdout %q", code, out)
	}
	if !strings.Contains(stderr, "1 requests of the file repeat an earlier one") || !strings.Contains(stderr, "2 requests in ") || !strings.Contains(stderr, "2 sent, 0 already known\n") {
		t.Errorf("stderr %q", stderr)
	}
	code, out, stderr = programtest.Once(t, env, file, "request", "--file", "-")
	if code != exitDone || strings.Count(out, "sent  ") != 2 { // no replica has worked on the first, so there are no events
		t.Errorf("again: exit code %d, %q, %q", code, out, stderr)
	}
	code, out, stderr = programtest.Once(t, env, file, "request", "--file", "-", "--batch", "other", "--quiet", "--output", "json")
	if sum := summaryOf(t, out); code != exitDone || sum.Sent != 2 || sum.Known != 0 || sum.Outcomes != nil || stderr != "" {
		t.Errorf("another batch, quiet: exit code %d, %+v, %q", code, sum, stderr)
	}
	code, out, stderr = programtest.Once(t, env, file, "request", "--file", "-", "--wait", "--timeout", "300ms", "--output", "json")
	if sum := summaryOf(t, out); code != exitFailed || sum.Outcomes.None != 2 || !strings.Contains(stderr, "2 requests have no outcome yet: a, file-") {
		t.Errorf("no outcome in time: exit code %d, %+v, %q", code, sum, stderr)
	}
}

// The bar is shown on a terminal only, and not with --quiet.
func TestTheBarIsOnATerminalOnly(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	file := requestFile(t, 300)
	bar := regexp.MustCompile(`\d+% \|`)
	args := []string{"request", "--source", "billing", "--file", file, "--wait", "--rate", "600/s"}
	code, out, screen := onTerminal(t, s.Env, args...)
	if code != exitDone || !bar.MatchString(screen) || !strings.Contains(screen, "300 requests in ") {
		t.Errorf("on a terminal: exit code %d, %q", code, screen)
	}
	if strings.Count(out, "job-started") != 300 || strings.ContainsAny(out, "\x1b\r|") {
		t.Errorf("standard output is %q", out)
	}
	if code, _, screen := onTerminal(t, s.Env, append(args, "--quiet")...); code != exitDone || screen != "" {
		t.Errorf("quiet: exit code %d, %q", code, screen)
	}
	if code, _, stderr := programtest.Once(t, s.Env, "", args...); code != exitDone || bar.MatchString(stderr) || strings.ContainsAny(stderr, "\x1b\r") {
		t.Errorf("no terminal: exit code %d, %q", code, stderr)
	}
}

// onTerminal runs the program with its standard error on a terminal.
func onTerminal(t *testing.T, env []string, args ...string) (code int, stdout, screen string) {
	t.Helper()
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	shown := make(chan string)
	go func() {
		var all []byte
		buffer := make([]byte, 4096)
		for {
			n, err := terminal.Read(buffer)
			all = append(all, buffer[:n]...)
			if err != nil { // the last writer has gone
				shown <- string(all)
				return
			}
		}
	}()
	cmd := exec.CommandContext(t.Context(), programtest.Binary(t, "backhaul"), args...)
	cmd.Env = append(programtest.CleanEnv(), env...)
	cmd.Stderr = tty
	out, err := cmd.Output()
	_ = tty.Close()
	screen = <-shown
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	programtest.NoSecrets(t, string(out), screen)
	return cmd.ProcessState.ExitCode(), string(out), screen
}

// A dry run needs no server, and shows what the vendor really gets.
func TestDryRun(t *testing.T) {
	t.Parallel()
	args := []string{"request", "--dry-run", "--source", "billing", "--client-name", "c & sons", "--subclient-name", "g", "--request-id", "r-1"}
	code, out, stderr := programtest.Once(t, nil, "", args...)
	if code != exitDone {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, want := range []string{
		"→ backup.request.billing\n  {\"requestId\":\"r-1\",\"clientName\":\"c & sons\",", `"backupLevel":"INCREMENTAL"`,
		"→ POST /CreateTask\n  Content-Type: application/xml\n  <?xml ", "<clientName>c &amp; sons</clientName>", "<jobDescription>backhaul:billing/r-1</jobDescription>",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code, out, _ := programtest.Once(t, nil, "", append(args, "--priority", "high")...); code != exitDone || !strings.HasPrefix(out, "→ backup.request.billing.high\n") {
		t.Errorf("--priority: exit code %d, %s", code, out)
	}
	if code, _, stderr := programtest.Once(t, nil, "", append(args, "--priority", "urgent")...); code != exitUsage || !strings.Contains(stderr, "high, normal or low") {
		t.Errorf("an unknown --priority: exit code %d, %s", code, stderr)
	}
	file := `{"requestId":"r-1","clientName":"c","subclientName":"g"} {"clientName":"c","subclientName":"g"}`
	code, out, stderr = programtest.Once(t, []string{"BACKHAUL_VENDOR_FORMAT=json"}, file, "request", "--dry-run", "--file", "-", "--output", "json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitDone || len(lines) != 2 {
		t.Fatalf("exit code %d, %s%s", code, out, stderr)
	}
	var first dryRequest
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	if first.Subject != "backup.request.cli" || first.Vendor.ContentType != "application/json" || !json.Valid([]byte(first.Vendor.Body)) ||
		!strings.Contains(first.Vendor.Body, `"backhaul:cli/r-1"`) {
		t.Errorf("got %+v", first)
	}
	if code, out, _ := programtest.Once(t, []string{"BACKHAUL_VENDOR_FORMAT=json"}, "", append(args, "--vendor-format", "xml")...); code != exitDone || !strings.Contains(out, "<?xml ") {
		t.Errorf("--vendor-format: exit code %d, %s", code, out)
	}
}

// idGiven is the way out that an error names.
var idGiven = regexp.MustCompile(`run the same command again with (--request-id) (cli-[a-z0-9]+) to go on`)

// A request by flags has a random id. Whatever ends the command, the error names the id,
// so that the repeated command is the same request.
func TestRequest_namesTheIDOfWhatIsNotConfirmed(t *testing.T) {
	t.Parallel()
	env := []string{"BACKHAUL_NATS_URL=" + programtest.NATSServer(t)}
	args := []string{"request", "--client-name", "s-adhoc-object-storage", "--subclient-name", "stestgroup"}
	code, _, stderr := programtest.Once(t, env, "", append(args, "--timeout", "300ms")...) // there is no stream
	way := idGiven.FindStringSubmatch(stderr)
	if code != exitUnreachable || way == nil || !strings.Contains(stderr, "1 of 1 requests are not confirmed") {
		t.Fatalf("no stream: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := programtest.Once(t, env, "", "setup"); code != exitDone {
		t.Fatal(stderr)
	}
	if code, out, _ := programtest.Once(t, env, "", append(args, way[1:]...)...); code != exitDone || !strings.HasPrefix(out, "sent  cli/"+way[2]+"  ") {
		t.Errorf("again: exit code %d, %s", code, out)
	}
	code, _, stderr = programtest.Once(t, env, "", append(args, "--wait", "--timeout", "300ms")...)
	if code != exitFailed || !strings.Contains(stderr, "1 request has no outcome yet: cli-") || !idGiven.MatchString(stderr) {
		t.Errorf("no outcome in time: exit code %d, %s", code, stderr)
	}
	waiting := programtest.Start(t, env, "backhaul", append(args, "--wait", "--request-id", "it's 7")...)
	waittest.Eventually(t, "the request in the stream", func() bool {
		_, out, _ := programtest.Once(t, env, "", "status", "--output", "json")
		return strings.Contains(out, `"waiting":3`)
	})
	waiting.Signal(t, syscall.SIGINT)
	if code := waiting.ExitCode(); code != exitInterrupted || !strings.Contains(waiting.Output.String(), `again with --request-id 'it'\''s 7' to go on`) {
		t.Errorf("interrupted: exit code %d, %s", code, waiting.Output)
	}
}

// Without the inbox prefix that its role permits, a user cannot receive the
// acknowledgement of what it publishes: nothing is published.
func TestRequest_withoutAnInboxPublishesNothing(t *testing.T) {
	t.Parallel()
	g := programtest.GuardedServer(t)
	if code, _, stderr := programtest.Once(t, g.As("provisioner"), "", "setup"); code != exitDone {
		t.Fatal(stderr)
	}
	env := g.As("billing")[:2]
	args := []string{"request", "--source", "billing", "--client-name", "c", "--subclient-name", "g", "--timeout", "1s"}
	code, out, stderr := programtest.Once(t, env, "", args...)
	if code != exitFailed || out != "" || !strings.Contains(stderr, "subscribe to _INBOX.>") || !strings.Contains(stderr, "set BACKHAUL_NATS_INBOX_PREFIX=_INBOX_billing,") {
		t.Errorf("exit code %d, %s%s", code, out, stderr)
	}
	code, out, stderr = programtest.Once(t, append(env, "BACKHAUL_NATS_INBOX_PREFIX=_INBOX_billing"), "", args...)
	if code != exitDone || !strings.Contains(out, "sequence 1\n") {
		t.Errorf("with its prefix: exit code %d, %s%s, want the first message of %s", code, out, stderr, publisher.RequestsStream)
	}
}

// A user who may only publish is told once what cannot be looked up.
func TestRequest_saysARefusalOnce(t *testing.T) {
	t.Parallel()
	g := programtest.GuardedServer(t)
	if code, _, stderr := programtest.Once(t, g.As("provisioner"), "", "setup"); code != exitDone {
		t.Fatal(stderr)
	}
	code, out, stderr := programtest.Once(t, g.As("billing"), string(programtest.SampleRequest("r-1")), "request", "--source", "billing", "--file", "-")
	if code != exitDone || !strings.HasPrefix(out, "sent  billing/r-1 ") || !strings.Contains(stderr, "outcomes cannot be looked up") || strings.Contains(stderr, `"level":"error"`) {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
}

// A server whose storage is used up is named as the cause, with the way out.
func TestRequest_saysThatTheStorageIsUsedUp(t *testing.T) {
	t.Parallel()
	address := programtest.FreeAddress(t)
	conf := filepath.Join(t.TempDir(), "nats.conf")
	programtest.PutFile(t, conf, fmt.Sprintf("listen: %q\njetstream { store_dir: %q, max_file_store: 100KB }\n", address, t.TempDir()))
	programtest.Start(t, nil, "nats-server", "-c", conf).WaitFor(t, "Server is ready")
	env := []string{"BACKHAUL_NATS_URL=nats://" + address}
	if code, _, stderr := programtest.Once(t, env, "", "setup"); code != exitDone {
		t.Fatal(stderr)
	}
	js := programtest.Connect(t, "nats://"+address).JS
	for err := error(nil); err == nil; { // until it is full
		_, err = js.Publish(t.Context(), "backup.dlq.billing", make([]byte, 10_000))
	}
	const says = "the storage of the server or account is used up: raise max_file_store or the account's limit"
	one := "request --source billing --client-name c --subclient-name g --timeout 1s"
	file := "request --source billing --file - --timeout 1s"
	for command, end := range map[string]string{
		one:               "1 of 1 requests are not confirmed: the storage is still used up; run the same command again with --request-id ",
		file:              "2 of 2 requests are not confirmed: the storage is still used up; run the same command again to go on",
		file + " -o json": "2 of 2 requests are not confirmed: the storage is still used up; run the same command again to go on",
		file + " --quiet": "2 of 2 requests are not confirmed: publish request on backup.request.billing: not confirmed: nats: API error: code=503 err_code=10023",
	} {
		code, _, stderr := programtest.Once(t, env, string(programtest.SampleRequest("r-1"))+"\n"+string(programtest.SampleRequest("r-2")), strings.Fields(command)...)
		if code != exitFailed || strings.Count(stderr, says) != 1 || strings.Count(stderr, "insufficient resources") != 1 || !strings.Contains(stderr, end) {
			t.Errorf("%s: exit code %d, %s, want %q and %q", command, code, stderr, says, end)
		}
	}
}

// A server that is connected and confirms nothing, as one whose disk is full, is named as the cause, with the
// way out. Here another program answers in the place of the stream, never.
func TestRequest_saysThatNothingIsStored(t *testing.T) {
	t.Parallel()
	address := programtest.FreeAddress(t)
	conf := filepath.Join(t.TempDir(), "nats.conf")
	programtest.PutFile(t, conf, fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\n", address, t.TempDir()))
	programtest.Start(t, nil, "nats-server", "-c", conf).WaitFor(t, "Server is ready")
	if _, err := programtest.Connect(t, "nats://"+address).JS.Conn().SubscribeSync("backup.request.>"); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := programtest.Once(t, []string{"BACKHAUL_NATS_URL=nats://" + address}, string(programtest.SampleRequest("r-1")),
		strings.Fields("request --source billing --file - --timeout 6s")...)
	if code != exitUnreachable || strings.Count(stderr, publisher.SilenceHint) != 1 {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// The same is an error of check, though no stream has reached a limit of its own.
func TestCheck_saysThatTheStorageIsUsedUp(t *testing.T) {
	t.Parallel()
	address := programtest.FreeAddress(t)
	conf := filepath.Join(t.TempDir(), "nats.conf")
	programtest.PutFile(t, conf, fmt.Sprintf("listen: %q\njetstream { store_dir: %q, max_file_store: 100KB }\n", address, t.TempDir()))
	programtest.Start(t, nil, "nats-server", "-c", conf).WaitFor(t, "Server is ready")
	_, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	env := programtest.ServiceEnv("nats://"+address, endpoint)
	if code, _, stderr := programtest.Once(t, env, "", "setup"); code != exitDone {
		t.Fatal(stderr)
	}
	js := programtest.Connect(t, "nats://"+address).JS
	for err := error(nil); err == nil; { // until it is full
		_, err = js.Publish(t.Context(), "backup.dlq.billing", make([]byte, 10_000))
	}
	const says = "the storage of the server or account is used up"
	code, out, stderr := programtest.Once(t, env, "", "check")
	if code != exitFailed || !strings.Contains(out, says) {
		t.Errorf("check: exit code %d, %s%s, want %q", code, out, stderr, says)
	}
}
