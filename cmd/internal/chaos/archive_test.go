package chaos

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

var archiveEvents = flag.Int("archive.events", 3000, "events of TestArchiveOfMany")

// TestArchiveOfMany archives many events, measures it, and lets `backhaul verify` find one change
// of each kind. `make archive-load` runs it with a million.
func TestArchiveOfMany(t *testing.T) {
	t.Parallel()
	n := *archiveEvents - *archiveEvents%3
	url := programtest.NATSServer(t)
	dir := t.TempDir()
	key := filepath.Join(dir, "archive.key")
	place := filepath.Join(dir, "archive")
	env := []string{
		"BACKHAUL_NATS_URL=" + url, "BACKHAUL_ARCHIVE=" + place, "BACKHAUL_ARCHIVE_KEY_FILE=" + key, "BACKHAUL_ARCHIVE_PUBLIC_KEY=" + key + ".pub",
		"BACKHAUL_ADMIN_ADDR=off", "BACKHAUL_ARCHIVE_EVERY=1s",
	}
	for _, args := range [][]string{{"archive", "keygen", "backhaul.example.com/events", "-o", key}, {"setup", "--archive"}} {
		if code, _, stderr := programtest.Once(t, env, "", args...); code != programtest.ExitDone {
			t.Fatal(stderr)
		}
	}
	publishEvents(t, programtest.Connect(t, url).JS, n)

	began := time.Now()
	p := programtest.Start(t, env, "backhaul", "archive")
	end := fmt.Sprintf(" %d\n", n+1) // of the line of the checkpoint about the stream
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(30 * time.Minute)
	for checkpoint := ""; !strings.Contains(checkpoint, end); {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("the archive ends with %q", checkpoint)
		}
		data, err := os.ReadFile(filepath.Join(place, "checkpoint"))
		if checkpoint = string(data); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	cpu := cpuTime(t, p.Cmd.Process.Pid)
	memory := residentMiB(t, p.Cmd.Process.Pid)
	p.Kill()
	files, size := sizeOf(t, place)
	t.Logf("archived %d events in %.1f s, %.0f/s, CPU %.1f s, %.0f MiB resident; %d files, %.0f bytes for an event", n, took.Seconds(), float64(n)/took.Seconds(), cpu.Seconds(), float64(memory), files, float64(size)/float64(n))

	verify(t, env, "as it was archived", programtest.ExitDone, "verified in", fmt.Sprintf("event %d is the next one", n+1))
	at := int64(n/2) / 256 // a bundle in the middle
	bundle := filepath.Join(place, "tile", "entries", nameOf(at))
	sequence := at*256 + 7
	for _, change := range []struct {
		name  string
		leafs func([][]byte) [][]byte
		says  []string
	}{
		{"a byte altered", func(all [][]byte) [][]byte { all[7][len(all[7])-3] ^= 1; return all }, []string{fmt.Sprintf("event %d,", sequence), "was changed"}},
		{"an event removed", func(all [][]byte) [][]byte { return append(all[:7:7], all[8:]...) }, []string{fmt.Sprintf("leaf %d in", sequence), "was removed", fmt.Sprintf("event %d is missing", sequence)}},
		{"two events swapped", func(all [][]byte) [][]byte { all[7], all[9] = all[9], all[7]; return all }, []string{fmt.Sprintf("was swapped with leaf %d", sequence+2)}},
	} {
		restore := rewrite(t, bundle, change.leafs)
		verify(t, env, change.name, programtest.ExitFailed, change.says...)
		restore()
	}
	checkpoint := filepath.Join(place, "checkpoint")
	data, err := os.ReadFile(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	forge(t, checkpoint, bytes.Replace(data, []byte(end), fmt.Appendf(nil, " %d\n", n), 1))
	code, out, stderr := programtest.Once(t, env, "", "verify")
	if code != programtest.ExitFailed || !strings.Contains(stderr, "not signed with the key") {
		t.Errorf("a forged checkpoint: %d, %s%s", code, out, stderr)
	}
	forge(t, checkpoint, data)

	began = time.Now()
	proof := filepath.Join(dir, "proof.json")
	if code, out, stderr := programtest.Once(t, env, "", "prove", fmt.Sprintf("r-%d", n/6), "-o", proof); code != programtest.ExitDone {
		t.Fatal(out, stderr)
	}
	t.Logf("proved a request in %.1f s", time.Since(began).Seconds())
	if code, out, stderr := programtest.Once(t, env, "", "verify", proof); code != programtest.ExitDone || !strings.Contains(out, "proven: these 3 events") {
		t.Error(out, stderr)
	}
}

// verify runs `backhaul verify`, logs what it took, and checks what it says.
func verify(t *testing.T, env []string, what string, code int, says ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), programtest.Binary(t, "backhaul"), "verify")
	cmd.Env = append(programtest.CleanEnv(), env...)
	began := time.Now()
	out, _ := cmd.CombinedOutput()
	usage := cmd.ProcessState
	t.Logf("%s: verified in %.1f s, CPU %.1f s: %.600s", what, time.Since(began).Seconds(), (usage.UserTime() + usage.SystemTime()).Seconds(), out)
	if usage.ExitCode() != code {
		t.Errorf("%s: exit code %d, want %d", what, usage.ExitCode(), code)
	}
	for _, text := range says {
		if !strings.Contains(string(out), text) {
			t.Errorf("%s: nothing says %q", what, text)
		}
	}
}

