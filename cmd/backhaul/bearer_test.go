package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// Two replicas share a token pair that comes after them, expires twice, and is
// renewed by one of them each time.
func TestReplicasShareATokenPair(t *testing.T) {
	t.Parallel()
	ahead := new(atomic.Int64)
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world(), Now: now, Conflict: simulator.ConflictIgnore})
	url := natsServer(t)
	file := filepath.Join(t.TempDir(), "pair.json")
	s := &service{plainClient: connectPlainly(t, url), sim: sim, env: append(serviceEnv(url, endpoint),
		"BACKHAUL_VENDOR_AUTH=bearer", "BACKHAUL_VENDOR_TOKEN_PAIR_FILE="+file, "BACKHAUL_LOG_LEVEL=debug", "BACKHAUL_VENDOR_RETRY_BUDGET=1s")}
	s.startRun(t)
	s.publish("backup.request.billing", nil, sampleRequest("pair-0"))
	s.run.waitFor(t, "there is no token pair yet (BACKHAUL_VENDOR_TOKEN_PAIR_FILE)")
	putPair(t, file, `{"accessToken":"simulator-access","refreshToken":"simulator-refresh"}`)
	s.waitForOutcomes()
	s.oneJob("pair-0")

	second := start(t, s.env, "backhaul", "run")
	second.waitFor(t, "reading requests")
	const each = 20
	for round := range 2 {
		ahead.Add(int64(31 * time.Minute))
		for n := range each {
			s.publish("backup.request.billing", nil, sampleRequest(fmt.Sprintf("pair-%d-%d", round, n)))
		}
		s.waitForOutcomes()
		for n := range each {
			s.oneJob(fmt.Sprintf("pair-%d-%d", round, n))
		}
	}
	for _, replica := range []*process{s.run, second} {
		if code := replica.stop(t); code != 0 {
			t.Errorf("exit code %d after SIGTERM, want 0", code)
		}
	}
	a := sim.Account()
	if a.RefreshReuse != 0 || a.TokensIssued != 2 || a.Calls["AccessTokenRenew"] != 2 || a.JobsStarted != 1+2*each {
		t.Errorf("%d old pairs used, %d pairs issued, %d renewals, %d jobs", a.RefreshReuse, a.TokensIssued, a.Calls["AccessTokenRenew"], a.JobsStarted)
	}
	if a.Calls["Login"] != 0 || a.Calls["Logout"] != 0 {
		t.Errorf("%d logins, %d logouts: the pair outlives a replica", a.Calls["Login"], a.Calls["Logout"])
	}

	shown := s.run.output.String() + second.output.String()
	for _, msg := range s.stored(publisher.EventsStream, ">") {
		shown += fmt.Sprint(msg.Headers(), string(msg.Data()))
	}
	// The simulator's tokens are 48 hexadecimal digits.
	if found := regexp.MustCompile(`simulator-access|simulator-refresh|\b[0-9a-f]{48}\b`).FindString(shown); found != "" {
		t.Errorf("a secret (%.9s…) is shown", found)
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 2 {
		t.Errorf("beside the pair and its lock there is something else: %v, %v", left, err)
	}
}

// A file that is no pair is a mistake to be told at once; the service does not
// start.
func TestTokenPairThatIsNone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pair.json")
	env := []string{"BACKHAUL_VENDOR_ENDPOINT=https://vendor.invalid/webconsole/api", "BACKHAUL_VENDOR_AUTH=bearer"}
	putPair(t, file, `{"accessToken":"5ec7e7"}`)
	for _, env := range [][]string{env, append(env, "BACKHAUL_VENDOR_TOKEN_PAIR_FILE="+file)} {
		code, _, stderr := once(t, env, "", "run")
		if code != exitUsage || !strings.Contains(stderr, "BACKHAUL_VENDOR_TOKEN_PAIR_FILE") || strings.Contains(stderr, "5ec7e7") {
			t.Errorf("exit code %d, want %d: %s", code, exitUsage, stderr)
		}
	}
}

func putPair(t *testing.T, file, pair string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(pair), 0o600); err != nil {
		t.Fatal(err)
	}
}
