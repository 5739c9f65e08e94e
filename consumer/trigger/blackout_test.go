package trigger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// dark returns routes of which the groups named are in a blackout for an hour at least.
func dark(window string, groups []string, others ...string) string {
	begin := time.Now().UTC().Add(-time.Hour)
	rule := fmt.Sprintf(`blackout: [{schedule: "%d %d * * *", duration: 2h1m}], directive`, begin.Minute(), begin.Hour())
	return strings.ReplaceAll(routesFor(window, groups...), "directive", rule) + strings.TrimPrefix(routesFor(window, others...), "routes:\n")
}

// In a blackout windows collect, also those of a reader that was killed. What was collected is
// requested once when it ends, here because the routes are changed.
func TestABlackout(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	routes := dark("quiet: 100ms, max: 200ms, maxPaths: 2", []string{"a"}, "b")
	w := b.run(routes)
	b.publish(put("a", "1"), put("b", "1"))
	b.requested(1)
	b.eventually("the window waits", func() bool { return w.State().Blackout == 1 })
	w.kill()
	w = b.run(routes)
	b.publish(put("a", "2"), put("a", "3"), put("b", "2"))
	b.requested(2)
	b.eventually("both windows wait", func() bool { return w.State().Blackout == 2 })
	s := w.State()
	if len(s.Waits) != 1 || s.Waits[0].ContentGroup != "c/a" || !strings.HasPrefix(s.Waits[0].Why, "in a blackout of its route until 20") || s.Held != 0 || s.Oldest.IsZero() || !s.OldestFree.IsZero() {
		t.Errorf("the state is %+v", s)
	}
	if all := b.requests(); slices.ContainsFunc(all, func(r schemas.BackupRequest) bool { return r.SubclientName == "a" }) {
		t.Errorf("requests in a blackout: %+v", all)
	}
	if err := w.SetRoutes(parse(t, routesFor("quiet: 100ms, max: 200ms, maxPaths: 2", "a", "b"))); err != nil {
		t.Fatal(err)
	}
	b.settled()
	b.exactlyOnce([]string{"/a/1", "/a/2", "/a/3", "/b/1", "/b/2"})
	if n := len(b.requests()); n != 4 {
		t.Errorf("%d requests, want two of each group", n)
	}
}

// If the server delivers no more because of what a blackout holds, it is broken: other groups do not
// wait for its end.
func TestAFullConsumerBreaksABlackout(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]string{"open windows": "", "full windows": ", maxPaths: 1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(_ *jetstream.StreamConfig, cfg *jetstream.ConsumerConfig) {
				if cfg != nil && cfg.Durable == publisher.StorageConsumer {
					cfg.MaxAckPending = 3
				}
			})
			w := b.run(dark("quiet: 100ms, max: 200ms"+limit, []string{"a"}, "b"))
			b.publish(put("a", "1"), put("a", "2"))
			b.eventually("the window waits", func() bool { return w.State().Blackout > 0 })
			b.publish(put("a", "3"), put("b", "1"))
			b.eventually("the other group's request", func() bool {
				return slices.ContainsFunc(b.requests(), func(r schemas.BackupRequest) bool { return r.SubclientName == "b" })
			})
			b.logs("no more notifications can be held: requesting backups in a blackout")
		})
	}
}

// night returns a group in a blackout from 20:00 to 06:00, with a window since 19:00.
func night(t *testing.T, rule string) (*collection, *group, time.Time) {
	t.Helper()
	rs := parse(t, `routes: [{container: a, blackout: [{schedule: "0 20 * * *", duration: 10h}]`+rule+to("g")+`]`)
	evening := time.Date(2026, 11, 23, 19, 0, 0, 0, time.UTC)
	c, r := newCollection(), rs.All()[0]
	c.holdFor = holdFor
	g := &group{route: r, name: "g", hold: newHold(r, "storage", &decision{})}
	g.open = &window{since: evening, latest: evening, messages: []*message{{}}, objects: map[object]kept{{key: "x"}: {}}}
	c.groups[r.Group()] = g
	return &c, g, evening
}

func TestCollection_endsWindowsAfterABlackout(t *testing.T) {
	c, g, evening := night(t, "")
	c.endWindows(evening.Add(2 * time.Hour))
	if len(c.ended) != 0 || g.open == nil || !g.isDark(evening.Add(2*time.Hour)) || !c.next.Equal(evening.Add(11*time.Hour)) {
		t.Fatalf("in the blackout: %d ended, the next at %s, %+v", len(c.ended), c.next, g.hold)
	}
	c.endWindows(evening.Add(11 * time.Hour))
	if len(c.ended) != 1 || g.open != nil || g.held() {
		t.Fatalf("after it: %d ended, %+v", len(c.ended), g.hold)
	}
	// The next window looks for itself.
	g.queue = nil
	g.afterRequest()
	g.open = &window{since: evening, latest: evening}
	c.ended = nil
	c.endWindows(evening.Add(26 * time.Hour))
	if len(c.ended) != 0 || !c.next.Equal(evening.Add(35*time.Hour)) {
		t.Errorf("in the next blackout: %d ended, the next at %s", len(c.ended), c.next)
	}
}

