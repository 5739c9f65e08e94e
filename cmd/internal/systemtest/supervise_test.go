package systemtest

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

	"backhaul/cmd/internal/archive"
	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// underSystemd is what systemd gives a service: a socket for notifications, and
// credentials, by their names. next is what the service says next.
func underSystemd(t *testing.T, credentials map[string]string) (env []string, next func() string) {
	t.Helper()
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
	for name, text := range credentials {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env = []string{"NOTIFY_SOCKET=" + filepath.Join(dir, "notify"), "WATCHDOG_USEC=20000", "CREDENTIALS_DIRECTORY=" + dir}
	return env, func() string {
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
}

// stopped waits for the message that the service stops.
func stopped(t *testing.T, next func() string) {
	t.Helper()
	for got := next(); got != "STOPPING=1\nSTATUS=finishing what is under way"; got = next() {
		if got != "WATCHDOG=1" {
			t.Fatalf("before it stops it says %q", got)
		}
	}
}

// The service as systemd would run it: with a socket, and with its password as a
// credential.
func TestUnderSystemd(t *testing.T) {
	t.Parallel()
	systemd, next := underSystemd(t, map[string]string{"vendor.password": programtest.Password})
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	broker, url := programtest.NATSServerProcess(t)
	env := slices.DeleteFunc(programtest.ServiceEnv(url, endpoint), func(v string) bool { return strings.HasPrefix(v, "BACKHAUL_VENDOR_PASSWORD=") })
	s := &programtest.Service{Client: programtest.Connect(t, url), Sim: sim, Env: append(env, systemd...)}
	s.StartRun(t)
	if got := next(); got != "READY=1\nSTATUS=reading requests" {
		t.Errorf("the first message is %q", got)
	}
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("systemd-1"))
	s.WaitForOutcomes()
	s.OneJob("systemd-1")

	// A reload with nothing to reload, and a broker that has gone: it lives.
	s.Run.Signal(t, syscall.SIGHUP)
	broker.Kill()
	programtest.WaitForStatus(t, programtest.AdminURL(t, s.Run)+"/readyz", 503)
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("the watchdog hears %q", got)
		}
	}
	s.Run.Signal(t, syscall.SIGTERM)
	stopped(t, next)
	if code := s.Run.ExitCode(); code != programtest.ExitDone {
		t.Errorf("exit code %d", code)
	}
}

// So does the trigger, with the keys of its store as credentials.
func TestTriggerUnderSystemd(t *testing.T) {
	t.Parallel()
	systemd, next := underSystemd(t, map[string]string{"trigger.s3AccessKey": "backhaul", "trigger.s3SecretKey": programtest.StoreKey})
	_, url := programtest.NATSServerProcess(t)
	env := programtest.TriggerEnv(t, url, objectstoretest.Start(t, "scans"), `routes: [{container: scans, clientName: c, subclientName: s, directive: {container: scans, prefix: .backhaul/}}]`)
	env = slices.DeleteFunc(env, func(v string) bool { return strings.Contains(v, "_KEY=") })
	p := programtest.Start(t, append(env, systemd...), "backhaul", "trigger")
	if got := next(); got != "READY=1\nSTATUS=reading notifications" {
		t.Errorf("the first message is %q", got)
	}
	if got := next(); got != "WATCHDOG=1" {
		t.Errorf("the watchdog hears %q", got)
	}
	p.Signal(t, syscall.SIGTERM)
	stopped(t, next)
	if code := p.ExitCode(); code != programtest.ExitDone {
		t.Errorf("exit code %d", code)
	}
}

// So does the archiver, with its key as a credential.
func TestArchiveUnderSystemd(t *testing.T) {
	t.Parallel()
	private, _, err := archive.GenerateKey("backhaul.example.com/events")
	if err != nil {
		t.Fatal(err)
	}
	systemd, next := underSystemd(t, map[string]string{"archive.key": private})
	_, url := programtest.NATSServerProcess(t)
	env := []string{"BACKHAUL_NATS_URL=" + url, "BACKHAUL_ADMIN_ADDR=127.0.0.1:0", "BACKHAUL_ARCHIVE=" + filepath.Join(t.TempDir(), "archive")}
	if code, _, stderr := programtest.Once(t, env, "", "setup"); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	p := programtest.Start(t, append(env, systemd...), "backhaul", "archive")
	if got := next(); got != "READY=1\nSTATUS=keeping events" {
		t.Errorf("the first message is %q", got)
	}
	if got := next(); got != "WATCHDOG=1" {
		t.Errorf("the watchdog hears %q", got)
	}
	p.Signal(t, syscall.SIGTERM)
	stopped(t, next)
	if code := p.ExitCode(); code != programtest.ExitDone {
		t.Errorf("exit code %d", code)
	}
}

// The units are some for systemd, and as hard as they claim to be.
func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	shipped := make(map[string]string)
	for _, name := range []string{"backhaul.service", "backhaul-trigger.service", "backhaul-archive.service"} {
		text, err := os.ReadFile(programtest.InRepository(t, "deploy", "systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		shipped[name] = string(text)
	}
	hardened := func(name string) string {
		_, rest, _ := strings.Cut(shipped[name], "\nDynamicUser=yes\n")
		return rest
	}
	if want := hardened("backhaul.service"); want == "" || hardened("backhaul-trigger.service") != want || hardened("backhaul-archive.service") != want {
		t.Error("the units do not end in the same")
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		programtest.Missing(t, "no systemd-analyze to check the units; on Debian: apt-get install --no-install-recommends systemd")
	}
	for name, text := range shipped {
		// Its program has to be there.
		unit := filepath.Join(t.TempDir(), name)
		text := strings.ReplaceAll(text, "/usr/bin/backhaul", programtest.Binary(t, "backhaul"))
		if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"verify", "--man=no", unit},
			{"security", "--no-pager", "--offline=true", "--threshold=15", unit}, // tenths; 1.2 when this was written
		} {
			out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
			if err != nil || args[0] == "verify" && len(out) > 0 {
				t.Errorf("%s: systemd-analyze %s: %v\n%s", name, args[0], err, out)
			}
		}
	}
}
