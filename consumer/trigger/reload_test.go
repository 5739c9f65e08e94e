package trigger

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A running trigger takes other routes: what waits is collected by them, windows keep their times,
// and what was requested is not requested again.
func TestRoutesAreChangedWhileRunning(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const text = `routes:
- {container: a, clientName: c, subclientName: %s, window: {quiet: %s, max: 1h}, directive: {container: lists, prefix: backhaul/}}
- {container: b, clientName: c, subclientName: b, window: {quiet: 300ms, max: 1h}, directive: {container: lists, prefix: backhaul/}}
- {container: c, clientName: c, subclientName: c, window: {quiet: %[2]s, max: 1h}, directive: {container: lists, prefix: backhaul/}}
`
	b.publish(put("a", "1"), put("b", "1"), put("c", "1"), put("b", "2"))
	w := b.run(fmt.Sprintf(text, "old", "30m"))
	b.requested(1)
	b.eventually("the acknowledgement of b", func() bool { return b.pending() == 2 })
	b.publish(put("a", "2"))
	b.eventually("three changes in windows", func() bool { return w.State().Changes == 3 })
	oldest := w.State().Oldest
	if err := w.SetRoutes(parse(b, fmt.Sprintf(text, "new", "20m"))); err != nil {
		t.Fatal(err)
	}
	b.eventually("the windows by the new routes", func() bool {
		s := w.State()
		return strings.Contains(b.log.String(), "by other routes") && s.Changes == 3 && s.Windows == 2 && s.Oldest.Equal(oldest)
	})
	if n := len(b.requests()); n != 1 {
		t.Errorf("the change of routes made %d requests", n-1)
	}
	if err := w.SetRoutes(parse(b, fmt.Sprintf(text, "new", "300ms"))); err != nil {
		t.Fatal(err)
	}
	b.requested(3)
	b.settled()
	b.exactlyOnce([]string{"/a/1", "/a/2", "/b/1", "/b/2", "/c/1"})
	if log := b.log.String(); strings.Contains(log, "cannot read notifications") {
		t.Error("the change of routes is logged as a fault")
	}
}

// Routes that need a store are refused by a trigger without one, and the old ones stay.
func TestSetRoutes_refusesDirectivesWithoutAStore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store = nil
	w := b.run("routes:\n- {container: a, window: {quiet: 300ms}" + to("g"))
	if err := w.SetRoutes(parse(b, "routes:\n- {container: a, directive: {container: a, prefix: x/}"+to("h"))); err == nil || !strings.Contains(err.Error(), "BACKHAUL_TRIGGER_S3_ENDPOINT") {
		t.Errorf("got %v", err)
	}
	b.publish(put("a", "1"))
	b.requested(1)
	b.settled()
}

// A message that was settled is acknowledged if it is delivered again, also by other routes,
// which no decision covers. One with its sequence and another time is another message.
func TestSettled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.session("routes:\n- {container: a, window: {quiet: 1h, max: 2h}" + to("g"))
	s.pulls.Asked = 3
	at := time.Now()
	for i, data := range []string{put("other", "1"), put("other", "2")} {
		if err := s.take(t.Context(), delivery(uint64(i+1), uint64(i+1), at, 5, data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.trigger.SetRoutes(parse(b, "routes:\n- {container: other"+to("g"))); err != nil {
		t.Fatal(err)
	}
	next := newSession(s.trigger)
	next.collected.behind = true
	for i, stored := range []time.Time{at.Add(time.Second), at} {
		if err := next.take(t.Context(), delivery(uint64(i+1), uint64(i+1), stored, 1-i, put("other", "x"))); err != nil {
			t.Fatal(err)
		}
	}
	if m := next.collected.messages; len(m) != 1 || m[1] == nil || next.collected.behind {
		t.Errorf("%d notifications are held, behind %t; want the one that is new", len(m), next.collected.behind)
	}
	var many settled
	for i := range uint64(maxSettled + 2) {
		many.add(i, at)
	}
	if len(many.stored) != maxSettled || many.has(1, at) || !many.has(2, at) || !many.has(maxSettled+1, at) {
		t.Errorf("%d are remembered", len(many.stored))
	}
}
