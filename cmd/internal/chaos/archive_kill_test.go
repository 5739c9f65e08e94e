package chaos

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher/natstest/waittest"
)

// archiveOf returns the settings of an archive at a place that is read from this server.
func archiveOf(t *testing.T, url, place string) []string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "archive.key")
	if code, _, stderr := programtest.Once(t, nil, "", "archive", "keygen", "backhaul.example.com/events", "-o", key); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	return []string{
		"BACKHAUL_NATS_URL=" + url, "BACKHAUL_ARCHIVE=" + place, "BACKHAUL_ARCHIVE_KEY_FILE=" + key, "BACKHAUL_ARCHIVE_PUBLIC_KEY=" + key + ".pub",
		"BACKHAUL_ARCHIVE_EVERY=200ms", "BACKHAUL_ADMIN_ADDR=127.0.0.1:0",
	}
}

// TestArchiveKilledAtEveryWrite kills the archiver (SIGKILL) at each of its writes to a bucket, before
// the store has the file and after it, unanswered. Each time the next process makes the archive whole.
func TestArchiveKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	const events = 300
	url := programtest.NATSServer(t)
	env := archiveOf(t, url, "s3://evidence/backhaul")
	if code, _, stderr := programtest.Once(t, env, "", "setup", "--archive"); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	c := programtest.Connect(t, url)
	publishEvents(t, c.JS, events)
	for _, after := range []bool{false, true} {
		kills := 0
		for n, killed := int64(1), true; killed; n++ {
			store := objectstoretest.Start(t, "evidence")
			env := append([]string{
				"BACKHAUL_ARCHIVE_S3_ENDPOINT=" + store.URL, "BACKHAUL_ARCHIVE_S3_ACCESS_KEY=AKIDEXAMPLE", "BACKHAUL_ARCHIVE_S3_SECRET_KEY=" + programtest.StoreKey,
			}, env...)
			var writes atomic.Int64
			started := make(chan *programtest.Process, 1)
			dead := make(chan struct{})
			kill := func(r *http.Request) bool {
				if r.Method != http.MethodPut || writes.Add(1) != n {
					return false
				}
				p := <-started
				_ = p.Cmd.Process.Signal(syscall.SIGKILL)
				close(dead)
				return true
			}
			if after {
				store.LoseAnswers(kill)
			} else {
				store.Fail(func(r *http.Request) int {
					if kill(r) {
						return http.StatusServiceUnavailable
					}
					return 0
				})
			}
			p := programtest.Start(t, env, "backhaul", "archive")
			started <- p
			waittest.Eventually(t, "end of the archiver or of its work", func() bool {
				_, report, _ := programtest.Once(t, env, "", "verify")
				killed = writes.Load() >= n
				return killed || strings.Contains(report, "verified in")
			})
			if killed {
				<-dead
			}
			store.Fail(nil)
			store.LoseAnswers(nil)
			p.Kill()
			if killed {
				kills++
				next := programtest.Start(t, env, "backhaul", "archive")
				wholeArchive(t, c, env, events)
				next.Kill()
			}
		}
		if kills < 6 {
			t.Errorf("it was killed %d times, and writes six files at least", kills)
		}
	}
}

// wholeArchive waits until the archive has everything, and checks that it has it once.
func wholeArchive(t *testing.T, c *programtest.Client, env []string, events int) {
	t.Helper()
	report := archivedAll(t, c.JS, env)
	if !strings.Contains(report, fmt.Sprintf("events   %d,", events)) || !strings.Contains(report, "verified in") || strings.Contains(report, "gap") {
		t.Errorf("the report is\n%s", report)
	}
}

// TestArchiveOnAFullDisk fills the file system of the archive: events stay in their stream, readiness
// says why, and when there is space again nothing is missing and nothing is there twice. The file
// system is a small one in memory, in a namespace of the archiver's own.
func TestArchiveOnAFullDisk(t *testing.T) {
	t.Parallel()
	url := programtest.NATSServer(t)
	disk := t.TempDir()
	env := archiveOf(t, url, filepath.Join(disk, "archive"))
	if code, _, stderr := programtest.Once(t, env, "", "setup", "--archive"); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	c := programtest.Connect(t, url)
	publishEvents(t, c.JS, 30)
	const script = `mount -t tmpfs -o size=2m tmpfs "$1" && head -c 1950k /dev/zero > "$1/filler" && shift && exec "$@"`
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script, "sh", disk, programtest.Binary(t, "backhaul"), "archive")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--mount", "true").Run(); err != nil {
		programtest.Missing(t, fmt.Sprintf("no small file system without user namespaces (unshare: %v); on Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0", err))
	}
	p := programtest.StartCommand(t, cmd, env)
	p.WaitFor(t, "keeping events")
	admin := programtest.AdminURL(t, p)
	inside := fmt.Sprintf("/proc/%d/root%s", p.Cmd.Process.Pid, disk)
	reader := append([]string{"BACKHAUL_ARCHIVE=" + filepath.Join(inside, "archive")}, env[2:]...)

	archivedAll(t, c.JS, reader)
	for i := range 300 {
		c.Publish(fmt.Sprintf("backup.event.operator.full-%d", i), nil, bytes.Repeat([]byte("x"), 1000))
	}
	waittest.Eventually(t, "full disk", func() bool {
		_, text := programtest.Probe(t, admin+"/readyz?verbose")
		return strings.Contains(text, "no space left on device")
	})
	if text := p.Output.String(); !strings.Contains(text, "cannot archive events; they stay in their stream") {
		t.Errorf("the log is\n%s", text)
	}
	if err := os.Remove(filepath.Join(inside, "filler")); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "readiness", func() bool { status, _ := programtest.Probe(t, admin+"/readyz"); return status == http.StatusOK })
	report := archivedAll(t, c.JS, reader)
	if !strings.Contains(report, "events   330,") || strings.Contains(report, "gap") {
		t.Errorf("the report is\n%s", report)
	}
}
