package chaos

import (
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
)

var throughput = struct {
	requests, rounds, old *int
}{
	requests: flag.Int("throughput.requests", 0, "compare with the hand-written loop, with this many requests (make bench)"),
	rounds:   flag.Int("throughput.rounds", 3, "rounds of each, of which the median counts"),
	old:      flag.Int("throughput.old", 0, "events that lie in the stream before"),
}

// measurement is one run of one contender.
type measurement struct {
	perSecond float64
	cpu       float64 // µs of the contender's own process for each request
	serverCPU float64 // µs of nats-server
	rss       int64   // KiB, the contender's largest
}

// TestThroughput compares the service with the yardstick: same server, same
// simulator, same run, in turns. It asserts that all requests were done, never a
// time; `make bench` prints the figures.
func TestThroughput(t *testing.T) {
	if *throughput.requests == 0 {
		*throughput.requests, *throughput.rounds = 200, 1
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "%d requests, 64 in flight, %d old events, median of %d\n", *throughput.requests, *throughput.old, *throughput.rounds)
	fmt.Fprintln(out, "vendor\tcontender\trequests/s\tCPU µs\tserver CPU µs\tRSS MiB\t")
	for _, latency := range []time.Duration{0, 50 * time.Millisecond} {
		var service, loop []measurement
		for range *throughput.rounds {
			service = append(service, measure(t, latency, false))
			loop = append(loop, measure(t, latency, true))
		}
		s, l := median(service), median(loop)
		for _, row := range []struct {
			name string
			m    measurement
		}{{"backhaul run", s}, {"yardstick", l}} {
			fmt.Fprintf(out, "%s\t%s\t%.0f\t%.0f\t%.0f\t%.1f\t\n", latency, row.name, row.m.perSecond, row.m.cpu, row.m.serverCPU, float64(row.m.rss)/1024)
		}
		fmt.Fprintf(out, "%s\tratio\t%.2f\t%.2f\t%.2f\t\t\n", latency, s.perSecond/l.perSecond, s.cpu/l.cpu, s.serverCPU/l.serverCPU)
		if latency > 0 {
			ceiling := 64 / latency.Seconds()
			fmt.Fprintf(out, "%s\tof the ceiling\t%.2f\t\t\t\t\n", latency, s.perSecond/ceiling)
		}
	}
	_ = out.Flush()
}

func median(all []measurement) measurement {
	by := func(field func(measurement) float64) float64 {
		values := make([]float64, len(all))
		for i, m := range all {
			values[i] = field(m)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return measurement{
		perSecond: by(func(m measurement) float64 { return m.perSecond }),
		cpu:       by(func(m measurement) float64 { return m.cpu }),
		serverCPU: by(func(m measurement) float64 { return m.serverCPU }),
		rss:       int64(by(func(m measurement) float64 { return float64(m.rss) })),
	}
}

var simulatedEndpoint = regexp.MustCompile(`http://127\.0\.0\.1:\d+/webconsole/api`)

// measure lets one contender work on requests that are all there already.
func measure(t *testing.T, latency time.Duration, hand bool) measurement {
	t.Helper()
	args := []string{"simulator", "--listen", "127.0.0.1:0", "--log-format", "json", "--conflict", "ignore"}
	if latency > 0 {
		args = append(args, "--fault", "slow="+latency.String())
	}
	sim := programtest.Start(t, nil, "backhaul", args...)
	sim.WaitFor(t, "simulating Commvault")
	endpoint := simulatedEndpoint.FindString(sim.Output.String())
	server, url := programtest.NATSServerProcess(t)
	if code, _, stderr := programtest.Once(t, []string{"BACKHAUL_NATS_URL=" + url}, "", "setup"); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	client := programtest.Connect(t, url)
	fill(t, client)

	before := cpuTime(t, server.Cmd.Process.Pid)
	began := time.Now()
	var contender *programtest.Process
	env := append(programtest.ServiceEnv(url, endpoint), "BACKHAUL_VENDOR_PASSWORD=simulator", "BACKHAUL_VENDOR_TIMEOUT=30s", "BACKHAUL_LOG_LEVEL=warn")
	if hand {
		contender = programtest.StartCommand(t, exec.Command(os.Args[0]), append(env, yardstickEnv+"=1"))
	} else {
		contender = programtest.Start(t, env, "backhaul", "run")
	}
	client.WaitForOutcomes()
	took := time.Since(began)
	serverCPU := cpuTime(t, server.Cmd.Process.Pid) - before
	// Not from the resource usage: that begins with what this process had when it forked.
	memory := peakMemory(t, contender)
	contender.Stop(t)
	usage := contender.Cmd.ProcessState
	n := float64(*throughput.requests)
	m := measurement{
		perSecond: n / took.Seconds(),
		cpu:       float64((usage.UserTime() + usage.SystemTime()).Microseconds()) / n,
		serverCPU: float64(serverCPU.Microseconds()) / n,
		rss:       int64(memory),
	}
	if started := client.Reader(publisher.EventsStream, "backup.event.job-started.billing.*").CachedInfo().NumPending; started != uint64(*throughput.requests) {
		t.Fatalf("%d job-started events, want %d", started, *throughput.requests)
	}
	sim.Stop(t)
	server.Kill()
	return m
}

// fill publishes the requests and the old events.
func fill(t *testing.T, client *programtest.Client) {
	t.Helper()
	js, err := jetstream.New(client.NC, jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		t.Fatal(err)
	}
	publish := func(subject string, data []byte) {
		if _, err := js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: data}, jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range *throughput.old {
		publish(fmt.Sprintf("backup.event.job-started.old.%d", i), []byte(`{"requestId":"old","source":"old"}`))
	}
	for i := range *throughput.requests {
		publish("backup.request.billing", fmt.Appendf(nil,
			`{"requestId":"t-%d","clientName":"s-adhoc-object-storage","subclientName":"load-%d","storagePolicyName":"default-plan"}`, i, i%50))
	}
	<-js.PublishAsyncComplete()
}

// cpuTime is what a process has used so far.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// Fields 14 and 15, in ticks of 10 ms; the name in field 2 may have spaces.
	var user, system int64
	if _, err := fmt.Sscan(statFields(string(data)), &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

var afterName = regexp.MustCompile(`\) \S(?: \S+){10} (\S+ \S+)`)

func statFields(stat string) string {
	m := afterName.FindStringSubmatch(stat)
	if m == nil {
		return ""
	}
	return m[1]
}

// yardstickMain is the main function of the yardstick's process.
func yardstickMain() int {
	password := base64.StdEncoding.EncodeToString([]byte("simulator"))
	err := yardstick(os.Getenv("BACKHAUL_NATS_URL"), os.Getenv("BACKHAUL_VENDOR_ENDPOINT"), "backhaul", password, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
