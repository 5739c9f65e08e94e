package page

import (
	"fmt"
	"math"
	"time"

	"backhaul/cmd/internal/console/state"
)

// The size of a plot in its own units; style.css makes it as wide as there is room.
const (
	plotWidth  = 600.0
	plotHeight = 96.0
	plotBase   = 84.0 // where the time axis is
	plotTop    = 8.0
)

// plot is the last hour, drawn: how many requests had their outcome in each
// minute, and how long they took.
type plot struct {
	Bars   []bar
	Ranges []span
	Most   int // in one minute
	Ticks  []tick
	// Counts are the lines of round numbers of outcomes.
	Counts  []tick
	Summary string
	Empty   bool
}

// bar is a minute's outcomes, the failed ones on top of the started ones.
type bar struct {
	X, Width           string
	StartedY, StartedH string
	FailedY, FailedH   string
	Title              string
}

// span is a minute's times, from the median to the 95th percentile.
type span struct {
	X, P50, P95 string
	Title       string
}

// tick is a line at a round time.
type tick struct {
	Y, Label string
}

// Latencies are drawn between these, by their logarithm.
const (
	leastLatency = 10 * time.Millisecond
	mostLatency  = time.Hour
)

var roundTimes = []struct {
	d     time.Duration
	label string
}{{100 * time.Millisecond, "0.1 s"}, {time.Second, "1 s"}, {10 * time.Second, "10 s"}, {time.Minute, "1 min"}, {10 * time.Minute, "10 min"}, {time.Hour, "1 h"}}

func plotOf(minutes []state.Minute) plot {
	p := plot{Most: 1}
	var started, failed int
	longest := time.Second
	for _, m := range minutes {
		p.Most = max(p.Most, m.Started+m.Failed)
		started, failed = started+m.Started, failed+m.Failed
		longest = max(longest, m.P95)
	}
	p.Empty = started+failed == 0
	p.Summary = fmt.Sprintf("In the last hour %s started and %s failed; the busiest minute had %s.", count(started), count(failed), count(p.Most))
	if p.Empty {
		p.Summary = "Nothing was started and nothing failed in the last hour."
	}
	scale := logScale(longest)
	for _, round := range roundTimes {
		if round.d <= 2*longest {
			p.Ticks = append(p.Ticks, tick{number(scale(round.d)), round.label})
		}
	}
	for n := 1; n <= p.Most; n *= 10 {
		p.Counts = append(p.Counts, tick{number(plotBase - countHeight(n, p.Most)), count(n)})
	}
	step := plotWidth / float64(max(len(minutes), 1))
	for i, m := range minutes {
		if m.Started+m.Failed > 0 {
			p.Bars = append(p.Bars, barOf(m, float64(i)*step, step, p.Most))
			p.Ranges = append(p.Ranges, span{
				X: number((float64(i) + 0.5) * step), P50: number(scale(m.P50)), P95: number(scale(m.P95)),
				Title: fmt.Sprintf("%s: half within %s, 95 %% within %s", m.At.Format("15:04"), duration(m.P50), duration(m.P95)),
			})
		}
	}
	return p
}

// countHeight returns the height of a number of outcomes on a logarithmic scale, so that a minute
// with one failure is seen next to one with thousands of starts.
func countHeight(n, most int) float64 {
	return (plotBase - plotTop) * math.Log1p(float64(n)) / math.Log1p(float64(most))
}

// leastFailed is the least height of a failure.
const leastFailed = 3.0

// barOf returns the bar of a minute: its height is that of all outcomes, of which the failed ones
// have their share.
func barOf(m state.Minute, x, step float64, most int) bar {
	height, share := countHeight(m.Started+m.Failed, most), float64(m.Failed)/float64(m.Started+m.Failed)
	failed := height * share
	if m.Failed > 0 {
		failed = min(max(failed, leastFailed), height)
	}
	started := height - failed
	return bar{
		X: number(x + step*0.1), Width: number(step * 0.8),
		StartedY: number(plotBase - started), StartedH: number(started),
		FailedY: number(plotBase - started - failed), FailedH: number(failed),
		Title: fmt.Sprintf("%s: %d started, %d failed", m.At.Format("15:04"), m.Started, m.Failed),
	}
}

// logScale returns the height for a duration on a logarithmic scale, the longest near
// the top.
func logScale(longest time.Duration) func(time.Duration) float64 {
	low := math.Log(float64(leastLatency))
	high := math.Log(float64(min(2*longest, mostLatency)))
	return func(d time.Duration) float64 {
		d = min(max(d, leastLatency), mostLatency)
		return plotBase - (plotBase-plotTop)*min((math.Log(float64(d))-low)/(high-low), 1)
	}
}

func number(f float64) string { return fmt.Sprintf("%.1f", f) }
