package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// A query that cannot be answered fails at once with the cause and the way out.
func TestStatusWithoutPermissionOrStreams(t *testing.T) {
	t.Parallel()
	address := programtest.FreeAddress(t)
	file := filepath.Join(t.TempDir(), "nats.conf")
	const conf = `listen: %q
jetstream { store_dir: %q }
accounts {
  A { jetstream: enabled, users: [
    {user: all, password: a}
    {user: few, password: a, permissions: {publish: ["$JS.API.STREAM.INFO.BACKUP_REQUESTS"], subscribe: ["_INBOX.>"]}}
    {user: service, password: a, permissions: {publish: ["$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.BACKUP_REQUESTS.backhaul"], subscribe: ["_INBOX.>"]}}
  ] }
  B { jetstream: enabled, users: [{user: empty, password: a}] }
  C { users: [{user: core, password: a}] }
}`
	if err := os.WriteFile(file, fmt.Appendf(nil, conf, address, t.TempDir()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := programtest.Start(t, nil, "nats-server", "-c", file)
	p.WaitFor(t, "Server is ready")
	as := func(user string) []string {
		return []string{"BACKHAUL_NATS_URL=nats://" + user + ":a@" + address, "BACKHAUL_ADMIN_ADDR=off"}
	}
	if code, _, stderr := programtest.Once(t, as("all"), "", "setup"); code != exitDone {
		t.Fatal(stderr)
	}
	for _, args := range [][]string{{"status"}, {"status", "r-1"}, {"events"}, {"events", "--last", "3"}} {
		for _, c := range []struct {
			user string
			code int
			want string
		}{
			{"few", exitFailed, "not permitted"},
			{"empty", exitFailed, "backhaul setup"},
			{"core", exitUnreachable, "JetStream is out of reach"},
		} {
			code, out, stderr := programtest.Once(t, as(c.user), "", args...)
			if code != c.code || !strings.Contains(stderr, c.want) || out != "" {
				t.Errorf("%v as %s: exit code %d, want %d with %q in\n%s%s", args, c.user, code, c.code, c.want, out, stderr)
			}
		}
	}
	if code, _, stderr := programtest.Once(t, as("core"), "", "setup"); code != exitUnreachable || !strings.Contains(stderr, "JetStream is out of reach") {
		t.Errorf("setup without JetStream: exit code %d, %s", code, stderr)
	}
	// The trigger is not part of the service: missing permissions for it hide nothing else.
	if code, out, stderr := programtest.Once(t, as("service"), "", "status"); code != exitDone || strings.Contains(out, "trigger") {
		t.Errorf("without a trigger: %d, %s%s", code, out, stderr)
	}
	if code, _, stderr := programtest.Once(t, as("all"), "", "setup", "--trigger"); code != exitDone {
		t.Fatal(stderr)
	}
	if code, out, stderr := programtest.Once(t, as("service"), "", "status"); code != exitDone || !strings.Contains(out, "trigger       not to be seen") || !strings.Contains(out, "replica") {
		t.Errorf("a trigger that may not be seen: %d, %s%s", code, out, stderr)
	}
	// Nor may everybody read who has paused.
	if code, _, stderr := programtest.Once(t, as("all"), "", "pause", "--for", "5m", "--as", "ann"); code != exitDone {
		t.Fatal(stderr)
	}
	if code, out, stderr := programtest.Once(t, as("all"), "", "status"); code != exitDone || !strings.Contains(out, ", by ann\n") {
		t.Errorf("a pause: %d, %s%s", code, out, stderr)
	}
	if code, out, stderr := programtest.Once(t, as("service"), "", "status"); code != exitDone || !strings.Contains(out, "paused        until 2") || strings.Contains(out, "Z, by") {
		t.Errorf("a pause of somebody who may not be seen: %d, %s%s", code, out, stderr)
	}
	if code, out, stderr := programtest.Once(t, as("all"), "", "status", "r-1"); code != exitFailed || !strings.Contains(stderr, "no request r-1") {
		t.Errorf("an id of nobody: %d, %s%s", code, out, stderr)
	}
}

func TestStatusAsksTheReplica(t *testing.T) {
	t.Parallel()
	stranger := http.Server{Handler: http.NotFoundHandler()}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = stranger.Serve(listener) }()
	t.Cleanup(func() { _ = stranger.Close() })
	s := programtest.StartService(t, simulator.Config{})
	programtest.WaitForStatus(t, programtest.AdminURL(t, s.Run)+"/readyz", http.StatusOK)
	port := programtest.AdminURL(t, s.Run)[strings.LastIndex(programtest.AdminURL(t, s.Run), ":"):]
	for admin, want := range map[string]string{
		"127.0.0.1" + port:       "127.0.0.1" + port + " is ready",
		port:                     "127.0.0.1" + port + " is ready", // as a listener on every address is written
		"0.0.0.0" + port:         "127.0.0.1" + port + " is ready",
		listener.Addr().String(): "not a Backhaul admin endpoint",
		"127.0.0.1:0":            "port 0",
		"nowhere":                "none answers at nowhere",
		"off":                    "not asked",
	} {
		code, out, stderr := programtest.Once(t, s.Env, "", "status", "--admin-addr", admin)
		if code != exitDone || !strings.Contains(out, want) || !strings.Contains(out, "dead letters") {
			t.Errorf("%s: exit code %d, want %q in\n%s%s", admin, code, want, out, stderr)
		}
	}
}

// The default address may be that of another installation on this machine: nothing of it is shown.
func TestStatus_doesNotBelieveAReplicaOfAnotherLedger(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	admin := programtest.AdminURL(t, s.Run)
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusOK)
	other := natstest.Start(t)
	env := []string{"BACKHAUL_NATS_URL=" + other.URL, "BACKHAUL_ADMIN_ADDR=" + strings.TrimPrefix(admin, "http://")}
	code, out, stderr := programtest.Once(t, env, "", "status")
	if code != exitDone || !strings.Contains(out, " works on another ledger, with another NATS server or account") || strings.Contains(out, "is ready") || strings.Contains(out, "  vendor") {
		t.Errorf("exit code %d:\n%s%s", code, out, stderr)
	}
	if code, out, stderr = programtest.Once(t, env, "", "status", "--output", "json"); code != exitDone || !strings.Contains(out, `"other":true`) || strings.Contains(out, `"checks"`) {
		t.Errorf("exit code %d:\n%s%s", code, out, stderr)
	}
	code, out, stderr = programtest.Once(t, s.Env, "", "status", "--admin-addr", strings.TrimPrefix(admin, "http://"))
	if code != exitDone || !strings.Contains(out, " is ready\n") {
		t.Errorf("of its own ledger: exit code %d:\n%s%s", code, out, stderr)
	}
}

