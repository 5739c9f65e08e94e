package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/doctor"
	"backhaul/publisher"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// A ledger that is full between claim and outcome is said wherever an operator looks, and
// the outcome is recorded when there is room.
func TestAFullLedgerIsSaid(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	admin := adminURL(t, s.run)
	setLimit := func(messages int64) {
		stream, err := s.js.Stream(t.Context(), publisher.EventsStream)
		if err != nil {
			t.Fatal(err)
		}
		cfg := stream.CachedInfo().Config
		cfg.MaxMsgs, cfg.Discard = messages, jetstream.DiscardNew
		if _, err := s.js.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	setLimit(1) // room for the claim
	s.publish("backup.request.billing", nil, sampleRequest("full-1"))
	said := func(text string) bool {
		return strings.Contains(text, "stream BACKUP_EVENTS does not take what is written to it") && strings.Contains(text, "10077")
	}
	eventually(t, "the reason in /readyz?verbose", func() bool {
		status, text := probe(t, admin+"/readyz?verbose")
		return status == http.StatusServiceUnavailable && said(text)
	})
	s.run.waitFor(t, "a stream does not take what is written to it")
	eventually(t, "the counter", func() bool {
		return metric(t, s, `backhaul_ledger_writes_total{result="error",step="record"}`) > 0
	})
	env := append(s.env, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://"))
	for command, also := range map[string]string{"status": "is not ready", "check": "is full and refuses messages: 1 of max_msgs 1"} {
		if _, out, stderr := once(t, env, "", command); !said(out) || !strings.Contains(out, also) {
			t.Errorf("%s does not say it:\n%s%s", command, out, stderr)
		}
	}
	setLimit(100)
	s.waitForOutcomes()
	s.oneJob("full-1")
	waitForStatus(t, admin+"/readyz", http.StatusOK)
}

// Without NATS `status` tells what the replica says of it.
func TestStatus_NamesTheReplicasTroubleWithoutNATS(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world()})
	broker, url := natsServerProcess(t)
	s := &service{plainClient: connectPlainly(t, url), sim: sim, env: serviceEnv(url, endpoint)}
	s.startRun(t)
	admin := adminURL(t, s.run)
	broker.kill()
	waitForStatus(t, admin+"/readyz", http.StatusServiceUnavailable)
	code, _, stderr := once(t, append(s.env, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://")), "", "status")
	if code != exitUnreachable || !strings.Contains(stderr, "replica requests: ") || !strings.Contains(stderr, "NATS is not connected") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// What makes a replica unready is an error of `check`, a condition is a warning.
func TestReplica_FindingsHaveTheLevelOfTheCheck(t *testing.T) {
	t.Parallel()
	r := &replica{Answered: true, Checks: []check{
		{Name: "requests", OK: true}, {Name: "ledger writes", Error: "full"}, {Name: "vendor", Condition: true, Error: "away"},
	}}
	got := r.findings()
	if len(got) != 2 || got[0].Level != doctor.Error || got[0].Check != "replica ledger writes" || got[1].Level != doctor.Warning {
		t.Errorf("findings %+v", got)
	}
}
