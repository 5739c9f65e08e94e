package systemtest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
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