func TestStatusFindsTheRequest(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	const odd = "of two / parts"
	for _, m := range []struct{ source, id string }{{"billing", "one"}, {"billing", "both"}, {"other", "both"}, {"other", odd}} {
		s.Publish(publisher.RequestSubject(m.source, publisher.Normal), nats.Header{}, programtest.SampleRequest(m.id))
	}
	s.WaitForOutcomes()
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"one", exitDone, "billing/one: started: job "},
		{"billing/one", exitDone, "billing/one: started: job "},
		{"other/one", exitFailed, "no request other/one"},
		{"both", exitUsage, "billing/both, other/both"},
		{"other/both", exitDone, "other/both: started: job "},
		{"--source|other|both", exitDone, "other/both: started: job "},
		{"--source|other|one", exitFailed, "no request"},
		{odd, exitDone, ": started: job "},
		{"other/" + odd, exitDone, ": started: job "},
		{"--source|a.b|one", exitUsage, "--source"},
		{"--source|other", exitUsage, "--source needs"},
		{"one|both", exitUsage, "must be `backhaul status [REQUEST]`"},
	} {
		code, out, stderr := programtest.Once(t, s.Env, "", append([]string{"status"}, strings.Split(c.args, "|")...)...)
		if code != c.code || !strings.Contains(out+stderr, c.want) {
			t.Errorf("%s: exit code %d, want %d with %q in\n%s%s", c.args, code, c.code, c.want, out, stderr)
		}
	}
	watch := programtest.Start(t, s.Env, "backhaul", "status", "--watch", "-o", "json")
	waittest.Eventually(t, "a second look", func() bool { return strings.Count(watch.Output.String(), `"queue":{`) >= 2 })
	if code := watch.Stop(t); code != exitDone {
		t.Errorf("status --watch, interrupted: exit code %d, want %d", code, exitDone)
	}
}

