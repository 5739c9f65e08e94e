package main

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backhaul/vendorapi/simulator"
)

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	admin := adminURL(t, s.run)
	env := []string{"BACKHAUL_ADMIN_ADDR=" + strings.TrimPrefix(admin, "http://")}
	waitForStatus(t, admin+"/readyz", http.StatusOK)
	if code, out, stderr := once(t, env, "", "healthcheck"); code != exitDone || out != "ready\n" {
		t.Errorf("ready: exit code %d, %q, %s", code, out, stderr)
	}
	// No requests are read: not ready, and alive.
	if err := s.js.DeleteConsumer(t.Context(), "BACKUP_REQUESTS", "backhaul"); err != nil {
		t.Fatal(err)
	}
	waitForStatus(t, admin+"/readyz", http.StatusServiceUnavailable)
	if code, _, stderr := once(t, env, "", "healthcheck"); code != exitFailed || !strings.Contains(stderr, "not ready: requests") {
		t.Errorf("not ready: exit code %d, %s", code, stderr)
	}
	if code, out, stderr := once(t, env, "", "healthcheck", "--live"); code != exitDone || out != "alive\n" {
		t.Errorf("alive: exit code %d, %q, %s", code, out, stderr)
	}
	s.run.kill()
	if code, _, stderr := once(t, env, "", "healthcheck", "--live"); code != exitFailed || !strings.Contains(stderr, "no answer") {
		t.Errorf("dead: exit code %d, %s", code, stderr)
	}
}

// The image has no file with roots, and none with time zones. TestImage sees the
// zones at work; for the roots it would need the Internet.
func TestProgramBringsRootsAndZones(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/backhaul")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, want := range []string{"golang.org/x/crypto/x509roots/fallback", "time/tzdata"} {
		if !slices.Contains(strings.Fields(string(out)), want) {
			t.Errorf("bin/backhaul does not link %s", want)
		}
	}
}
