package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

// A replica whose clock is a day fast or slow says and publishes what others do, with the same
// times.
func TestWatch_wrongClock(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]time.Duration{"fast": 26 * hour, "slow": -26 * hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, promise{"g": {Name: "gold", RPO: hour}, "fresh": {Name: "gold", RPO: hour}})
			since := ago(2 * hour)
			b.changes("g", since).end(schemas.OutcomeFailed)
			b.changes("fresh", ago(hour/2)).end(schemas.OutcomeFailed)
			before := time.Now()
			w, stop := b.startAt(b.config(), func() time.Time { return time.Now().Add(wrong) })
			b.wait("breached rpo")
			b.settle(w)
			b.wait("breached rpo")
			view := w.Look()
			if after := time.Now(); view.At.Before(before) || view.At.After(after.Add(hour)) || len(view.Groups) != 2 {
				t.Errorf("it shows %d groups as of %s, and it is %s", len(view.Groups), view.At, after)
			}
			if view.Groups[0].Status != Breached || view.Groups[1].Status != Exposed {
				t.Errorf("the groups are %s and %s", view.Groups[0].Status, view.Groups[1].Status)
			}
			b.changes("g", time.Now()).end(schemas.OutcomeCompleted)
			b.wait("breached rpo", "restored covered")
			for i, e := range b.said() {
				if after := time.Now(); e.At.Before(before) || e.At.After(after.Add(hour)) || i == 0 && !e.Since.Equal(since.Add(hour)) || i == 1 && e.Since.Before(before) {
					t.Errorf("%s at %s since %s, and it is %s", e.State, e.At, e.Since, after)
				}
			}
			stop()
			right, _ := b.start(b.config())
			waittest.Eventually(t, "another replica's view", func() bool { return right.Trouble() == nil })
			b.settle(right)
			b.wait("breached rpo", "restored covered")
		})
	}
}

// The watch asks no other clock than its own field, with which TestWatch_wrongClock is wrong.
func TestWatch_asksOneClock(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"*.go", "../*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, call := range []string{"time.Now()", "time.Since(", "time.Until("} {
				if strings.Contains(string(text), call) {
					t.Errorf("%s calls %s", file, call)
				}
			}
		}
	}
}
