package chaos

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
)

var simulatedEndpoint = regexp.MustCompile(`http://127\.0\.0\.1:\d+/webconsole/api`)

// bench is a nats-server and a simulated vendor for one run of a contender.
type bench struct {
	*programtest.Client
	server, sim *programtest.Process
	env         []string // of the contender
}

func newBench(t *testing.T, latency time.Duration) *bench {
	t.Helper()
	server, url := programtest.NATSServerProcess(t)
	if code, _, stderr := programtest.Once(t, []string{"BACKHAUL_NATS_URL=" + url}, "", "setup"); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	return benchOn(t, server, url, latency)
}

// benchOn starts a simulated vendor beside a server that has the streams.
func benchOn(t *testing.T, server *programtest.Process, url string, latency time.Duration) *bench {
	t.Helper()
	args := []string{"simulator", "--listen", "127.0.0.1:0", "--log-format", "json", "--conflict", "ignore"}
	if latency > 0 {
		args = append(args, "--fault", "slow="+latency.String())
	}
	sim := programtest.Start(t, nil, "backhaul", args...)
	sim.WaitFor(t, "simulating Commvault")
	return &bench{
		Client: programtest.Connect(t, url), server: server, sim: sim,
		env: append(programtest.ServiceEnv(url, simulatedEndpoint.FindString(sim.Output.String())),
			"BACKHAUL_VENDOR_PASSWORD=simulator", "BACKHAUL_VENDOR_TIMEOUT=30s", "BACKHAUL_VENDOR_VISIBILITY_WINDOW=60s"),
	}
}

// close ends the server and the vendor.
func (b *bench) close() {
	b.sim.Stop(b.T)
	b.server.Kill()
}

// toFile returns a command with its output in a file. The shell is replaced by the program.
func toFile(file, program string, args ...string) *exec.Cmd {
	return exec.Command("/bin/sh", append([]string{"-c", `exec "$@" >"$0" 2>&1`, file, program}, args...)...)
}

// measure lets one contender work on requests that are all there already.
func measure(t *testing.T, s setUp, c contender) measurement {
	t.Helper()
	b := newBench(t, s.latency)
	b.fill(s)
	if s.small {
		b.env = append(b.env, "BACKHAUL_LOG_LEVEL=warn")
	} else {
		defer b.read()()
	}

	before := cpuTime(t, b.server.Cmd.Process.Pid)
	began := time.Now()
	p, log := c.start(t, b.env)
	b.WaitForOutcomes()
	took := time.Since(began)
	serverCPU := cpuTime(t, b.server.Cmd.Process.Pid) - before
	// Not from the resource usage: that begins with what this process had when it forked.
	memory := peakMemory(t, p)
	p.Stop(t)
	usage := p.Cmd.ProcessState
	n := float64(*throughput.requests)
	m := measurement{
		perSecond: n / took.Seconds(),
		cpu:       float64((usage.UserTime() + usage.SystemTime()).Microseconds()) / n,
		serverCPU: float64(serverCPU.Microseconds()) / n,
		rss:       float64(memory) / 1024,
	}
	if started := b.Reader(publisher.EventsStream, "backup.event.job-started.billing.*").CachedInfo().NumPending; started != uint64(*throughput.requests) {
		logged, _ := os.ReadFile(log)
		t.Fatalf("%d job-started events, want %d: %s", started, *throughput.requests, logged[:min(len(logged), 4096)])
	}
	b.close()
	return m
}

// measureStart starts a contender that has nothing to do.
func measureStart(t *testing.T, c contender, idle time.Duration) start {
	t.Helper()
	b := newBench(t, 0)
	began := time.Now()
	p, _ := c.start(t, b.env)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.Tick(time.Millisecond); ; <-tick { // waittest's 10 ms are too coarse
		queue, err := b.JS.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer)
		if err == nil && queue.CachedInfo().NumWaiting > 0 {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("no pull within a minute")
		}
	}
	s := start{ready: float64(time.Since(began).Microseconds()) / 1000, cpu: float64(cpuTime(t, p.Cmd.Process.Pid).Microseconds()) / 1000}
	<-time.After(idle)
	s.idle, s.own = memoryMiB(t, p.Cmd.Process.Pid, "VmRSS"), memoryMiB(t, p.Cmd.Process.Pid, "RssAnon")
	p.Stop(t)
	b.close()
	return s
}

// memoryMiB returns a field of the status of a process.
func memoryMiB(t *testing.T, pid int, field string) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "\n"+field+":")
	var kB float64
	if _, err := fmt.Sscan(after, &kB); err != nil {
		t.Fatalf("%s: %v", field, err)
	}
	return kB / 1024
}

// fill publishes the requests and the old events.
func (b *bench) fill(s setUp) {
	b.T.Helper()
	js, err := jetstream.New(b.NC, jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		b.T.Fatal(err)
	}
	publish := func(subject string, data []byte) {
		if _, err := js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: data}, jetstream.WithStallWait(time.Minute)); err != nil {
			b.T.Fatal(err)
		}
	}
	for i := range s.old { // of a kind that is not followed: a follower has long acknowledged what is old
		publish(fmt.Sprintf("backup.event.job-failed.old.%d", i), []byte(`{"requestId":"old","source":"old"}`))
	}
	for i := range *throughput.requests {
		if s.small {
			publish("backup.request.billing", fmt.Appendf(nil,
				`{"requestId":"t-%d","clientName":"s-adhoc-object-storage","subclientName":"load-%d","storagePolicyName":"default-plan"}`, i, i%50))
			continue
		}
		publish("backup.request.billing", fmt.Appendf(nil,
			`{"requestId":"inv-2026-11-23-%d","clientName":"s-adhoc-object-storage","instanceName":"s-adhoc-object-storage",`+
				`"backupsetName":"defaultBackupSet","subclientName":"load-%d","storagePolicyName":"default-plan","appName":"Cloud Apps",`+
				`"backupLevel":"INCREMENTAL","adHocBackup":true,"onDemandInputFile":"/sk/invoices-2026-11-%d.txt",`+
				`"labels":{"ticket":"CHG-%d","team":"billing"}}`, i, i%50, i, i))
	}
	<-js.PublishAsyncComplete()
}

// read reads the outcomes of requests as another team would, until stop is called.
func (b *bench) read() (stop func()) {
	b.T.Helper()
	reader, err := b.JS.CreateConsumer(b.T.Context(), publisher.EventsStream, jetstream.ConsumerConfig{
		Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy,
		FilterSubjects: []string{"backup.event.job-started.billing.*", "backup.event.job-failed.billing.*"},
	})
	if err != nil {
		b.T.Fatal(err)
	}
	reading, err := reader.Consume(func(msg jetstream.Msg) { _ = msg.Ack() })
	if err != nil {
		b.T.Fatal(err)
	}
	return reading.Stop
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
