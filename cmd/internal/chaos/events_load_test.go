package chaos

import (
	"flag"
	"os"
	"syscall"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
)

var loadEvents = flag.Int("events.many", 3000, "events of TestServerWithManyEvents")

// TestServerWithManyEvents measures what the events stream costs the NATS server: its memory, and the
// time until it answers for the stream after a stop and after a kill. `make events-load` runs it with
// a million, three for each request.
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
}
