package main

import (
	"net/http"
	"strings"
	"testing"

	"backhaul/cmd/internal/doctor"
	"backhaul/cmd/internal/programtest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// Without NATS `status` tells what the replica says of it.
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
