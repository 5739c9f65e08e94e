package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// sample is the vendor page's request as JSON, as another team would write it.
const sample = `{"requestId":"%s","clientName":"s-adhoc-object-storage","instanceName":"s-adhoc-object-storage",
 "backupsetName":"defaultBackupSet","subclientName":"stestgroup","storagePolicyName":"default-plan",
 "appName":"Cloud Apps","backupLevel":"INCREMENTAL","adHocBackup":true,
 "onDemandInputFile":"/sk/s-directive-file-blob.txt","labels":{"ticket":"CHG-17"}}`

func sampleRequest(id string) []byte { return fmt.Appendf(nil, sample, id) }

func world() *simulator.World {
	w := simulator.DefaultWorld()
	w.Users[0].Password = base64.StdEncoding.EncodeToString([]byte(password))
	return w
}

// service is a running `backhaul run` with all that belongs to it.
type service struct {
	*plainClient
	sim *simulator.Simulator
	env []string
	run *process
}

func startService(t *testing.T, cfg simulator.Config, faults ...simulator.Fault) *service {
	t.Helper()
	cfg.World = world()
	sim, endpoint := simulatortest.Start(t, cfg)
	sim.Script(faults...)
	url := natsServer(t)
	s := &service{plainClient: connectPlainly(t, url), sim: sim, env: serviceEnv(url, endpoint)}
	s.startRun(t)
	return s
}

func (s *service) startRun(t *testing.T) {
	t.Helper()
	s.run = start(t, s.env, "backhaul", "run")
	s.run.waitFor(t, "reading requests")
}

// terminal is the one terminal event of a request.
func (s *service) terminal(key string) (subject string, event map[string]any) {
	s.t.Helper()
	return s.terminalOf("billing", key)
}

