package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/vendorapi/simulator"
)

// startServiceOf runs the service against a vendor that can be exchanged for
// another one at the same address.
func startServiceOf(t *testing.T, vendor *atomic.Pointer[simulator.Simulator]) *programtest.Service {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { vendor.Load().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	url := programtest.NATSServer(t)
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: vendor.Load(), Env: programtest.ServiceEnv(url, server.URL+"/webconsole/api")}
	s.StartRun(t)
	return s
}

func worldWith(contentGroups ...string) *simulator.World {
	return &simulator.World{
		Clients: []simulator.Client{{Name: "files", AppName: "Cloud Apps", Instances: []simulator.Instance{{
			Name: "files", BackupSets: []simulator.BackupSet{{Name: "defaultBackupSet", ContentGroups: contentGroups}},
		}}}},
		Users: []simulator.User{{Name: "backhaul", Password: base64.StdEncoding.EncodeToString([]byte(programtest.Password))}},
	}
}

// lines decodes what a command printed with --output json.
func lines(t *testing.T, out string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(out) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, v)
	}
	return all
}

var moments = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)

// A request is refused because the content group is missing, an administrator makes the
// group, and the dead letter is replayed.
func TestARefusedRequestIsReplayedAfterAFix(t *testing.T) {
	t.Parallel()
	var vendor atomic.Pointer[simulator.Simulator]
	vendor.Store(simulator.New(simulator.Config{World: worldWith("other")}))
	s := startServiceOf(t, &vendor)
	const request = `{"requestId":"inv-7", "clientName":"files","subclientName":"home"}` // not as we would write it
	s.Publish("backup.request.billing", map[string][]string{"X-Team": {"billing"}}, []byte(request))
	s.WaitForOutcomes()

	code, out, stderr := programtest.Once(t, s.Env, "", "dlq", "ls")
	const listed = `SEQUENCE  KEPT  SUBJECT                 REQUEST  CLIENT/GROUP  CODE       STATE REPLAYED  REASON
1         TIME  backup.request.billing  inv-7    files/home    587207178 (35:4618) open  -         Failed to start backups as no eligible subclients were found.
`
	short := strings.ReplaceAll(moments.ReplaceAllString(out, "TIME"), "KEPT                ", "KEPT")
	if code != exitDone || strings.Join(strings.Fields(short), " ") != strings.Join(strings.Fields(listed), " ") {
		t.Errorf("exit code %d, %s\n%s", code, stderr, short)
	}
	code, out, _ = programtest.Once(t, s.Env, "", "dlq", "show", "1")
	if code != exitDone || !strings.Contains(out, "X-Team: billing") || !strings.HasSuffix(out, "\n\n"+request+"\n") {
		t.Errorf("exit code %d:\n%s", code, out)
	}

	vendor.Store(simulator.New(simulator.Config{World: worldWith("home")}))
	if code, out, stderr = programtest.Once(t, s.Env, "", "dlq", "replay", "1"); code != exitUsage || !strings.Contains(stderr, "Replay 1 dead letter (1 of billing)?") || !strings.Contains(stderr, "--yes") {
		t.Errorf("nobody to ask: exit code %d, %s%s", code, out, stderr)
	}
	if code, out, _ = programtest.Once(t, s.Env, "", "dlq", "replay", "--source", "billing", "--dry-run"); code != exitDone || out != "1  billing/inv-7  would replay as inv-7-replay-1\n" {
		t.Errorf("dry run: exit code %d, %s", code, out)
	}
	if n := len(s.Stored(publisher.EventsStream, publisher.AnyOperator)); n != 0 {
		t.Errorf("%d operator events for nothing done", n)
	}
	for range 2 { // a double click
		code, out, stderr = programtest.Once(t, s.Env, "", "dlq", "replay", "1", "--yes", "--as", "ann", "--reason", "group made, CHG-17")
		if code != exitDone {
			t.Errorf("exit code %d, %s%s", code, out, stderr)
		}
	}
	s.WaitForOutcomes()
	subject, event := s.Terminal("inv-7-replay-1")
	if subject != "backup.event.job-started.billing.inv-7-replay-1" || event["replayOf"] != "billing/inv-7" {
		t.Errorf("%s: %v", subject, event)
	}
	if _, out, _ := programtest.Once(t, s.Env, "", "status", "inv-7-replay-1"); !strings.Contains(out, "replay of      billing/inv-7\n") {
		t.Errorf("status does not say whose replay it is:\n%s", out)
	}
	if a := vendor.Load().Account(); a.JobsStarted != 1 || len(a.JobsByMarker["backhaul:billing/inv-7-replay-1"]) != 1 {
		t.Errorf("jobs at the vendor: %v", a.JobsByMarker)
	}
	code, out, _ = programtest.Once(t, s.Env, "", "dlq", "ls", "-o", "json")
	if deadLetters := lines(t, out); code != exitDone || len(deadLetters) != 1 || deadLetters[0]["replays"].([]any)[0].(map[string]any)["state"] != "job-started" {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, _, stderr = programtest.Once(t, s.Env, "", "dlq", "replay", "--all", "--yes"); code != exitDone || !strings.Contains(stderr, "no dead letter is selected") {
		t.Errorf("once more: exit code %d, %s", code, stderr)
	}

	for args, want := range map[string]string{
		"ls --state succeeded": "(35:4618)  succeeded  job ", "drop --succeeded --dry-run": "would drop", "drop --state succeeded --dry-run": "would drop",
		"ls --state open": "", "ls --state replayed": "", "drop --state open --dry-run": "",
	} {
		if code, out, stderr := programtest.Once(t, s.Env, "", append([]string{"dlq"}, strings.Fields(args)...)...); code != exitDone || !strings.Contains(out, want) || want == "" && out != "" {
			t.Errorf("dlq %s: exit code %d, %s%s", args, code, out, stderr)
		}
	}
	for args, want := range map[string]string{
		"ls --state done": "must be one of open, replayed, succeeded", "drop --succeeded --state open": "--succeeded does not go with --state open",
		"drop 1 --succeeded": "sequences do not go with filters",
	} {
		if code, _, stderr := programtest.Once(t, s.Env, "", append([]string{"dlq"}, strings.Fields(args)...)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("dlq %s: exit code %d, %s", args, code, stderr)
		}
	}
	if code, out, _ = programtest.Once(t, s.Env, "", "dlq", "drop", "1", "--yes", "--as", "ann"); code != exitDone || !strings.Contains(out, "dropped") || s.Messages(publisher.DeadLetterStream) != 0 {
		t.Errorf("drop: exit code %d, %s", code, out)
	}
	code, out, _ = programtest.Once(t, s.Env, "", "events", "--kind", "operator")
	const told = `TIME  operator          dlq-replay    ann                         dead letter 1 (billing/inv-7, 587207178) as inv-7-replay-1: group made, CHG-17
TIME  operator          dlq-drop      ann                         dead letter 1 (billing/inv-7, 587207178)
`
	if got := moments.ReplaceAllString(out, "TIME"); code != exitDone || got != told {
		t.Errorf("exit code %d, got\n%s\nwant\n%s", code, got, told)
	}
	if code, out, _ = programtest.Once(t, s.Env, "", "events", "--last", "1"); code != exitDone || strings.Count(out, "\n") != 1 || !strings.Contains(out, "dlq-drop") {
		t.Errorf("the last event: exit code %d\n%s", code, out)
	}
	if code, out, _ = programtest.Once(t, s.Env, "", "events", "-o", "json"); code == exitDone {
		if code, shown, stderr := programtest.Once(t, s.Env, out, "schema", "validate", "-"); code != exitDone {
			t.Errorf("events that do not fit their schemas: %s%s", shown, stderr)
		}
	}
	if code != exitDone || !strings.Contains(out, `"type":"backhaul.operator.dlq-drop.v1"`) || !strings.Contains(out, `"billing/inv-7-replay-1/job-started"`) {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestACorrectedReplay(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	s.Publish("backup.request.billing", map[string][]string{"Nats-Msg-Id": {"bad-1"}}, []byte(`{"clientName":"s-adhoc-object-storage"}`))
	s.WaitForOutcomes()
	if code, out, _ := programtest.Once(t, s.Env, "", "dlq", "replay", "1", "--yes"); code != exitFailed || !strings.Contains(out, "refused: ") || !strings.Contains(out, "--file") {
		t.Errorf("unchanged: exit code %d, %s", code, out)
	}
	const corrected = `{"clientName":"s-adhoc-object-storage","subclientName":"stestgroup"}`
	code, out, stderr := programtest.Once(t, s.Env, corrected, "dlq", "replay", "1", "--file", "-", "--yes", "-o", "json")
	if results := lines(t, out); code != exitDone || len(results) != 1 || results[0]["newRequestId"] != "bad-1-replay-1" {
		t.Fatalf("exit code %d, %s%s", code, out, stderr)
	}
	s.WaitForOutcomes()
	if event := s.OneJob("bad-1-replay-1"); event["replayOf"] != "billing/bad-1" {
		t.Errorf("%v", event)
	}
	told := s.Stored(publisher.EventsStream, publisher.AnyOperator)
	if len(told) != 1 || !strings.Contains(string(told[0].Data()), `"corrected":true`) {
		t.Errorf("on record: %d events, the first %s", len(told), told[0].Data())
	}
}

// operators is a server whose users have the documented permissions, or fewer.
const operators = `jetstream { store_dir: "STORE" }
accounts { B { jetstream: enabled, users: [
  { user: admin, password: p }
  { user: ops, password: p, permissions: { publish: { allow: [ LOOK, "backup.event.operator.*", "backup.request.billing",
    "$JS.API.CONSUMER.PAUSE.BACKUP_REQUESTS.backhaul", "$JS.API.STREAM.MSG.DELETE.BACKUP_DLQ" ] }, subscribe: "_INBOX_ops.>" } }
  { user: half, password: p, permissions: { publish: { allow: [ LOOK, "backup.event.operator.*" ] }, subscribe: "_INBOX_half.>" } }
] } }`

const look = `"$JS.API.STREAM.INFO.BACKUP_DLQ", "$JS.API.STREAM.INFO.BACKUP_EVENTS", "$JS.API.STREAM.MSG.GET.BACKUP_DLQ", "$JS.API.STREAM.MSG.GET.BACKUP_EVENTS",
    "$JS.API.CONSUMER.CREATE.BACKUP_DLQ.>", "$JS.API.CONSUMER.INFO.BACKUP_DLQ.>", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_DLQ.>", "$JS.API.CONSUMER.DELETE.BACKUP_DLQ.>",
    "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.>", "$JS.API.CONSUMER.INFO.BACKUP_EVENTS.>", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.>", "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.>",
    "$JS.API.CONSUMER.INFO.BACKUP_REQUESTS.backhaul"`

// The permissions of an operator suffice for all commands. Without the one for the request,
// a replay ends between its two writes, as after a crash: the record stands, and the next
// replay completes it.
func TestOperatorsPermissions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "nats.conf")
	text := strings.NewReplacer("STORE", filepath.Join(dir, "js"), "LOOK", look).Replace(operators)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := programtest.Start(t, nil, "nats-server", "-a", "127.0.0.1", "-p", "-1", "-c", conf)
	p.WaitFor(t, "Server is ready")
	address := regexp.MustCompile(`Listening for client connections on (\S+)`).FindStringSubmatch(p.Output.String())[1]
	admin := programtest.Connect(t, "nats://admin:p@"+address)
	natstest.Provision(t, admin.NC)
	pub, err := publisher.New(admin.NC)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		id := fmt.Sprint("inv-", i)
		err := pub.DeadLetter(t.Context(), publisher.DeadLetter{
			Subject: "backup.request.billing", Data: programtest.SampleRequest(id), Key: publisher.NewKey("billing", id), RequestID: id,
			Sequence: uint64(i + 1), Code: "2", Reason: "busy",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	as := func(user string) []string {
		return []string{"BACKHAUL_NATS_URL=nats://" + user + ":p@" + address, "BACKHAUL_NATS_INBOX_PREFIX=_INBOX_" + user}
	}
	if code, out, _ := programtest.Once(t, as("half"), "", "dlq", "replay", "1", "--yes"); code == exitDone || admin.Messages(publisher.RequestsStream) != 0 {
		t.Errorf("without permission to publish requests: exit code %d, %s", code, out)
	}
	if code, out, stderr := programtest.Once(t, as("ops"), "", "dlq", "ls"); code != exitDone || !strings.Contains(out, "no outcome yet") {
		t.Errorf("after half a replay: exit code %d, %s%s", code, out, stderr)
	}
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"dlq", "show", "1"}, "no outcome yet"},
		{[]string{"dlq", "replay", "1", "--yes"}, "sent again as inv-0-replay-1"},
		{[]string{"dlq", "replay", "2", "--yes"}, "replayed as inv-1-replay-2"},
		{[]string{"dlq", "drop", "2", "--yes"}, "dropped"},
		{[]string{"pause", "--for", "2s"}, "paused until"},
		{[]string{"resume"}, ""},
		{[]string{"events", "--kind", "operator"}, "dlq-drop"},
	} {
		if code, out, stderr := programtest.Once(t, as("ops"), "", step.args...); code != exitDone || !strings.Contains(out, step.want) {
			t.Errorf("%v: exit code %d, %s%s", step.args, code, out, stderr)
		}
	}
	if requests, told := admin.Messages(publisher.RequestsStream), len(admin.Stored(publisher.EventsStream, publisher.OperatorSubject("dlq-replay"))); requests != 2 || told != 2 {
		t.Errorf("%d requests and %d replays on record, want two of each", requests, told)
	}
}

