package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// The service as systemd would run it: told of a socket, with its password as a
// credential.
func TestUnderSystemd(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "sd") //nolint:usetesting // a socket's name must be shorter than those of t.TempDir may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	next := func() string {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 1024)
		n, err := socket.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}
	if err := os.WriteFile(filepath.Join(dir, "vendor.password"), []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world()})
	broker, url := natsServerProcess(t)
	env := slices.DeleteFunc(serviceEnv(url, endpoint), func(v string) bool { return strings.HasPrefix(v, "BACKHAUL_VENDOR_PASSWORD=") })
	env = append(env, "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "WATCHDOG_USEC=20000", "CREDENTIALS_DIRECTORY="+dir)
	s := &service{plainClient: connectPlainly(t, url), sim: sim, env: env}
	s.startRun(t)
	if got := next(); got != "READY=1\nSTATUS=reading requests" {
		t.Errorf("the first message is %q", got)
	}
	s.publish("backup.request.billing", nil, sampleRequest("systemd-1"))
	s.waitForOutcomes()
	s.oneJob("systemd-1")

	// A reload with nothing to reload, and a broker that has gone: it lives.
	s.run.signal(t, syscall.SIGHUP)
	broker.kill()
	waitForStatus(t, adminURL(t, s.run)+"/readyz", 503)
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("the watchdog hears %q", got)
		}
	}
	s.run.signal(t, syscall.SIGTERM)
	for got := next(); got != "STOPPING=1\nSTATUS=finishing what is under way"; got = next() {
		if got != "WATCHDOG=1" {
			t.Fatalf("before it stops it says %q", got)
		}
	}
	if code := s.run.exitCode(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// The unit is one for systemd, and as hard as it claims to be.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze here, so the unit is not checked")
	}
	shipped, err := os.ReadFile("../../deploy/systemd/backhaul.service")
	if err != nil {
		t.Fatal(err)
	}
	// Its program has to be there.
	unit := filepath.Join(t.TempDir(), "backhaul.service")
	text := strings.ReplaceAll(string(shipped), "/usr/bin/backhaul", binary(t, "backhaul"))
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"verify", "--man=no", unit},
		{"security", "--no-pager", "--offline=true", "--threshold=15", unit}, // tenths; 1.2 when this was written
	} {
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}
