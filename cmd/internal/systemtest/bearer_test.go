package systemtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
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
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World(), Now: now, Conflict: simulator.ConflictIgnore})
	url := programtest.NATSServer(t)
	file := filepath.Join(t.TempDir(), "pair.json")
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: append(programtest.ServiceEnv(url, endpoint),
		"BACKHAUL_VENDOR_AUTH=bearer", "BACKHAUL_VENDOR_TOKEN_PAIR_FILE="+file, "BACKHAUL_LOG_LEVEL=debug", "BACKHAUL_VENDOR_RETRY_BUDGET=1s")}
	s.StartRun(t)
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("pair-0"))
	s.Run.WaitFor(t, "the token pair file does not exist yet (BACKHAUL_VENDOR_TOKEN_PAIR_FILE)")
	putPair(t, file, `{"accessToken":"simulator-access","refreshToken":"simulator-refresh"}`)
	s.WaitForOutcomes()
	s.OneJob("pair-0")

	second := programtest.Start(t, s.Env, "backhaul", "run")
	second.WaitFor(t, "reading requests")
	const each = 20
	for round := range 2 {
		ahead.Add(int64(31 * time.Minute))
		for n := range each {
			s.Publish("backup.request.billing", nil, programtest.SampleRequest(fmt.Sprintf("pair-%d-%d", round, n)))
		}
		s.WaitForOutcomes()
		for n := range each {
			s.OneJob(fmt.Sprintf("pair-%d-%d", round, n))
		}
	}
	for _, replica := range []*programtest.Process{s.Run, second} {
		if code := replica.Stop(t); code != 0 {
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

	shown := s.Run.Output.String() + second.Output.String()
	for _, msg := range s.Stored(publisher.EventsStream, ">") {
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

// A file without a token pair is a mistake that is reported at once; the service does not
// start.
func TestTokenPairThatIsNone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pair.json")
	env := []string{"BACKHAUL_VENDOR_ENDPOINT=https://vendor.invalid/webconsole/api", "BACKHAUL_VENDOR_AUTH=bearer"}
	putPair(t, file, `{"accessToken":"5ec7e7"}`)
	for _, env := range [][]string{env, append(env, "BACKHAUL_VENDOR_TOKEN_PAIR_FILE="+file)} {
		code, _, stderr := programtest.Once(t, env, "", "run")
		if code != programtest.ExitUsage || !strings.Contains(stderr, "BACKHAUL_VENDOR_TOKEN_PAIR_FILE") || strings.Contains(stderr, "5ec7e7") {
			t.Errorf("exit code %d, want %d: %s", code, programtest.ExitUsage, stderr)
		}
	}
}

func putPair(t *testing.T, file, pair string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(pair), 0o600); err != nil {
		t.Fatal(err)
	}
}