func (s *service) terminalOf(source, key string) (subject string, event map[string]any) {
	s.t.Helper()
	var found []string
	for _, msg := range s.stored(publisher.EventsStream, "backup.event.*."+source+"."+key) {
		if strings.Contains(msg.Subject(), "job-started") || strings.Contains(msg.Subject(), "job-failed") {
			found = append(found, msg.Subject())
			if err := json.Unmarshal(msg.Data(), &event); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	if len(found) != 1 {
		s.t.Fatalf("terminal events of %s: %v, want one", key, found)
	}
	return found[0], event
}

// oneJob checks that the vendor has exactly one job for the request, and that it
// is the one that was announced.
func (s *service) oneJob(id string) map[string]any {
	s.t.Helper()
	subject, event := s.terminal(id)
	if want := "backup.event.job-started.billing." + id; subject != want {
		s.t.Fatalf("terminal event on %s (%v), want %s", subject, event, want)
	}
	jobs := s.sim.Account().JobsByMarker["backhaul:billing/"+id]
	if len(jobs) != 1 || event["jobId"] != jobs[0] {
		s.t.Fatalf("announced job %v, jobs at the vendor %v: want one and the same", event["jobId"], jobs)
	}
	return event
}

func TestRequestBecomesJobAndEvent(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	live, err := s.nc.SubscribeSync("backup.event.>")
	if err != nil {
		t.Fatal(err)
	}
	s.publish("backup.request.billing", nil, sampleRequest("inv-1"))
	for _, kind := range []string{"job-submitting", "job-started"} {
		msg, err := live.NextMsgWithContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := "backup.event." + kind + ".billing.inv-1"; msg.Subject != want {
			t.Fatalf("got %s, want %s", msg.Subject, want)
		}
		if got := msg.Header["ce-type"]; len(got) != 1 || got[0] != "backhaul."+strings.ReplaceAll(kind, "-", ".")+".v1" {
			t.Errorf("ce-type of %s is %v", kind, got)
		}
	}
	s.waitForOutcomes()
	event := s.oneJob("inv-1")
	if event["jobId"] != "5976" || event["taskId"] != "4038" {
		t.Errorf("job %v of task %v, want the vendor page's 5976 and 4038", event["jobId"], event["taskId"])
	}
	if code := s.run.stop(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	if logins := s.sim.Account().Calls["Logout"]; logins != 1 {
		t.Errorf("%d logouts, want 1: the vendor counts sessions", logins)
	}
}

func TestDuplicatesStartOneJob(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	for range 2 { // no Nats-Msg-Id: only the ledger can tell
		s.publish("backup.request.billing", nil, sampleRequest("dup-1"))
	}
	s.waitForOutcomes()
	s.oneJob("dup-1")
	// Long after: the stream's duplicate window has nothing to do with it.
	s.publish("backup.request.billing", nil, sampleRequest("dup-1"))
	s.waitForOutcomes()
	s.oneJob("dup-1")
	if calls := s.sim.Account().CreateTaskCalls; calls != 1 {
		t.Errorf("%d calls of CreateTask, want 1", calls)
	}
}

func TestKilledBetweenCallAndEvent(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{}, simulator.Fault{Kind: simulator.HangAfterStart})
	s.publish("backup.request.billing", nil, sampleRequest("kill-1"))
	eventually(t, "job at the vendor", func() bool { return s.sim.Account().JobsStarted == 1 })
	s.run.kill()
	s.startRun(t)
	s.waitForOutcomes()
	if event := s.oneJob("kill-1"); event["adopted"] != true {
		t.Errorf("adopted is %v, want true", event["adopted"])
	}
}

func TestKilledBeforeCall(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{}, simulator.Fault{Kind: simulator.Delay, For: 1 << 40})
	s.publish("backup.request.billing", nil, sampleRequest("kill-2"))
	eventually(t, "call at the vendor", func() bool { return s.sim.Account().CreateTaskCalls == 1 })
	s.run.kill()
	s.startRun(t)
	s.waitForOutcomes()
	s.oneJob("kill-2")
}

func TestInvalidRequestsBecomeEventsAndDeadLetters(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	garbage := make([]byte, 1000)
	for i := range garbage {
		garbage[i] = byte(rand.IntN(256)) | 0x80
	}
	bad := map[string]struct {
		payload []byte
		names   string // what the event's message has to name
	}{
		"bad-json":   {[]byte(`{"clientName":`), "not valid JSON"},
		"bad-member": {[]byte(`{"clientName":"a","subclientName":"b","planName":"c"}`), "/planName"},
		"bad-level":  {[]byte(`{"clientName":"a","subclientName":"b","backupLevel":"full"}`), "/backupLevel"},
		"bad-size":   {bytes.Repeat([]byte{'x'}, 512<<10), "262144"},
		"bad-binary": {garbage, "not valid JSON"},
	}
	for id, b := range bad {
		s.publish("backup.request.billing", nats.Header{"Nats-Msg-Id": {id}, "X-Team": {"billing"}}, b.payload)
	}
	s.publish("backup.request.billing", nil, sampleRequest("good-1"))
	s.waitForOutcomes()
	s.oneJob("good-1")
	for id, b := range bad {
		_, event := s.terminal(id)
		if event["errorCode"] != "INVALID_REQUEST" || !strings.Contains(fmt.Sprint(event["errorMessage"]), b.names) {
			t.Errorf("%s: %v: %v, want INVALID_REQUEST that names %s", id, event["errorCode"], event["errorMessage"], b.names)
		}
	}
	letters := s.stored(publisher.DeadLetterStream, "backup.dlq.billing")
	if len(letters) != len(bad) {
		t.Errorf("%d dead letters, want %d", len(letters), len(bad))
	}
	for _, letter := range letters {
		id := letter.Headers().Get(publisher.HeaderDeadLetterRequestID)
		if !bytes.Equal(letter.Data(), bad[id].payload) || letter.Headers().Get("X-Team") != "billing" ||
			letter.Headers().Get(publisher.HeaderOriginalPrefix+"Nats-Msg-Id") != id {
			t.Errorf("%s: the dead letter is not the original: %d bytes, %v", id, len(letter.Data()), letter.Headers())
		}
	}
}

func TestVendorDownAtStart(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	url := natsServer(t)
	sim := simulator.New(simulator.Config{World: world()})
	s := &service{plainClient: connectPlainly(t, url), sim: sim, env: append(serviceEnv(url, "http://"+address+"/webconsole/api"),
		"BACKHAUL_VENDOR_RETRY_BUDGET=1s")}
	s.startRun(t)
	for i := range 20 {
		s.publish("backup.request.billing", nil, sampleRequest(fmt.Sprintf("down-%d", i)))
	}
	s.run.waitFor(t, "request postponed")

	vendor := httptest.NewUnstartedServer(sim)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	vendor.Listener = listener
	vendor.Start()
	t.Cleanup(vendor.Close)
	s.waitForOutcomes()
	for i := range 20 {
		s.oneJob(fmt.Sprintf("down-%d", i))
	}
}

func TestSIGTERMDrains(t *testing.T) {
	t.Parallel()
	slow := simulator.Fault{Kind: simulator.Slow, For: 1e9}
	s := startService(t, simulator.Config{}, slow, slow, slow, slow, slow)
	for i := range 5 {
		s.publish("backup.request.billing", nil, sampleRequest(fmt.Sprintf("drain-%d", i)))
	}
	eventually(t, "five calls under way", func() bool { return s.sim.Account().JobsStarted == 5 })
	if code := s.run.stop(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for i := range 5 { // without a second run: the drain finished them
		s.oneJob(fmt.Sprintf("drain-%d", i))
	}
	s.waitForOutcomes()
}

func TestEmbeddedServerKeepsRequests(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world()})
	dir := t.TempDir()
	env := serviceEnv("", endpoint)
	args := []string{"run", "--store-dir", dir, "--nats-listen", "127.0.0.1:0"}
	first := start(t, env, "backhaul", args...)
	first.waitFor(t, "reading requests")

	second := start(t, env, "backhaul", args...)
	if code := second.exitCode(); code != exitUsage || !strings.Contains(second.output.String(), "in use by another backhaul") {
		t.Errorf("a second process on the directory: exit code %d, %s", code, second.output)
	}

	client := connectPlainly(t, embeddedURL(t, first))
	client.publish("backup.request.billing", nil, sampleRequest("embedded-1"))
	client.waitForOutcomes()
	first.kill()

	third := start(t, env, "backhaul", args...)
	third.waitFor(t, "reading requests")
	again := connectPlainly(t, embeddedURL(t, third))
	again.publish("backup.request.billing", nil, sampleRequest("embedded-1"))
	again.waitForOutcomes()
	if jobs := sim.Account().JobsByMarker["backhaul:billing/embedded-1"]; len(jobs) != 1 {
		t.Errorf("jobs %v after a kill and a duplicate, want one", jobs)
	}
}

