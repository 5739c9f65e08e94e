package chaos

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
)

var loadEvents = flag.Int("events.many", 3000, "events of TestServerWithManyEvents")

// TestServerWithManyEvents measures what the events stream costs the NATS server: its memory, and the
// time until it answers for the stream after a stop and after a kill. Then it measures what the
// stream's length costs who reads it: commands, the start of a replica and its page. `make
// events-load` runs it with a million, three for each request.
func TestServerWithManyEvents(t *testing.T) {
	t.Parallel()
	n := *loadEvents - *loadEvents%3
	p, url := programtest.NATSServerProcess(t)
	if code, _, stderr := programtest.Once(t, []string{"BACKHAUL_NATS_URL=" + url}, "", "setup"); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	before := residentMiB(t, p.Cmd.Process.Pid)
	began := time.Now()
	publishEvents(t, programtest.Connect(t, url).JS, n)
	t.Logf("%d events in %.0f s; resident before %d MiB, after %d MiB", n, time.Since(began).Seconds(), before, residentMiB(t, p.Cmd.Process.Pid))
	for _, how := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.Cmd.Process.Signal(how); err != nil {
			t.Fatal(err)
		}
		<-p.Done
		began := time.Now()
		p = programtest.Start(t, nil, "nats-server", p.Cmd.Args[1:]...)
		p.WaitFor(t, "Server is ready")
		c := programtest.Connect(t, url)
		waittest.Eventually(t, "answer for the stream", func() bool {
			events, err := c.JS.Stream(t.Context(), publisher.EventsStream)
			return err == nil && events.CachedInfo().State.LastSeq == uint64(n)
		})
		t.Logf("after %v: answers after %.1f s with %.1f s of CPU, %d MiB resident", how, time.Since(began).Seconds(), cpuTime(t, p.Cmd.Process.Pid).Seconds(), residentMiB(t, p.Cmd.Process.Pid))
	}
	measureReaders(t, p, url, n)
}

// measureReaders measures what reads a stream of n events.
func measureReaders(t *testing.T, p *programtest.Process, url string, n int) {
	t.Helper()
	env := []string{"BACKHAUL_NATS_URL=" + url}
	last := fmt.Sprintf("billing/r-%d", n/3-1)
	for _, args := range [][]string{{"status"}, {"status", last}, {"requests", "--state", "failed"}} {
		began := time.Now()
		code, stdout, stderr := programtest.Once(t, env, "", args...)
		if code != programtest.ExitDone {
			t.Fatalf("%v: exit code %d: %s%s", args, code, stdout, stderr)
		}
		t.Logf("backhaul %s: %.2f s", strings.Join(args, " "), time.Since(began).Seconds())
	}
	began := time.Now()
	b := benchOn(t, p, url, 0)
	run := programtest.Start(t, b.env, "backhaul", "run")
	run.WaitFor(t, "reading requests")
	t.Logf("backhaul run: reads requests after %.2f s, with the simulator's start", time.Since(began).Seconds())
	began = time.Now()
	waittest.Eventually(t, "page with the last request", func() bool {
		status, text := programtest.Probe(t, programtest.AdminURL(t, run)+"/requests/"+last)
		return status == http.StatusOK && strings.Contains(text, path.Base(last))
	})
	t.Logf("page of the last request: %.2f s, %d MiB resident", time.Since(began).Seconds(), residentMiB(t, run.Cmd.Process.Pid))
	run.Stop(t)
	b.close()
}
