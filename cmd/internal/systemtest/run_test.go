package systemtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

func TestRequestBecomesJobAndEvent(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	live, err := s.NC.SubscribeSync("backup.event.>")
	if err != nil {
		t.Fatal(err)
	}
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("inv-1"))
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
	s.WaitForOutcomes()
	event := s.OneJob("inv-1")
	if event["jobId"] != "5976" || event["taskId"] != "4038" {
		t.Errorf("job %v of task %v, want the vendor page's 5976 and 4038", event["jobId"], event["taskId"])
	}
	if code := s.Run.Stop(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	if logins := s.Sim.Account().Calls["Logout"]; logins != 1 {
		t.Errorf("%d logouts, want 1: the vendor counts sessions", logins)
	}
}

func TestDuplicatesStartOneJob(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	for range 2 { // no Nats-Msg-Id: only the ledger recognises it
		s.Publish("backup.request.billing", nil, programtest.SampleRequest("dup-1"))
	}
	s.WaitForOutcomes()
	s.OneJob("dup-1")
	// Long after: the stream's duplicate window has nothing to do with it.
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("dup-1"))
	s.WaitForOutcomes()
	s.OneJob("dup-1")
	if calls := s.Sim.Account().CreateTaskCalls; calls != 1 {
		t.Errorf("%d calls of CreateTask, want 1", calls)
	}
}

func TestKilledBetweenCallAndEvent(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{}, simulator.Fault{Kind: simulator.HangAfterStart})
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("kill-1"))
	waittest.Eventually(t, "job at the vendor", func() bool { return s.Sim.Account().JobsStarted == 1 })
	s.Run.Kill()
	s.StartRun(t)
	s.WaitForOutcomes()
	if event := s.OneJob("kill-1"); event["adopted"] != true {
		t.Errorf("adopted is %v, want true", event["adopted"])
	}
}

func TestKilledBeforeCall(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{}, simulator.Fault{Kind: simulator.Delay, For: 1 << 40})
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("kill-2"))
	waittest.Eventually(t, "call at the vendor", func() bool { return s.Sim.Account().CreateTaskCalls == 1 })
	s.Run.Kill()
	s.StartRun(t)
	s.WaitForOutcomes()
	s.OneJob("kill-2")
}

func TestInvalidRequestsBecomeEventsAndDeadLetters(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
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
		s.Publish("backup.request.billing", nats.Header{"Nats-Msg-Id": {id}, "X-Team": {"billing"}}, b.payload)
	}
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("good-1"))
	s.WaitForOutcomes()
	s.OneJob("good-1")
	for id, b := range bad {
		_, event := s.Terminal(id)
		if event["errorCode"] != "INVALID_REQUEST" || !strings.Contains(fmt.Sprint(event["errorMessage"]), b.names) {
			t.Errorf("%s: %v: %v, want INVALID_REQUEST that names %s", id, event["errorCode"], event["errorMessage"], b.names)
		}
	}
	deadLetters := s.Stored(publisher.DeadLetterStream, "backup.dlq.billing")
	if len(deadLetters) != len(bad) {
		t.Errorf("%d dead letters, want %d", len(deadLetters), len(bad))
	}
	for _, deadLetter := range deadLetters {
		id := deadLetter.Headers().Get(publisher.HeaderDeadLetterRequestID)
		if !bytes.Equal(deadLetter.Data(), bad[id].payload) || deadLetter.Headers().Get("X-Team") != "billing" ||
			deadLetter.Headers().Get(publisher.HeaderOriginalPrefix+"Nats-Msg-Id") != id {
			t.Errorf("%s: the dead letter is not the original: %d bytes, %v", id, len(deadLetter.Data()), deadLetter.Headers())
		}
	}
}

