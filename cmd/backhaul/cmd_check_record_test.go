package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
)

// What `check --record` writes has no secrets, and is what `simulator --recording` reads.
func TestCheckCanary_record(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{ListedAfter: 1200 * time.Millisecond, JobDuration: 100 * time.Millisecond})
	file := filepath.Join(t.TempDir(), "tenant.jsonl")
	check := []string{"check", "--canary", "s-adhoc-object-storage/stestgroup", "--yes", "--record", file}
	code, out, stderr := programtest.Once(t, s.Env, "", check...)
	if code != exitDone || !strings.Contains(stderr, "lines: read it before you pass it on") {
		t.Fatalf("exit code %d: %s%s", code, out, stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	secretstest.NotShown(t, append(s.Sim.Secrets(), "backhaul-canary:", "stestgroup", "127.0.0.1"), text)
	secretstest.NotShown(t, s.Sim.Secrets(), out, stderr)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	refused := func(says string, args ...string) {
		t.Helper()
		if code, out, stderr := programtest.Once(t, s.Env, "", args...); code != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%v: exit code %d, want %d with %q: %s%s", args, code, exitUsage, says, out, stderr)
		}
	}
	refused("file exists", check...)
	unused := filepath.Join(t.TempDir(), "unused.jsonl")
	if code, out, stderr := programtest.Once(t, s.Env, "", "check", "--canary", "s-adhoc-object-storage/stestgroup", "--record", unused); code == exitDone {
		t.Errorf("without --yes and a terminal: %s%s", out, stderr)
	}
	if _, err := os.Stat(unused); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the recording of no canary is left: %v", err)
	}
	refused("--record needs --canary", "check", "--record", file)
	refused("--visible-after cannot be given with --recording", "simulator", "--recording", file, "--visible-after", "1s")
	if jobs := s.Sim.Account().JobsStarted; jobs != 1 {
		t.Errorf("%d jobs", jobs)
	}

	p := programtest.Start(t, nil, "backhaul", "simulator", "--recording", file, "--listen", "127.0.0.1:0")
	p.WaitFor(t, "simulating Commvault")
	if code := p.Stop(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, []byte(strings.Replace(string(text), `"method":"`, `"method":"X`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(`line 2: answer.method "XGET"`, "simulator", "--recording", bad)
	refused("no such file", "simulator", "--recording", bad+"x")
}

// A user is called by the name with and without the domain.
func TestUserNames(t *testing.T) {
	t.Parallel()
	for user, want := range map[string]string{`EXAMPLE\ann`: `EXAMPLE\ann ann ann`, "ann@example.com": "ann@example.com  ann", "ann": "ann  ann", "": "  "} {
		if got := strings.Join(userNames(user), " "); got != want {
			t.Errorf("%q: %q, want %q", user, got, want)
		}
	}
}
