package systemtest

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// A ledger that is full between claim and outcome is reported in every view of an operator, and
// the outcome is recorded when there is space.
func TestAFullLedgerIsSaid(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	admin := programtest.AdminURL(t, s.Run)
	setLimit := func(messages int64) {
		stream := natstest.Stream(t, s.JS, publisher.EventsStream)
		cfg := stream.CachedInfo().Config
		cfg.MaxMsgs, cfg.Discard = messages, jetstream.DiscardNew
		if _, err := s.JS.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	setLimit(1) // space for the claim
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("full-1"))
	said := func(text string) bool {
		return strings.Contains(text, "stream BACKUP_EVENTS does not take what is written to it") && strings.Contains(text, "10077")
	}
	waittest.Eventually(t, "the reason in /readyz?verbose", func() bool {
		status, text := programtest.Probe(t, admin+"/readyz?verbose")
		return status == http.StatusServiceUnavailable && said(text)
	})
	s.Run.WaitFor(t, "a stream does not take what is written to it")
	waittest.Eventually(t, "the counter", func() bool {
		return programtest.Metric(t, s, `backhaul_ledger_writes_total{result="error",step="record"}`) > 0
	})
	env := append(s.Env, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://"))
	for command, also := range map[string]string{"status": "is not ready", "check": "is full and refuses messages: 1 of max_msgs 1"} {
		if _, out, stderr := programtest.Once(t, env, "", command); !said(out) || !strings.Contains(out, also) {
			t.Errorf("%s does not say it:\n%s%s", command, out, stderr)
		}
	}
	setLimit(100)
	s.WaitForOutcomes()
	s.OneJob("full-1")
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusOK)
}

// While the server's storage is used up, an idle replica says so and names the way out, and says
// soon that it is over.
func TestUsedUpStorageIsSaidByAnIdleReplica(t *testing.T) {
	t.Parallel()
	address := programtest.FreeAddress(t)
	conf := filepath.Join(t.TempDir(), "nats.conf")
	programtest.PutFile(t, conf, fmt.Sprintf("listen: %q\njetstream { store_dir: %q, max_file_store: 1MB }\n", address, t.TempDir()))
	programtest.Start(t, nil, "nats-server", "-c", conf).WaitFor(t, "Server is ready")
	url := "nats://" + address
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: programtest.ServiceEnv(url, endpoint)}
	s.StartRun(t)
	admin := programtest.AdminURL(t, s.Run)
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusOK)
	if _, err := s.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FILL", Subjects: []string{"fill"}}); err != nil {
		t.Fatal(err)
	}
	for size := 100_000; size > 10; size /= 10 {
		for err := error(nil); err == nil; { // until it is full
			_, err = s.JS.Publish(t.Context(), "fill", make([]byte, size))
		}
	}
	const says = "stream BACKUP_EVENTS does not take what is written to it: the storage of the server or account is used up: raise max_file_store or the account's limit"
	waittest.Eventually(t, "the reason in /readyz?verbose", func() bool { // it is asked every 30 s
		status, text := programtest.Probe(t, admin+"/readyz?verbose")
		return status == http.StatusServiceUnavailable && strings.Contains(text, says)
	})
	env := append(s.Env, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://"))
	for _, command := range []string{"status", "check"} {
		if _, out, stderr := programtest.Once(t, env, "", command); !strings.Contains(out, says) || strings.Contains(out, "backhaul setup") {
			t.Errorf("%s does not say it, or names another way out:\n%s%s", command, out, stderr)
		}
	}
	if _, text := programtest.Probe(t, admin+"/"); !strings.Contains(text, "<b>ledger writes</b>: stream BACKUP_EVENTS does not take") {
		t.Errorf("the page does not say it:\n%s", text)
	}
	if err := s.JS.DeleteStream(t.Context(), "FILL"); err != nil {
		t.Fatal(err)
	}
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusOK)
}
