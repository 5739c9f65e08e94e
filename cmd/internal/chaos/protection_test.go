package chaos

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/programtest"
	"backhaul/cmd/internal/protection"
	"backhaul/cmd/internal/protection/watch"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

var protectionLoad = struct{ events, groups *int }{
	events: flag.Int("protection.events", 3000, "events of TestProtectionLoad, three for each request"),
	groups: flag.Int("protection.groups", 20, "content groups of TestProtectionLoad"),
}

// TestProtectionLoad measures what the first view of many content groups costs, `backhaul
// protection` as a process of its own, before a replica has digests of the events and with them; how
// long a replica needs until it knows the groups; and a further view of the same events in memory.
// `make protection-load` runs it with a million events of 2,000 groups.
func TestProtectionLoad(t *testing.T) {
	server, url := programtest.NATSServerProcess(t)
	c := programtest.Connect(t, url)
	natstest.Provision(t, c.NC)
	requests := *protectionLoad.events / 3
	writeHistory(t, c, requests)
	report := func(what string, result map[string]any) {
		line, err := json.Marshal(result)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s, %d events of %d groups: %s", what, 3*requests, *protectionLoad.groups, line)
	}

	report("backhaul protection without digests", firstView(t, server, url))
	for _, what := range []string{"a replica that writes digests", "a replica that reads digests"} {
		report(what, watchOnce(t, server, c))
	}
	report("backhaul protection with digests", firstView(t, server, url))

	fold, now, err := protection.Load(t.Context(), c.JS)
	if err != nil {
		t.Fatal(err)
	}
	if groups, known := fold.Size(); groups != *protectionLoad.groups || known != requests {
		t.Errorf("the fold has %d groups and %d requests, want %d and %d", groups, known, *protectionLoad.groups, requests)
	}
	for _, g := range fold.Groups() {
		if s, ok := fold.Stand(g, protection.Objective{RPO: time.Hour}, true, now); !ok || s.Status != protection.Covered {
			t.Errorf("%s is %s", g, s.Status)
		}
	}
}

// firstView runs `backhaul protection` and returns what it costs.
func firstView(t *testing.T, server *programtest.Process, url string) map[string]any {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), programtest.Binary(t, "backhaul"), "protection", "--output", "json")
	cmd.Env = append(programtest.CleanEnv(), "BACKHAUL_NATS_URL="+url)
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	serverCPU, began := cpuTime(t, server.Cmd.Process.Pid), time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The kernel counts the memory of the process that started it into the rusage of a process.
	peak := make(chan int)
	go func() { peak <- peakMiB(cmd.Process.Pid) }()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"seconds":          time.Since(began).Seconds(),
		"cpuSeconds":       (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(),
		"serverCPUSeconds": (cpuTime(t, server.Cmd.Process.Pid) - serverCPU).Seconds(),
		"residentMiB":      <-peak,
	}
}

// peakMiB returns the most memory that was resident in a process until it ended.
func peakMiB(pid int) (most int) {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, after, found := strings.Cut(string(status), "VmHWM:")
		if err != nil || !found { // it has ended
			return most
		}
		var kib int
		if _, err := fmt.Sscan(after, &kib); err == nil {
			most = max(most, kib/1024)
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // samples another process
	}
}

// watchOnce watches the groups as a replica does, until it knows them, and looks at them twice.
func watchOnce(t *testing.T, server *programtest.Process, c *programtest.Client) map[string]any {
	t.Helper()
	w, err := watch.New(c.NC, watch.Config{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	defer running.Wait()
	defer cancel()
	cpu, serverCPU, began := cpuTime(t, os.Getpid()), cpuTime(t, server.Cmd.Process.Pid), time.Now()
	w.Want()
	w.Caught(ctx)
	result := map[string]any{
		"seconds":          time.Since(began).Seconds(),
		"cpuSeconds":       (cpuTime(t, os.Getpid()) - cpu).Seconds(),
		"serverCPUSeconds": (cpuTime(t, server.Cmd.Process.Pid) - serverCPU).Seconds(),
	}
	for _, view := range []string{"firstViewMillis", "nextViewMillis"} {
		began := time.Now()
		if n := len(w.Look().Groups); n != *protectionLoad.groups {
			t.Errorf("a replica shows %d groups", n)
		}
		result[view] = float64(time.Since(began).Microseconds()) / 1000
	}
	return result
}

// writeHistory writes requests of the trigger whose jobs have completed, three events for each, in
// turn for each content group. The last of each group covers all of its changes.
func writeHistory(t *testing.T, c *programtest.Client, requests int) {
	t.Helper()
	written := 0
	write := func(key publisher.Key, e schemas.Event) {
		event := schemas.NewCloudEvent(publisher.EventID(key, e), e, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		msg := &nats.Msg{Subject: key.Subject(e.Kind()), Header: nats.Header(event.BinaryHeader()), Data: event.Data}
		if job, ok := e.(schemas.JobEvent); ok {
			msg.Subject = key.JobSubject(e.Kind(), job.Job())
		}
		if written++; written%1000 == 0 || written == 3*requests { // waits for the server
			if _, err := c.JS.PublishMsg(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err := c.NC.PublishMsg(msg); err != nil {
			t.Fatal(err)
		}
	}
	files, size, empty := int64(12), int64(1<<20), false
	for i := range requests {
		since := time.Now().Add(-time.Hour).UTC()
		req := schemas.BackupRequest{
			RequestID: fmt.Sprintf("changes-%032x", i), ClientName: "s-adhoc-object-storage", InstanceName: "s-adhoc-object-storage",
			BackupsetName: schemas.DefaultBackupsetName, SubclientName: fmt.Sprint("group-", i%*protectionLoad.groups), StoragePolicyName: "default-plan",
			AppName: schemas.DefaultAppName, BackupLevel: schemas.DefaultBackupLevel, Labels: map[string]string{
				"trigger.changes": "17", "trigger.first": fmt.Sprint(17 * i), "trigger.last": fmt.Sprint(17*i + 16),
				"trigger.since": since.Format(time.RFC3339Nano), "trigger.until": since.Add(time.Second).Format(time.RFC3339Nano),
			},
		}
		key, names := publisher.NewKey("storage", req.RequestID), req.Naming("storage")
		about := schemas.Message{RequestedAt: since.Add(time.Minute), PayloadHash: schemas.HashBytes([]byte(req.RequestID))}
		job := fmt.Sprint(1_000_000 + i)
		write(key, &schemas.JobSubmitting{RequestID: req.RequestID, Source: "storage", Request: req, Message: about,
			Claim: schemas.Claim{Owner: "backhaul-0/1", Nonce: "ABCDEFGHIJKLMNOP", Epoch: 1, LeaseMillis: 45_000}, SubmittingAt: since})
		write(key, &schemas.JobStarted{Naming: names, Message: about, JobID: job, JobIDs: []string{job}, TaskID: "77", Attempts: 1, StartedAt: since})
		write(key, &schemas.JobFinished{Naming: names, Message: about, JobRef: schemas.JobRef{JobID: job, TaskID: "77"}, Outcome: schemas.OutcomeCompleted,
			VendorStatus: "Completed", VendorBackupLevel: "Incremental", JobSizes: schemas.JobSizes{Files: &files, Bytes: &size, MediaBytes: &size, Empty: &empty},
			JobTimes: schemas.JobTimes{StartedAt: since, EndedAt: since, ObservedAt: since}})
	}
}
