package chaos

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"backhaul/schemas"
)

var followLoad = struct {
	jobs   *int
	length *time.Duration
}{
	jobs:   flag.Int("followload.jobs", 0, "jobs of TestFollowLoad, 0 skips it"),
	length: flag.Duration("followload.length", 4*time.Minute, "how long it measures"),
}

// TestFollowLoad measures what it costs to follow many jobs at the default settings but an
// interval of 60 s: calls at the vendor, CPU and memory of the replica, and the time from an end
// to its event. A fifth of the jobs end while it measures. `make follow-load` runs it.
func TestFollowLoad(t *testing.T) {
	if *followLoad.jobs == 0 {
		t.Skip("measures for minutes: make follow-load")
	}
	plan := newChaosPlan(chaosSettings{
		Requests: *followLoad.jobs, Rate: 200, Replicas: 1, Seed: 1,
		Env: []string{"BACKHAUL_FOLLOW_INTERVAL_MIN=60s", "BACKHAUL_VENDOR_TIMEOUT=30s", "BACKHAUL_VENDOR_LOOK_AFTER=30s", "BACKHAUL_LOG_LEVEL=warn"},
	})
	lives := loadLives(plan.length, *followLoad.length)
	ctx, cancel := context.WithTimeout(t.Context(), plan.length+*followLoad.length+10*time.Minute)
	defer cancel()
	run := startChaos(t, plan)
	run.vendor.SetLives(rulesOf(lives))
	run.publishAndInflict(ctx)
	run.drain(ctx, 5*time.Minute)

	pid, _ := run.replicas[0].pid()
	before, cpu, began := run.vendor.Account().Calls, cpuTime(t, pid), time.Now()
	serverPID, _ := run.broker.pid()
	serverCPU := cpuTime(t, serverPID)
	select {
	case <-time.After(*followLoad.length):
	case <-ctx.Done():
		t.Fatal(context.Cause(ctx))
	}
	after, hours := run.vendor.Account().Calls, time.Since(began).Hours()
	result := map[string]any{
		"jobs": *followLoad.jobs, "minutes": hours * 60, "residentMiB": residentMiB(t, pid),
		"cpuPercent": 100 * (cpuTime(t, pid) - cpu).Hours() / hours, "serverCPUPercent": 100 * (cpuTime(t, serverPID) - serverCPU).Hours() / hours,
	}
	perHour := make(map[string]float64)
	for call, n := range after {
		if n > before[call] {
			perHour[call] = float64(n-before[call]) / hours
		}
	}
	result["callsPerHour"] = perHour
	run.stopReplicas()
	e := followEvidence{Lives: lives, For: time.Hour * 168}
	e.chaosEvidence = run.collect(ctx)
	result["figures"] = newFollowFigures(e)
	line, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("followed jobs under load: %s", line)
}

// loadLives are lives of which every fifth ends in the time of the measurement, and the others
// do not end.
func loadLives(start, length time.Duration) map[string]*vendorLife {
	lives := make(map[string]*vendorLife)
	for i := range chaosGroups {
		l := vendorLife{name: "runs", text: "running:forever"}
		if i%5 == 0 {
			ends := start + length*time.Duration(i)/chaosGroups
			l = vendorLife{name: "ends", text: fmt.Sprintf("running:%s,completed", ends.Round(time.Millisecond)), outcome: schemas.OutcomeCompleted}
		}
		lives[fmt.Sprintf("load-%d", i)] = parseVendorLives([]vendorLife{l})[0]
	}
	return lives
}

func residentMiB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := resident.FindSubmatch(status)
	if found == nil {
		t.Fatal("no VmRSS")
	}
	kB, _ := strconv.Atoi(string(found[1]))
	return kB / 1024
}