// A blackout is no part of the time that a window may be held for a job.
func TestCollection_holdsAfterABlackout(t *testing.T) {
	c, g, evening := night(t, ", onRunning: queue")
	c.holdFor = 2 * time.Hour
	c.endWindows(evening.Add(2 * time.Hour))
	if len(c.looks) != 0 || len(c.ended) != 0 {
		t.Fatalf("in the blackout: %d looks, %d ended", len(c.looks), len(c.ended))
	}
	c.endWindows(evening.Add(11 * time.Hour))
	if len(c.looks) != 1 || len(c.ended) != 0 {
		t.Fatalf("after it: %d looks, %d ended", len(c.looks), len(c.ended))
	}
	g.hold.looking, g.hold.next = false, evening.Add(12*time.Hour)
	c.endWindows(evening.Add(13 * time.Hour))
	if len(c.ended) != 1 || !g.hold.forced {
		t.Errorf("held for too long: %d ended, %+v", len(c.ended), g.hold)
	}
}

// A notification of a group that is known to be held makes nothing due. A look at all groups for
// each would be slow.
func TestSession_collectsForHeldGroups(t *testing.T) {
	b := newBench(t)
	w := b.start(dark(soon, []string{"a"}), b.nats.Connect(t))
	w.drain()
	s := newSession(w.Trigger)
	r := s.routes.All()[0]
	past := time.Now().Add(-2 * time.Hour)
	collect := func(sequence uint64) {
		t.Helper()
		h := held{Change: Change{Kind: KindCreated, Container: "a", Key: fmt.Sprint(sequence)}, route: r, counts: true}
		m := &message{sequence: sequence, stored: past, read: past}
		if err := s.collect(t.Context(), m, r.Group(), &concern{route: r, changes: []held{h}}); err != nil {
			t.Fatal(err)
		}
	}
	collect(1)
	s.collected.endWindows(s.collected.now())
	due := s.collected.next
	if until := time.Until(due); until < time.Hour {
		t.Fatalf("the window is due in %s", until)
	}
	collect(2)
	if !s.collected.next.Equal(due) {
		t.Errorf("due at %s, want %s", s.collected.next, due)
	}
	g := s.collected.groups[r.Group()]
	for name, h := range map[string]*hold{"a look is due later": {next: time.Now().Add(time.Hour)}, "a look is under way": {looking: true}} {
		g.hold, s.collected.next = h, due
		collect(g.last() + 1)
		if !s.collected.next.Equal(due) {
			t.Errorf("%s: due at %s, want %s", name, s.collected.next, due)
		}
	}
	g.hold = nil
	collect(g.last() + 1)
	if !s.collected.next.Before(due) {
		t.Errorf("not held: due at %s", s.collected.next)
	}
}

// Windows in a blackout end last, and count with those that have ended already.
func TestCollection_endLargestInABlackout(t *testing.T) {
	c, g, evening := night(t, "")
	c.offset = time.Until(evening.Add(2 * time.Hour))
	c.endWindows(evening.Add(2 * time.Hour))
	full := &window{first: 1, objects: map[object]kept{}}
	for n := range 30 {
		full.messages = append(full.messages, &message{sequence: uint64(n + 1), waits: 1})
		full.objects[object{key: fmt.Sprint(n)}] = kept{}
	}
	g.queue = []*window{full}
	small := &group{name: "small", open: &window{first: 50, messages: []*message{{waits: 1}}, objects: map[object]kept{{key: "x"}: {}}}}
	c.groups[Group{Client: "small"}] = small
	for n := range 32 {
		c.messages[uint64(n)] = &message{}
	}
	c.changes = 32
	if broken := c.endLargest(); broken != 1 || len(c.ended) != 2 || c.ended[0] != small || c.ended[1] != g || len(g.queue) != 2 || g.held() {
		t.Errorf("%d blackouts are broken, %d groups ended, %d windows of the largest", broken, len(c.ended), len(g.queue))
	}
	if c.force() {
		t.Error("more can be forced")
	}
}

// Ended windows of other groups are forced before a blackout is broken.
func TestCollection_forceInABlackout(t *testing.T) {
	c, g, evening := night(t, "")
	c.offset = time.Until(evening.Add(2 * time.Hour))
	c.endWindows(evening.Add(2 * time.Hour))
	g.close()
	if c.force() || g.hold.forced {
		t.Error("the blackout is broken")
	}
	g.hold.dark = time.Time{}
	if !c.force() || !g.hold.forced {
		t.Error("not forced without a blackout")
	}
}

func TestForecaster_knowsBlackouts(t *testing.T) {
	rs := parse(t, `routes:
- {container: a, blackout: [{schedule: "0 20 * * *", duration: 10h}], directive: {container: lists, prefix: x/}, window: {quiet: 30s, max: 5m, maxPaths: 2}`+to("a")+
		`- {container: b, onRunning: queue`+to("b"))
	f := NewForecaster(rs)
	evening := time.Date(2026, 11, 23, 19, 0, 0, 0, time.UTC)
	for i := range 24 * 6 { // each ten minutes, to 19:00 of the next day
		f.Add("storage.event.minio", nil, []byte(put("a", fmt.Sprint(i))), evening.Add(time.Duration(i)*10*time.Minute))
	}
	f.Add("storage.event.minio", nil, []byte(put("b", "1")), evening.Add(25*time.Hour))
	got := f.End()
	// Six before 20:00, thirty full windows at 06:00, and one for each ten minutes after it.
	if morning := evening.Add(11 * time.Hour); got.Requests != 6+30+78+1 || got.Changes != 145 || !got.BusiestHour.Equal(morning) || got.Busiest != 36 || !got.From.Equal(evening.Add(30*time.Second)) {
		t.Errorf("got %+v", got)
	}
}