func TestVendorDownAtStart(t *testing.T) {
	t.Parallel()
	address := programtest.FreeAddress(t)
	url := programtest.NATSServer(t)
	sim := simulator.New(simulator.Config{World: programtest.World()})
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: append(programtest.ServiceEnv(url, "http://"+address+"/webconsole/api"),
		"BACKHAUL_VENDOR_RETRY_BUDGET=1s")}
	s.StartRun(t)
	for i := range 20 {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(fmt.Sprintf("down-%d", i)))
	}
	s.Run.WaitFor(t, "request postponed")

	vendor := httptest.NewUnstartedServer(sim)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	vendor.Listener = listener
	vendor.Start()
	t.Cleanup(vendor.Close)
	s.WaitForOutcomes()
	for i := range 20 {
		s.OneJob(fmt.Sprintf("down-%d", i))
	}
}

func TestSIGTERMDrains(t *testing.T) {
	t.Parallel()
	slow := simulator.Fault{Kind: simulator.Slow, For: 1e9}
	s := programtest.StartService(t, simulator.Config{}, slow, slow, slow, slow, slow)
	for i := range 5 {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(fmt.Sprintf("drain-%d", i)))
	}
	waittest.Eventually(t, "five calls under way", func() bool { return s.Sim.Account().JobsStarted == 5 })
	if code := s.Run.Stop(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for i := range 5 { // without a second run: the drain finished them
		s.OneJob(fmt.Sprintf("drain-%d", i))
	}
	s.WaitForOutcomes()
}

func TestEmbeddedServerKeepsRequests(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	dir := t.TempDir()
	env := programtest.ServiceEnv("", endpoint)
	args := []string{"run", "--store-dir", dir, "--nats-listen", "127.0.0.1:0"}
	first := programtest.Start(t, env, "backhaul", args...)
	first.WaitFor(t, "reading requests")

	second := programtest.Start(t, env, "backhaul", args...)
	if code := second.ExitCode(); code != programtest.ExitUsage || !strings.Contains(second.Output.String(), "in use by another backhaul") {
		t.Errorf("a second process on the directory: exit code %d, %s", code, second.Output)
	}

	client := programtest.Connect(t, programtest.EmbeddedURL(t, first))
	client.Publish("backup.request.billing", nil, programtest.SampleRequest("embedded-1"))
	client.WaitForOutcomes()
	first.Kill()

	third := programtest.Start(t, env, "backhaul", args...)
	third.WaitFor(t, "reading requests")
	again := programtest.Connect(t, programtest.EmbeddedURL(t, third))
	again.Publish("backup.request.billing", nil, programtest.SampleRequest("embedded-1"))
	again.WaitForOutcomes()
	if jobs := sim.Account().JobsByMarker["backhaul:billing/embedded-1"]; len(jobs) != 1 {
		t.Errorf("jobs %v after a kill and a duplicate, want one", jobs)
	}
}

// A refused login is logged with its reason, keeps the request, and shows no secret.
func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	bare := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(bare.Close)
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("secret-1"))
	s.WaitForOutcomes()
	wrong := append(s.Env, "BACKHAUL_VENDOR_PASSWORD=not-"+programtest.Password, "BACKHAUL_LOG_LEVEL=debug", "BACKHAUL_VENDOR_RETRY_BUDGET=1s")
	s.Run.Stop(t)
	second := programtest.Start(t, wrong, "backhaul", "run")
	second.WaitFor(t, "reading requests")
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("secret-2"))
	second.WaitFor(t, "login refused")
	if code := second.Stop(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if waiting := s.Messages(publisher.RequestsStream); waiting != 1 {
		t.Errorf("%d requests wait, want the one that could not be sent", waiting)
	}
	var shown strings.Builder
	shown.WriteString(s.Run.Output.String() + second.Output.String())
	for _, stream := range []string{publisher.EventsStream, publisher.DeadLetterStream} {
		for _, msg := range s.Stored(stream, ">") {
			fmt.Fprint(&shown, msg.Headers(), string(msg.Data()))
		}
	}
	secretstest.NotShown(t, append(s.Sim.Secrets(), programtest.Password, "QSDK "), shown.String())
}