// While starts are limited, a request that waits has a place and an estimate, and the sources are
// listed with theirs.
func TestStatusSaysWhoIsNext(t *testing.T) {
	t.Parallel()
	url := programtest.NATSServer(t)
	env := []string{"BACKHAUL_NATS_URL=" + url, "BACKHAUL_STARTS_PER_HOUR=60", "BACKHAUL_ADMIN_ADDR=off"}
	if code, _, stderr := programtest.Once(t, env, "", "setup"); code != exitDone {
		t.Fatalf("setup: exit code %d, %s", code, stderr)
	}
	file := strings.Repeat(`{"clientName":"c","subclientName":"g"}`, 30)
	for _, args := range [][]string{{"--source", "crm", "--file", "-"}, {"--source", "billing", "--priority", "high", "--client-name", "c", "--subclient-name", "g", "--request-id", "urgent"},
		{"--source", "billing", "--client-name", "c", "--subclient-name", "g", "--request-id", "usual"}} {
		if code, _, stderr := programtest.Once(t, env, file, append([]string{"request", "--quiet"}, args...)...); code != exitDone {
			t.Fatalf("%s: exit code %d, %s", args, code, stderr)
		}
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"status"}, []string{
			"waiting by source  billing, high: 1, the last of them is started in about 0s",
			"billing: 1, the last of them is started in about 2m0s", "crm: 30, the last of them is started in about 31m0s",
		}},
		{[]string{"status", "billing/usual"}, []string{"its place is 3, so it is started at about ", "at 60 starts an hour", "priority normal"}},
		{[]string{"status", "--output", "json", "billing/urgent"}, []string{`"place":1`, `"priority":"high"`, `"due":"2`}},
		{[]string{"status", "--output", "json"}, []string{`{"subject":"backup.request.crm","waiting":30}`, `"startsPerHour":60`}},
	} {
		code, out, stderr := programtest.Once(t, env, "", c.args...)
		if code != exitDone {
			t.Errorf("%s: exit code %d, %s", c.args, code, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s does not say %q:\n%s", c.args, want, out)
			}
		}
	}
}

func TestEventsFilters(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	url := programtest.NATSServer(t)
	// No lease is renewed meanwhile: that would be one more event.
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: append(programtest.ServiceEnv(url, endpoint), "BACKHAUL_VENDOR_TIMEOUT=1m")}
	s.StartRun(t)
	for _, id := range []string{"f-1", "f-2", "f-3"} {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(id))
		s.WaitForOutcomes()
	}
	s.Publish("backup.request.other", nil, []byte(`{"requestId":"f-4","clientName":"s-adhoc-object-storage","subclientName":"no-such-group"}`))
	s.Publish("backup.request.billing", nil, []byte(`{"requestId":"f-1","clientName":"c","subclientName":"other"}`))
	s.WaitForOutcomes()
	for args, want := range map[string]int{
		"":                                    9,
		"--kind job-started":                  3,
		"--kind job-started,job-failed":       4,
		"--kind job-failed --source billing":  0,
		"--source other":                      2,
		"--request-id f-1":                    3, // its two, and the rejection of another
		"--request-id f-1 --source other":     0,
		"--request-id f-1 --kind job-started": 1,
		"--request-id f-1 --last 2":           2,
		"--request-id f-1 --limit 1":          1,
		"--client-name c":                     1,
		"--subclient-name stestgroup":         6,
		"--label ticket=CHG-17":               6,
		"--label ticket=CHG-18":               0,
		"--error-code 35:4618":                1,
		"--error-code EXPIRED":                0,
		"--since 1h --until 0s":               9,
		"--until 1h":                          0,
		"--limit 2":                           2,
		"--last 4":                            4,
		"--last 1 --kind job-started":         1,
		"--last 5 --limit 2":                  2,
	} {
		code, out, stderr := programtest.Once(t, s.Env, "", append([]string{"events"}, strings.Fields(args)...)...)
		if got := strings.Count(out, "\n"); code != exitDone || got != want {
			t.Errorf("%s: exit code %d, %d events, want %d\n%s%s", args, code, got, want, out, stderr)
		}
	}
	for _, args := range []string{"--last -1", "--limit -1", "--follow --until 1h", "--since 1h --until 2h", "--until soon", "--label x"} {
		if code, out, _ := programtest.Once(t, s.Env, "", append([]string{"events"}, strings.Fields(args)...)...); code != exitUsage {
			t.Errorf("%s: exit code %d, %s", args, code, out)
		}
	}
	follow := programtest.Start(t, s.Env, "backhaul", "events", "--follow", "--last", "1", "--kind", "job-started")
	follow.WaitFor(t, "f-3")
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("f-5"))
	follow.WaitFor(t, "f-5")
	if strings.Contains(follow.Output.String(), "f-2") {
		t.Errorf("more than the last: %s", follow.Output)
	}
	follow.Kill()
}

