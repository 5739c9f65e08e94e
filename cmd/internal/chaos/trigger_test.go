package chaos

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
)

var (
	triggerNotifications = flag.Int("trigger.notifications", 3000, "notifications of TestTriggerChaos")
	triggerRate          = flag.Int("trigger.rate", 1000, "notifications in a second")
	triggerGroups        = flag.Int("trigger.groups", 50, "content groups that they are for")
)

// Notifications for many content groups, and both replicas killed with SIGKILL
// every second: each change is in the list of exactly one request.
func TestTriggerChaos(t *testing.T) {
	t.Parallel()
	url := programtest.NATSServer(t)
	c := programtest.Connect(t, url)
	store := objectstoretest.Start(t, "lists")
	var routes strings.Builder
	routes.WriteString("routes:\n")
	paths := max(*triggerNotifications / *triggerGroups / 10, 5) // so that requests are on their way all the time
	for g := range *triggerGroups {
		fmt.Fprintf(&routes, "- {container: c%d, clientName: c, subclientName: g%d, window: {quiet: 500ms, max: 5s, maxPaths: %d}, directive: {container: lists, prefix: l/}}\n", g, g, paths)
	}
	env := programtest.TriggerEnv(t, url, store, routes.String())
	if code, _, stderr := programtest.Once(t, env[:1], "", "setup", "--trigger"); code != 0 {
		t.Fatal(stderr)
	}
	var want []string
	for n := range *triggerNotifications {
		want = append(want, fmt.Sprintf("/c%d/%d/object-%07d.bin", n%*triggerGroups, n%7, n))
	}
	published := make(chan error, 1)
	go func() { published <- publishPaced(c, want, *triggerRate) }()

	began, kills, memory := time.Now(), 0, 0
	kill := time.NewTicker(time.Second)
	defer kill.Stop()
	for over := false; !over; {
		replicas := []*programtest.Process{programtest.Start(t, env, "backhaul", "trigger"), programtest.Start(t, env, "backhaul", "trigger")}
		<-kill.C
		for _, p := range replicas {
			memory = max(memory, peakMemory(t, p))
			p.Kill()
		}
		kills++
		select {
		case err := <-published:
			if err != nil {
				t.Fatal(err)
			}
			published <- nil
			over = c.Messages(publisher.StorageStream) == 0
		default:
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("%d notifications are left after %s", c.Messages(publisher.StorageStream), time.Since(began))
		}
	}
	requests := listedOnce(c, store, want)
	t.Logf("%d notifications for %d content groups in %s: %d requests, %d lists written, %d times both replicas killed, at most %d MB of memory each",
		len(want), *triggerGroups, time.Since(began).Round(time.Millisecond), requests, len(store.Written()), kills, memory>>10)
}

// waiting returns the unread requests: a work queue has no second consumer.
func waiting(c *programtest.Client) (all []*jetstream.RawStreamMsg) {
	c.T.Helper()
	c.Answered("requests", func() error {
		all = nil
		s, err := c.JS.Stream(c.T.Context(), publisher.RequestsStream)
		if err != nil {
			return err
		}
		for n := uint64(1); n <= s.CachedInfo().State.LastSeq; n++ {
			msg, err := s.GetMsg(c.T.Context(), n)
			if err != nil {
				return err
			}
			all = append(all, msg)
		}
		return nil
	})
	return all
}

// publishPaced publishes a notification for each path.
func publishPaced(c *programtest.Client, paths []string, perSecond int) error {
	pace := rate.NewLimiter(rate.Limit(perSecond), max(perSecond/100, 1))
	for _, path := range paths {
		if err := pace.Wait(c.T.Context()); err != nil {
			return err
		}
		container, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if _, err := c.JS.PublishAsync("storage.event.minio", programtest.Notification(container, key), jetstream.WithStallWait(time.Minute)); err != nil {
			return err
		}
	}
	select {
	case <-c.JS.PublishAsyncComplete():
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("%d notifications were not acknowledged", c.JS.PublishAsyncPending())
	}
}

var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory is the most that a process had in memory, in kB; 0 if it has ended.
func peakMemory(t *testing.T, p *programtest.Process) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	if err != nil {
		return 0 // no Linux
	}
	found := peak.FindSubmatch(status)
	if found == nil {
		return 0
	}
	kB, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kB
}