// embeddedURL is the address that a process logged for its server.
func embeddedURL(t *testing.T, p *process) string {
	t.Helper()
	return logged(t, p.output.String(), "nats")
}

// A refused login says why, keeps the request, and shows no secret.
func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	bare := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(bare.Close)
	s.publish("backup.request.billing", nil, sampleRequest("secret-1"))
	s.waitForOutcomes()
	wrong := append(s.env, "BACKHAUL_VENDOR_PASSWORD=not-"+password, "BACKHAUL_LOG_LEVEL=debug", "BACKHAUL_VENDOR_RETRY_BUDGET=1s")
	s.run.stop(t)
	second := start(t, wrong, "backhaul", "run")
	second.waitFor(t, "reading requests")
	s.publish("backup.request.billing", nil, sampleRequest("secret-2"))
	second.waitFor(t, "login refused")
	if code := second.stop(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if waiting := s.messages(publisher.RequestsStream); waiting != 1 {
		t.Errorf("%d requests wait, want the one that could not be sent", waiting)
	}
	var shown strings.Builder
	shown.WriteString(s.run.output.String() + second.output.String())
	for _, stream := range []string{publisher.EventsStream, publisher.DeadLetterStream} {
		for _, msg := range s.stored(stream, ">") {
			fmt.Fprint(&shown, msg.Headers(), string(msg.Data()))
		}
	}
	secretstest.NotShown(t, append(s.sim.Secrets(), password, "QSDK "), shown.String())
}