// Without NATS `status` shows what the replica reports about it.
func TestStatus_NamesTheReplicasTroubleWithoutNATS(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	broker, url := programtest.NATSServerProcess(t)
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: programtest.ServiceEnv(url, endpoint)}
	s.StartRun(t)
	admin := programtest.AdminURL(t, s.Run)
	broker.Kill()
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusServiceUnavailable)
	code, _, stderr := programtest.Once(t, append(s.Env, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://")), "", "status")
	if code != exitUnreachable || !strings.Contains(stderr, "replica requests: ") || !strings.Contains(stderr, "NATS is not connected") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// A deleted ledger is not a stream that setup only has to make.
func TestStatus_saysThatTheLedgerIsGone(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc := server.Connect(t)
	js := natstest.JetStream(t, nc)
	pub, err := publisher.New(nc)
	if err == nil {
		_, err = pub.RecordMark(t.Context(), 0, publisher.Mark{Last: 7})
	}
	if err == nil {
		err = js.DeleteStream(t.Context(), publisher.EventsStream)
	}
	if err != nil {
		t.Fatal(err)
	}
	const says = "stream BACKUP_EVENTS is gone: restore a snapshot if there is one, run `backhaul setup`, then `backhaul recover` (deploy/RUNBOOK.md, BackhaulLedgerNotKnown)"
	env := []string{"BACKHAUL_NATS_URL=" + server.URL, "BACKHAUL_ADMIN_ADDR=off"}
	for _, args := range [][]string{{"status"}, {"status", "r-1"}, {"recover"}} {
		if code, out, stderr := programtest.Once(t, env, "", args...); code != exitFailed || !strings.Contains(stderr, says) {
			t.Errorf("%v: exit code %d, want %d with %q in\n%s%s", args, code, exitFailed, says, out, stderr)
		}
	}
}

// The status of a request that waits says what holds it up, and who did it.
func TestStatus_saysWhyARequestWaits(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	env := append(s.Env, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(programtest.AdminURL(t, s.Run), "http://"))
	programtest.WaitForStatus(t, programtest.AdminURL(t, s.Run)+"/readyz", http.StatusOK)
	faults, err := simulator.ParseFaults("503=1")
	if err != nil {
		t.Fatal(err)
	}
	s.Sim.SetFaults(faults)
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("stuck"))
	status := func(args ...string) string {
		code, out, stderr := programtest.Once(t, env, "", append([]string{"status", "billing/stuck"}, args...)...)
		if code != exitDone {
			return stderr
		}
		return out
	}
	waittest.Eventually(t, "the error", func() bool { return strings.Contains(status(), "last error ") })
	if out := status("-o", "json"); !strings.Contains(out, `"lastError":{"text":"`) || !strings.Contains(out, `503`) {
		t.Errorf("no error in\n%s", out)
	}
	if code, _, stderr := programtest.Once(t, env, "", "pause", "--for", "1d", "--as", "ann", "--reason", "CHG-17"); code != exitDone {
		t.Fatal(stderr)
	}
	out := status()
	for _, want := range []string{"held up by", "pause: the queue is paused until 2", "by ann: CHG-17", "vendor: since 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}