// publishEvents writes events of requests, three of each, as large as they are in practice.
func publishEvents(t *testing.T, js jetstream.JetStream, n int) {
	t.Helper()
	now := time.Now().UTC()
	for i := range n / 3 {
		id := fmt.Sprintf("r-%d", i)
		key, job := publisher.NewKey("billing", id), schemas.JobRef{JobID: fmt.Sprint(1_000_000 + i), TaskID: "7"}
		names := schemas.Naming{
			RequestID: id, Source: "billing", ClientName: "s-adhoc-object-storage", InstanceName: "s-adhoc-object-storage", BackupsetName: "defaultBackupSet",
			SubclientName: "stestgroup", StoragePolicyName: "default-plan", BackupLevel: "INCREMENTAL", Labels: map[string]string{"ticket": "CHG-17"},
		}
		message := schemas.Message{RequestedAt: now, PayloadHash: schemas.HashBytes([]byte(id))}
		request, err := schemas.DecodeRequest(nil, programtest.SampleRequest(id))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []schemas.Event{
			&schemas.JobSubmitting{RequestID: id, Source: "billing", Request: request.Request, Message: message, Claim: schemas.Claim{Owner: "replica-1/17", Nonce: "9f86d081884c7d65", Epoch: 1, LeaseMillis: 45_000}, SubmittingAt: now},
			&schemas.JobStarted{Naming: names, Message: message, JobID: job.JobID, JobIDs: []string{job.JobID}, TaskID: "7", Attempts: 1, StartedAt: now},
			&schemas.JobFinished{Naming: names, Message: message, JobRef: job, Outcome: schemas.OutcomeCompleted, VendorStatus: "Completed", VendorBackupLevel: "Incremental"},
		} {
			subject := key.Subject(e.Kind())
			if j, ok := e.(schemas.JobEvent); ok {
				subject = key.JobSubject(e.Kind(), j.Job())
			}
			ce := schemas.NewCloudEvent(publisher.EventID(key, e), e, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
			if _, err := js.PublishMsgAsync(&nats.Msg{Subject: subject, Header: nats.Header(ce.BinaryHeader()), Data: ce.Data}, jetstream.WithStallWait(time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-js.PublishAsyncComplete()
	waittest.Eventually(t, "stream of all events", func() bool {
		events, err := js.Stream(t.Context(), publisher.EventsStream)
		return err == nil && events.CachedInfo().State.LastSeq == uint64(n)
	})
}

// nameOf returns the name of a bundle below tile/entries.
func nameOf(index int64) string {
	if index < 1000 {
		return fmt.Sprintf("%03d", index)
	}
	return fmt.Sprintf("x%03d/%03d", index/1000, index%1000)
}

// rewrite changes the leaves of a bundle, and returns how to undo it.
func rewrite(t *testing.T, bundle string, change func([][]byte) [][]byte) (restore func()) {
	t.Helper()
	data, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for rest := data; len(rest) > 0; {
		end := 2 + int(binary.BigEndian.Uint16(rest))
		all, rest = append(all, bytes.Clone(rest[2:end])), rest[end:]
	}
	var changed []byte
	for _, leaf := range change(all) {
		changed = append(binary.BigEndian.AppendUint16(changed, uint16(len(leaf))), leaf...) //nolint:gosec // at most 64 KiB
	}
	forge(t, bundle, changed)
	return func() { forge(t, bundle, data) }
}

func forge(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func sizeOf(t *testing.T, dir string) (files int, bytes int64) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files, bytes = files+1, bytes+info.Size()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files, bytes
}
