package main

import (
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/vendorapi/simulator"
)

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	admin := programtest.AdminURL(t, s.Run)
	env := []string{"BACKHAUL_ADMIN_ADDR=" + strings.TrimPrefix(admin, "http://")}
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusOK)
	if code, out, stderr := programtest.Once(t, env, "", "healthcheck"); code != exitDone || out != "ready\n" {
		t.Errorf("ready: exit code %d, %q, %s", code, out, stderr)
	}
	// No requests are read: not ready, and alive.
	if err := s.JS.DeleteConsumer(t.Context(), "BACKUP_REQUESTS", "backhaul"); err != nil {
		t.Fatal(err)
	}
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusServiceUnavailable)
	if code, _, stderr := programtest.Once(t, env, "", "healthcheck"); code != exitFailed || !strings.Contains(stderr, "not ready: requests") {
		t.Errorf("not ready: exit code %d, %s", code, stderr)
	}
	if code, out, stderr := programtest.Once(t, env, "", "healthcheck", "--live"); code != exitDone || out != "alive\n" {
		t.Errorf("alive: exit code %d, %q, %s", code, out, stderr)
	}
	s.Run.Kill()
	if code, _, stderr := programtest.Once(t, env, "", "healthcheck", "--live"); code != exitFailed || !strings.Contains(stderr, "no answer") {
		t.Errorf("dead: exit code %d, %s", code, stderr)
	}
}

// The image has no file with roots, and none with time zones. TestImage sees the
// zones at work; for the roots it would need the Internet.
func TestProgramBringsRootsAndZones(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/backhaul")
	cmd.Dir = programtest.InRepository(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, want := range []string{"golang.org/x/crypto/x509roots/fallback/bundle", "time/tzdata"} {
		if !slices.Contains(strings.Fields(string(out)), want) {
			t.Errorf("bin/backhaul does not link %s", want)
		}
	}
}
