package chaos

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/programtest"
	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

var protectionLoad = struct{ events, groups *int }{
	events: flag.Int("protection.events", 3000, "events of TestProtectionLoad, three for each request"),
	groups: flag.Int("protection.groups", 20, "content groups of TestProtectionLoad"),
}

// TestProtectionLoad measures what the first view of many content groups costs, `backhaul
// protection` as a process of its own, and a further view of the same events in memory. `make
// protection-load` runs it with a million events of 2,000 groups.
func TestProtectionLoad(t *testing.T) {
	server, url := programtest.NATSServerProcess(t)
	c := programtest.Connect(t, url)
	natstest.Provision(t, c.NC)
	requests := *protectionLoad.events / 3
	writeHistory(t, c, requests)

	cmd := exec.CommandContext(t.Context(), programtest.Binary(t, "backhaul"), "protection", "--output", "json")
	cmd.Env = append(programtest.CleanEnv(), "BACKHAUL_NATS_URL="+url)
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	serverCPU, began := cpuTime(t, server.Cmd.Process.Pid), time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	wall, usage := time.Since(began), cmd.ProcessState.SysUsage().(*syscall.Rusage)
	result := map[string]any{
		"events": 3 * requests, "groups": *protectionLoad.groups, "seconds": wall.Seconds(),
		"cpuSeconds":       (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(),
		"serverCPUSeconds": (cpuTime(t, server.Cmd.Process.Pid) - serverCPU).Seconds(), "residentMiB": usage.Maxrss / 1024,
	}

	fold, now, err := protection.Load(t.Context(), c.JS)
	if err != nil {
		t.Fatal(err)
	}
	if groups, known := fold.Size(); groups != *protectionLoad.groups || known != requests {
		t.Errorf("the fold has %d groups and %d requests, want %d and %d", groups, known, *protectionLoad.groups, requests)
	}
	for _, view := range []string{"firstViewMillis", "nextViewMillis"} {
		began := time.Now()
		exposed := 0
		for _, g := range fold.Groups() {
			if s, ok := fold.Stand(g, protection.Objective{RPO: time.Hour}, true, now); !ok || s.Status != protection.Covered {
				exposed++
			}
		}
		result[view] = float64(time.Since(began).Microseconds()) / 1000
		if exposed > 0 {
			t.Errorf("%d groups are not covered", exposed)
		}
	}
	line, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("protection of content groups: %s", line)
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
