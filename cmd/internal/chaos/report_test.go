package chaos

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"backhaul/schemas"
)

// maxTold bounds how many findings of a kind are printed with their history.
const maxTold = 3

// report prints the result, keeps it as JSON and fails the test for what was
// found.
func (r *chaosRun) report(t *testing.T, e chaosEvidence, result chaosResult) {
	t.Helper()
	result.Settings, result.Faults, result.Drained = r.plan.chaosSettings, r.done, r.drained.Seconds()
	result.Run = time.Since(r.began).Seconds()
	result.Lives, result.Exits = make(map[string]int), make(map[int]int)
	for _, p := range r.programs() {
		lives, exits := p.counts()
		result.Lives[p.name] = lives
		for code, n := range exits {
			result.Exits[code] += n
		}
	}
	histories := e.histories()
	r.keepHistories(histories, e.Requests)

	var table bytes.Buffer
	result.print(&table)
	line, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	if *chaosFlags.json != "" {
		if err := os.WriteFile(*chaosFlags.json, append(line, '\n'), 0o600); err != nil {
			t.Error(err)
		}
	}
	t.Logf("chaos in %s\n%s\n%s", r.dir, &table, line)
	told := make(map[string]int)
	for _, f := range result.Findings {
		if told[f.Kind]++; told[f.Kind] > maxTold {
			continue
		}
		t.Errorf("%s: %s: %s", f.Kind, f.ID, f.Text)
		if s := histories[f.ID]; s != nil {
			t.Log(s.tell(r.began))
		}
	}
	for kind, n := range told {
		if n > maxTold {
			t.Errorf("%s: %d in all", kind, n)
		}
	}
}

// keepHistories writes down what became of each request.
func (r *chaosRun) keepHistories(histories map[string]*chaosHistory, requests []chaosRequest) {
	r.t.Helper()
	var b strings.Builder
	for _, request := range requests {
		b.WriteString(histories[request.id].tell(r.began))
	}
	if err := os.WriteFile(filepath.Join(r.dir, "histories.txt"), []byte(b.String()), 0o600); err != nil {
		r.t.Error(err)
	}
}

// tell returns the history with its times since the run began.
func (s *chaosHistory) tell(began time.Time) string {
	var b strings.Builder
	at := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return fmt.Sprintf("%s +%.3fs", t.UTC().Format("15:04:05.000"), t.Sub(began).Seconds())
	}
	fmt.Fprintf(&b, "%s for %s, jobs %v, dead letters %d", s.request.id, s.request.group, s.jobs, s.deadLetters)
	if len(s.terminals) > 0 {
		fmt.Fprintf(&b, ", %s, %dms", s.path(), s.latency().Milliseconds())
	}
	fmt.Fprintf(&b, "\n  published %s, acknowledged %s (%d times)\n", at(s.published.first), at(s.published.acked), s.published.acks)
	for _, e := range s.events {
		fmt.Fprintf(&b, "  %d %s %s", e.Sequence, at(e.Stored), e.Event.Kind())
		switch e := e.Event.(type) {
		case *schemas.JobSubmitting:
			fmt.Fprintf(&b, " owner %s epoch %d lease %dms doubt %d", e.Owner, e.Epoch, e.LeaseMillis, e.DoubtSequence)
		case *schemas.JobStarted:
			fmt.Fprintf(&b, " job %s attempts %d adopted %v", e.JobID, e.Attempts, e.Adopted)
		case *schemas.JobFailed:
			fmt.Fprintf(&b, " %s %q attempts %d candidates %v", e.ErrorCode, e.ErrorMessage, e.Attempts, e.Candidates)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (r *chaosResult) print(w io.Writer) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("settings", "%d requests at %g/s, %d replicas, seed %d, descriptions hidden %v",
		r.Settings.Requests, r.Settings.Rate, r.Settings.Replicas, r.Settings.Seed, r.Settings.HideDescriptions)
	row("vendor's chances", "%s; a job is to be seen after %s", r.Settings.Faults, r.Settings.VisibleAfter)
	row("BROKEN PROMISES", "%s", orNone(counts(r.Broken)))
	row("requests", "%d, published %d times", r.Requests, r.Publications)
	row("started", "%d, %d of them adopted; jobs at the vendor %d", r.Started, r.Adopted, r.Jobs)
	row("failed", "%s", orNone(counts(r.Failed)))
	row("claims of an id", "%s; highest epoch %d", counts(r.Claims), r.MaxEpoch)
	row("faults", "%s", orNone(counts(r.Faults)))
	row("vendor's faults", "%s", orNone(counts(r.VendorFaults)))
	row("vendor's calls", "%s; %d of CreateTask while some replica had been told to wait", counts(r.VendorCalls), r.CallsInWait)
	row("lives", "%s; ended by themselves %s", counts(r.Lives), orNone(counts(r.Exits)))
	row("time", "run %.1f s, drained %.1f s after the last publication", r.Run, r.Drained)
	fmt.Fprintln(out, "latency [ms]\tcount\tp50\tp90\tp99\tmax\tof the slowest 1 %")
	line := func(name string, l latencyMillis, slowest int) {
		fmt.Fprintf(out, "%s\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t%d\n", name, l.Count, l.P50, l.P90, l.P99, l.Max, slowest)
	}
	line("all", r.Latency, r.Latency.Count/100)
	for _, path := range slices.Sorted(maps.Keys(r.ByPath)) {
		line("- "+path, r.ByPath[path], r.Slowest[path])
	}
	_ = out.Flush()
	fmt.Fprintln(w, "the replicas' log lines:")
	lines := slices.SortedFunc(maps.Keys(r.Log), func(a, b string) int {
		return cmp.Or(r.Log[b]-r.Log[a], strings.Compare(a, b))
	})
	for _, text := range lines[:min(len(lines), 15)] {
		fmt.Fprintf(w, "%7d %s\n", r.Log[text], text)
	}
}

// counts shows a map of counts, by key.
func counts[K cmp.Ordered](m map[K]int) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%v: %d", key, m[key]))
	}
	return strings.Join(parts, ", ")
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