func TestPauseAndResumeCommands(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	if code, out, stderr := programtest.Once(t, s.Env, "", "pause", "--for", "30m", "--reason", "maintenance", "--as", "ann"); code != exitDone || !strings.HasPrefix(out, "paused until 2") {
		t.Fatalf("exit code %d, %s%s", code, out, stderr)
	}
	if code, out, _ := programtest.Once(t, s.Env, "", "pause", "--for", "1m"); code != exitDone || !strings.Contains(out, "which is longer") {
		t.Errorf("a shorter one: exit code %d, %s", code, out)
	}
	if _, out, _ := programtest.Once(t, s.Env, "", "status"); !strings.Contains(out, ", by ann: maintenance\n") {
		t.Errorf("status does not say who paused, and why:\n%s", out)
	}
	_, out, _ := programtest.Once(t, s.Env, "", "status", "-o", "json")
	if by, _ := lines(t, out)[0]["queue"].(map[string]any)["pausedBy"].(map[string]any); by["actor"] != "ann" || by["reason"] != "maintenance" {
		t.Errorf("status says of the pause: %v", by)
	}
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("p-1"))
	code, out, _ := programtest.Once(t, s.Env, "", "resume", "-o", "json", "--as", "ann")
	if code != exitDone || lines(t, out)[0]["wasPaused"] != true {
		t.Errorf("exit code %d, %s", code, out)
	}
	if _, out, _ := programtest.Once(t, s.Env, "", "status"); !strings.Contains(out, ", resumed by ann\n") {
		t.Errorf("status does not say who resumed:\n%s", out)
	}
	s.WaitForOutcomes()
	s.OneJob("p-1")
	if code, out, _ := programtest.Once(t, s.Env, "", "resume"); code != exitDone || out != "not paused\n" {
		t.Errorf("exit code %d, %s", code, out)
	}
	if _, out, _ := programtest.Once(t, s.Env, "", "events", "--kind", "operator"); strings.Count(out, "  pause ") != 2 || strings.Count(out, "  resume ") != 1 || !strings.Contains(out, "maintenance") {
		t.Errorf("on record:\n%s", out)
	}
}

