package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
)

var (
	backlogNotifications = flag.Int("backlog.notifications", 2000, "notifications of TestTriggerBacklog")
	backlogGroups        = flag.Int("backlog.groups", 200, "content groups that they are for, in no order")
	backlogHot           = flag.Int("backlog.hot", 500, "notifications for one more content group")
	backlogMemory        = flag.Int("backlog.memory", 300, "the most memory of the trigger, in MiB")
)

// A trigger that starts after a long outage finds many notifications for many content groups.
// Each group asks once, or a few of them twice, and the trigger takes little memory. One busy
// bucket without a directive asks once for all of its objects.
func TestTriggerBacklog(t *testing.T) {
	url := programtest.NATSServer(t)
	c := programtest.Connect(t, url)
	var routes strings.Builder
	routes.WriteString("routes:\n")
	for g := range *backlogGroups {
		fmt.Fprintf(&routes, "- {container: c%d, clientName: c, subclientName: g%d, window: {quiet: 1s, max: 5s}}\n", g, g)
	}
	routes.WriteString("- {container: hot, clientName: c, subclientName: hot, window: {quiet: 1s, max: 5s}}\n")
	env := programtest.TriggerEnv(t, url, objectstoretest.Start(t), routes.String())
	if code, _, stderr := programtest.Once(t, env[:1], "", "setup", "--trigger"); code != 0 {
		t.Fatal(stderr)
	}
	paths := make([]string, 0, *backlogNotifications+*backlogHot)
	for n := range *backlogNotifications {
		paths = append(paths, fmt.Sprintf("/c%d/object-%07d.bin", n%*backlogGroups, n))
	}
	for n := range *backlogHot {
		paths = append(paths, fmt.Sprintf("/hot/object-%07d.bin", n))
	}
	rand.Shuffle(len(paths), func(a, b int) { paths[a], paths[b] = paths[b], paths[a] })
	if err := publishPaced(c, paths, 1_000_000); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p := programtest.Start(t, env, "backhaul", "trigger")
	memory := 0
	for tick := time.NewTicker(200 * time.Millisecond); c.Messages(publisher.StorageStream) > 0; <-tick.C {
		memory = max(memory, peakMemory(t, p))
		if time.Since(began) > 10*time.Minute {
			t.Fatalf("%d notifications are left", c.Messages(publisher.StorageStream))
		}
	}
	memory = max(memory, peakMemory(t, p))
	took, requests := time.Since(began), c.Messages(publisher.RequestsStream)
	least := *backlogGroups + min(*backlogHot, 1)
	t.Logf("%d notifications for %d content groups: %d requests in %s, at most %d MiB of memory",
		len(paths), least, requests, took.Round(time.Millisecond), memory>>10)
	if most := least * 11 / 10; int(requests) > most || int(requests) < least {
		t.Errorf("%d requests, want from %d to %d", requests, least, most)
	}
	if memory>>10 > *backlogMemory {
		t.Errorf("%d MiB of memory, want at most %d", memory>>10, *backlogMemory)
	}
}
