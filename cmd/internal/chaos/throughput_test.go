package chaos

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"backhaul/cmd/internal/programtest"
)

var throughput = struct {
	requests, rounds, old *int
	base, only            *string
	recovery, starts      *bool
}{
	requests: flag.Int("throughput.requests", 0, "compare with the hand-written loop, with this many requests (make bench)"),
	rounds:   flag.Int("throughput.rounds", 5, "rounds of each, of which the median counts"),
	old:      flag.Int("throughput.old", 0, "also measure with this many events in the stream before"),
	base:     flag.String("throughput.base", "", "another backhaul program, such as one built before a change, to measure in the same turns"),
	only:     flag.String("throughput.only", "", "measure only the set-ups whose names contain this, and no starts"),
	starts:   flag.Bool("throughput.starts", false, "measure starts only"),
	recovery: flag.Bool("throughput.recovery", false, "also measure how long requests wait after replicas were killed"),
}

// setUp is how requests come and are worked on. Both contenders have the same.
type setUp struct {
	name    string
	latency time.Duration // of the vendor
	// small requests have four members, only warnings are logged, and nothing reads events.
	small bool
	// old is how many events lie in the stream before.
	old int
}

// setUps returns what is measured.
func setUps() []setUp {
	all := []setUp{
		{name: "as in use, 0 ms"},
		{name: "small, no log, no reader, 0 ms", small: true},
		{name: "as in use, 50 ms", latency: 50 * time.Millisecond},
	}
	if n := *throughput.old; n > 0 {
		all = append(all, setUp{name: fmt.Sprintf("as in use, 0 ms, %d old events", n), old: n})
	}
	return all
}

// measurement is one run of one contender.
type measurement struct {
	perSecond float64
	cpu       float64 // µs of the contender's own process for each request
	serverCPU float64 // µs of nats-server
	rss       float64 // MiB, the contender's largest
}

// start is one start of a contender that has nothing to do.
type start struct {
	ready float64 // ms until it waits for requests
	cpu   float64 // ms used until then
	idle  float64 // MiB resident some seconds later
	own   float64 // MiB of them that are memory; the others are pages of the program's file
}

// TestThroughput compares the service with the yardstick: same server, same
// simulator, same run, in turns. It asserts that all requests were done, never a
// time; `make bench` prints the figures.
func TestThroughput(t *testing.T) {
	idle := 5 * time.Second
	if *throughput.starts {
		idle = 10 * time.Second
	} else if *throughput.requests == 0 {
		*throughput.requests, *throughput.rounds, idle = 200, 1, 0
	}
	all := contenders(t)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	if !*throughput.starts {
		compareRates(t, out, all)
	}
	if *throughput.only != "" {
		_ = out.Flush()
		return
	}
	compareStarts(t, out, all, idle)
	if *throughput.recovery {
		for _, replicas := range []int{4, 1} {
			fmt.Fprintf(out, "chaos, %d replicas, one killed each second\tp99 s\t%.1f\t\t\t\t\n", replicas, chaosP99(t, replicas))
		}
		for _, latency := range []time.Duration{50 * time.Millisecond, time.Second} {
			r := measureKill(t, latency)
			fmt.Fprintf(out, "kill -9, %s, default settings\tclaimed\t%d\t\t\t\t\n", latency, r.claimed)
			fmt.Fprintf(out, "\tof them not sent\t%d\t\t\t\t\n", r.unsent)
			fmt.Fprintf(out, "\tthese waited s, median\t%.1f\t\t\t\t\n", r.median.Seconds())
			fmt.Fprintf(out, "\tlongest\t%.1f\t\t\t\t\n", r.longest.Seconds())
		}
	}
	_ = out.Flush()
}

func compareRates(t *testing.T, out *tabwriter.Writer, all []contender) {
	fmt.Fprintf(out, "%d requests, 64 in flight, median of %d\n", *throughput.requests, *throughput.rounds)
	fmt.Fprintln(out, "set-up\tcontender\trequests/s\tCPU µs\tserver CPU µs\tRSS MiB\t")
	for _, s := range setUps() {
		if !strings.Contains(s.name, *throughput.only) {
			continue
		}
		runs := make([][]measurement, len(all))
		for range *throughput.rounds {
			for i, c := range all {
				runs[i] = append(runs[i], measure(t, s, c))
			}
		}
		loop := medianRun(runs[len(all)-1])
		for i, c := range all {
			m := medianRun(runs[i])
			fmt.Fprintf(out, "%s\t%s\t%.0f\t%.0f\t%.0f\t%.1f\t\n", s.name, c.name, m.perSecond, m.cpu, m.serverCPU, m.rss)
			if i < len(all)-1 {
				fmt.Fprintf(out, "\t× the yardstick\t%.2f\t%.2f\t%.2f\t%.2f\t\n", m.perSecond/loop.perSecond, m.cpu/loop.cpu, m.serverCPU/loop.serverCPU, m.rss/loop.rss)
			}
			if s.latency > 0 {
				fmt.Fprintf(out, "\tof the ceiling\t%.2f\t\t\t\t\n", m.perSecond*s.latency.Seconds()/64)
			}
		}
	}
}

func compareStarts(t *testing.T, out *tabwriter.Writer, all []contender, idle time.Duration) {
	fmt.Fprintln(out, "start\tcontender\tms to ready\tCPU ms\tidle RSS MiB\tof them memory\t")
	runs := make([][]start, len(all))
	for range *throughput.rounds {
		for i, c := range all {
			runs[i] = append(runs[i], measureStart(t, c, idle))
		}
	}
	for i, c := range all {
		fmt.Fprintf(out, "\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t\n", c.name, median(runs[i], func(s start) float64 { return s.ready }),
			median(runs[i], func(s start) float64 { return s.cpu }), median(runs[i], func(s start) float64 { return s.idle }), median(runs[i], func(s start) float64 { return s.own }))
	}
}

// contender is a program that does the requests.
type contender struct {
	name    string
	program string // "" for the yardstick
}

// contenders returns the programs to compare, the yardstick last.
func contenders(t *testing.T) []contender {
	all := []contender{{"backhaul run", programtest.Binary(t, "backhaul")}}
	if *throughput.base != "" {
		all = append(all, contender{"base", *throughput.base})
	}
	return append(all, contender{name: "yardstick"})
}

// start starts the contender with its output in a file, and returns it with the file.
func (c contender) start(t *testing.T, env []string) (*programtest.Process, string) {
	t.Helper()
	log := t.TempDir() + "/log"
	if c.program == "" {
		return programtest.StartCommand(t, toFile(log, os.Args[0]), append(env, yardstickEnv+"=1")), log
	}
	return programtest.StartCommand(t, toFile(log, c.program, "run"), env), log
}

func medianRun(all []measurement) measurement {
	return measurement{
		perSecond: median(all, func(m measurement) float64 { return m.perSecond }),
		cpu:       median(all, func(m measurement) float64 { return m.cpu }),
		serverCPU: median(all, func(m measurement) float64 { return m.serverCPU }),
		rss:       median(all, func(m measurement) float64 { return m.rss }),
	}
}

func median[T any](all []T, field func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, m := range all {
		values[i] = field(m)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