func TestCheckCommand(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("c-1"))
	s.WaitForOutcomes()
	s.OneJob("c-1")
	code, out, stderr := programtest.Once(t, s.Env, "", "check")
	if code != exitDone || !strings.Contains(out, "job 5976 shows the one that it was started with") || !strings.HasSuffix(out, "0 warnings, 0 errors\n") {
		t.Errorf("exit code %d, %s%s", code, out, stderr)
	}
	code, out, _ = programtest.Once(t, s.Env, "", "check", "-o", "json")
	for _, f := range lines(t, out) {
		if f["level"] != "ok" && f["level"] != "note" || f["check"] == "" || f["what"] == "" {
			t.Errorf("exit code %d: %v", code, f)
		}
	}
	bare := programtest.NATSServer(t)
	for name, test := range map[string]struct {
		env  []string
		code int
		want string
	}{
		"no streams":     {[]string{"BACKHAUL_NATS_URL=" + bare}, exitFailed, "backhaul setup"},
		"no NATS":        {[]string{"BACKHAUL_NATS_URL=nats://127.0.0.1:1"}, exitUnreachable, "127.0.0.1:1"},
		"no vendor":      {[]string{"BACKHAUL_VENDOR_ENDPOINT=http://127.0.0.1:1/api"}, exitUnreachable, "vendor TCP"},
		"embedded":       {[]string{"BACKHAUL_NATS_URL="}, exitDone, "--nats nats://127.0.0.1:4222"},
		"wrong password": {[]string{"BACKHAUL_VENDOR_PASSWORD=not-" + programtest.Password}, exitFailed, "login refused"},
		"no user":        {[]string{"BACKHAUL_VENDOR_USERNAME="}, exitUsage, "BACKHAUL_VENDOR_USERNAME"},
	} {
		code, out, stderr := programtest.Once(t, append(s.Env, test.env...), "", "check")
		if code != test.code || !strings.Contains(out+stderr, test.want) {
			t.Errorf("%s: exit code %d, want %d\n%s%s", name, code, test.code, out, stderr)
		}
	}
	if a := s.Sim.Account(); a.JobsStarted != 1 || a.Calls["Logout"] < 3 {
		t.Errorf("%d jobs and %d logouts after the checks", a.JobsStarted, a.Calls["Logout"])
	}
}

