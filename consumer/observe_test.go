package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"backhaul/consumer"
	"backhaul/vendorapi/simulator"
)

// notes is an observer that records its calls.
type notes struct {
	mu    sync.Mutex
	begun int
	lines []string
}

type noteKey struct{}

func (n *notes) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) Begin(ctx context.Context, r consumer.Received) (context.Context, string) {
	n.mu.Lock()
	n.begun++
	own := fmt.Sprintf("00-4bf92f3577b34da6a3ce929d0e0e4736-%016x-01", n.begun)
	n.mu.Unlock()
	n.note("begin %s %s %d %s", r.Source, r.RequestID, r.Sequence, r.Traceparent)
	return context.WithValue(ctx, noteKey{}, r.RequestID), own
}

func (n *notes) Settled(ctx context.Context, s consumer.Settled) {
	outcome := ""
	if s.Outcome != nil {
		outcome = string(s.Outcome.Kind())
	}
	n.note("settled %v %d %s %s", ctx.Value(noteKey{}), s.Result, outcome, s.Class)
}

func (n *notes) Wrote(ctx context.Context, w consumer.Write) {
	n.note("wrote %v %s %s %t %t", ctx.Value(noteKey{}), w.Step, w.Kind, w.Err == nil, w.Conflict)
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

func (n *notes) has(t *testing.T, b *rig, want ...string) {
	t.Helper()
	for _, line := range want {
		b.eventually(line, func() bool { return slices.Contains(n.all(), line) })
	}
}

func TestObserver_isCalledForEverything(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("r-1"), "traceparent", trace)
	b.publish("billing", body("r-2", refused))
	told := new(notes)
	b.start(unhurried, func(s *setup) { s.cfg.Observer = told })
	b.settled()
	b.publish("billing", body("r-1"))
	b.settled()
	b.publish("billing", body("r-1", `"backupLevel":"FULL"`))
	b.settled()
	told.has(t, b,
		"begin billing r-1 1 "+trace, "wrote r-1 claim job-submitting true false", "wrote r-1 record job-started true false",
		fmt.Sprintf("settled r-1 %d job-started ", consumer.ResultOutcome),
		"begin billing r-2 2 ", fmt.Sprintf("settled r-2 %d job-failed ", consumer.ResultOutcome),
		"wrote r-1 claim job-submitting false true", fmt.Sprintf("settled r-1 %d job-started ", consumer.ResultDuplicate),
		"wrote r-1 record request-rejected true false", fmt.Sprintf("settled r-1 %d request-rejected ", consumer.ResultOutcome))

	begun, settled := 0, 0
	for _, line := range told.all() {
		begun += strings.Count(line, "begin ")
		settled += strings.Count(line, "settled ")
	}
	if begun != 4 || settled != 4 {
		t.Errorf("%d deliveries begun, %d settled, want 4 and 4: %q", begun, settled, told.all())
	}
	// All events of one delivery have the same trace context.
	for key, want := range map[string]int{"backup.event.*.billing.r-1": 2, "backup.event.*.billing.r-2": 2} {
		history := b.events(key)
		if len(history) != want {
			t.Fatalf("%d events on %s", len(history), key)
		}
		first := history[0].Header.Get("traceparent")
		if first == trace || first != history[1].Header.Get("traceparent") || !strings.HasPrefix(first, trace[:36]) {
			t.Errorf("the events of %s carry %s and %s", key, first, history[1].Header.Get("traceparent"))
		}
	}
}

// Each copy of a request in flight is reported as a duplicate.
func TestAnObserverIsToldOfCopies(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	told := new(notes)
	for range 10 {
		b.publish("billing", body("r-1"))
	}
	w := b.start(func(s *setup) { s.cfg.Observer = told })
	b.settled()
	w.drain()
	duplicates := 0
	for _, line := range told.all() {
		if strings.HasPrefix(line, fmt.Sprintf("settled r-1 %d", consumer.ResultDuplicate)) ||
			strings.HasPrefix(line, fmt.Sprintf("settled <nil> %d", consumer.ResultCopy)) || strings.HasPrefix(line, fmt.Sprintf("settled r-1 %d", consumer.ResultCopy)) {
			duplicates++
		}
	}
	if duplicates != 9 {
		t.Errorf("%d duplicates of 9: %q", duplicates, told.all())
	}
}

// A request's trace id is in its log lines, even without an observer.
func TestTheLogNamesTheTrace(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("r-1"), "TraceParent", trace)
	w := b.work("r-2")
	w.drain()
	with := 0
	for line := range strings.Lines(w.log.String()) {
		named := strings.Contains(line, `"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"`)
		if named {
			with++
		}
		if named && !strings.Contains(line, "r-1") {
			t.Errorf("the trace of another request: %s", line)
		}
	}
	if with == 0 {
		t.Errorf("no line has the trace:\n%s", w.log)
	}
}
