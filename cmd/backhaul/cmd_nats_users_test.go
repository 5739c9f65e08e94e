package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backhaul/cmd/internal/programtest"
)

// A nats-server starts with what the command writes, and each user is who its seed says.
func TestNATSUsers(t *testing.T) {
	t.Parallel()
	for _, conf := range []string{"permissions.conf", "accounts.conf"} {
		t.Run(conf, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "users")
			args := []string{"nats-users", dir}
			if conf == "accounts.conf" {
				args = append(args, "--accounts")
			}
			code, out, stderr := programtest.Once(t, nil, "", args...)
			if code != exitDone {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			url := serveUsers(t, filepath.Join(dir, conf))
			as := func(user string, args ...string) (int, string, string) {
				t.Helper()
				env := []string{"BACKHAUL_NATS_URL=" + url, "BACKHAUL_NATS_NKEY=" + filepath.Join(dir, user+".nk"), "BACKHAUL_NATS_INBOX_PREFIX=_INBOX_" + user}
				return programtest.Once(t, env, "", args...)
			}
			if code, _, stderr := as("provisioner", "setup"); code != exitDone {
				t.Errorf("setup: exit code %d: %s", code, stderr)
			}
			if code, _, stderr := as("operator", "pause", "--for", "2d", "--reason", "test"); code != exitDone {
				t.Errorf("pause: exit code %d: %s", code, stderr)
			}
			if code, _, stderr := as("reader", "resume", "--reason", "test"); code == exitDone || !strings.Contains(stderr, "permission") {
				t.Errorf("the reader resumed the queue: exit code %d: %s", code, stderr)
			}
			seeds, err := filepath.Glob(filepath.Join(dir, "*.nk"))
			if err != nil || len(seeds) < 14 {
				t.Fatalf("%d seeds, %v", len(seeds), err)
			}
			for _, name := range seeds {
				info, err := os.Stat(name)
				if err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", name, info.Mode(), err)
				}
				seed, err := os.ReadFile(name)
				if err != nil || strings.Contains(out+stderr, strings.TrimSpace(string(seed))) {
					t.Errorf("the seed of %s is printed (%v)", name, err)
				}
			}
			if code, _, stderr := programtest.Once(t, nil, "", args...); code != exitUsage || !strings.Contains(stderr, "is there already") {
				t.Errorf("a second time: exit code %d: %s", code, stderr)
			}
		})
	}
}

func serveUsers(t *testing.T, conf string) (url string) {
	t.Helper()
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	stored := strings.ReplaceAll(string(text), "$NATS_STORE_DIR", `"`+filepath.Join(t.TempDir(), "store")+`"`) + "\nlisten: \"127.0.0.1:-1\"\n"
	if err := os.WriteFile(conf, []byte(stored), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.NoLog = true, true
	srv, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready after 20 s")
	}
	return srv.ClientURL()
}