func TestOperatorsCommandLines(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		stderr string
	}{
		"unknown":            {[]string{"dlq", "peek"}, `"peek"`},
		"ls of one":          {[]string{"dlq", "ls", "1"}, "dlq show"},
		"show nothing":       {[]string{"dlq", "show"}, "sequence"},
		"no sequence":        {[]string{"dlq", "show", "inv-7"}, `"inv-7"`},
		"which dead letters": {[]string{"dlq", "drop", "--yes"}, "--all"},
		"an empty filter":    {[]string{"dlq", "drop", "--source", "", "--error-code", "EXPIRED", "--yes"}, `"--source" flag: it is empty`},
		"a pause of nothing": {[]string{"pause", "--source", ""}, `"--source" flag: it is empty`},
		"no pause is ended":  {[]string{"resume", "--group", ""}, `"--group" flag: it is empty`},
		"an empty time":      {[]string{"events", "--since", ""}, `"--since" flag: it is empty`},
		"both":               {[]string{"dlq", "drop", "1", "--source", "a"}, "do not go with"},
		"a file for many":    {[]string{"dlq", "replay", "--all", "--file", "x"}, "one dead letter"},
		"no such file":       {[]string{"dlq", "replay", "1", "--file", "/does/not/exist"}, "--file"},
		"bad source":         {[]string{"dlq", "ls", "--source", "a.b"}, "--source"},
		"bad time":           {[]string{"dlq", "ls", "--until", "tomorrow"}, "--until"},
		"no limit":           {[]string{"dlq", "replay", "--all", "--limit", "0"}, "--limit"},
		"a reason on two":    {[]string{"dlq", "replay", "1", "--reason", "a\nb"}, "--reason"},
		"too long a pause":   {[]string{"pause", "--for", "200h"}, "must be 1s to 7d"},
		"no pause":           {[]string{"pause", "--for", "-1s"}, "--for"},
		"pause alone":        {[]string{"pause"}, "--nats"},
		"operator of":        {[]string{"events", "--kind", "operator", "--source", "a"}, "about no request"},
		"protection of":      {[]string{"events", "--kind", "protection", "--source", "a"}, "about no request"},
		"no check":           {[]string{"check", "now"}, "now"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if code, _, stderr := programtest.Once(t, nil, "", c.args...); code != exitUsage || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit code %d, want %d with %q in\n%s", code, exitUsage, c.stderr, stderr)
			}
		})
	}
}
