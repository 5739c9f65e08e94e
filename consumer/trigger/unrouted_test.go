package trigger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
)

// What no route takes is counted by container, but not what a route ignores, a deletion that no
// route wants, or what changes nothing.
func TestUnrouted_isCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.run("routes:\n- {container: ignored, ignore: true}\n- {container: a, window: {quiet: 300ms}" + to("g"))
	b.publish(put("other", "k1"), put("other", "k2"), put("third", "k"), removed("third", "k"), put("ignored", "k"), removed("a", "k"), put("a", "k"))
	b.requested(1)
	b.settled()
	b.eventually("the counts", func() bool { u := w.State().Unrouted; return u != nil && u.Changes == 4 })
	u := w.State().Unrouted
	if len(u.Containers) != 2 || u.Others != 0 {
		t.Fatalf("got %+v", u)
	}
	for i, want := range []UnroutedContainer{{Container: "other", Changes: 2, Key: "k2"}, {Container: "third", Changes: 2, Key: "k"}} {
		got := u.Containers[i]
		if got.Container != want.Container || got.Changes != want.Changes || got.Key != want.Key || got.System != "minio" || time.Since(got.Last) > time.Minute {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	b.eventually("a line of the log", func() bool { return strings.Contains(b.log.String(), "no route takes changes") })
	if n := len(b.stored(publisher.DeadLetterStream)); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// With KeepUnrouted the notification becomes a dead letter; what a route takes of it is requested.
func TestUnrouted_isKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rs := parse(b, "routes:\n- {container: a, window: {quiet: 300ms}"+to("g"))
	rs.KeepUnrouted = true
	w := b.run("routes:\n- {container: x" + to("x"))
	b.eventually("reading", func() bool { return w.State().Reading })
	if err := w.SetRoutes(rs); err != nil {
		t.Fatal(err)
	}
	b.eventually("the routes", func() bool { return strings.Contains(b.log.String(), "by other routes") })
	both := `{"EventName":"x","Key":"x","Records":[` + minioRecord("s3:ObjectCreated:Put", "a", "1") + "," + minioRecord("s3:ObjectCreated:Put", "lost", "2") + `]}`
	b.publish(both, put("a", "3"), removed("a", "4"))
	b.requested(1)
	b.settled()
	letters := b.stored(publisher.DeadLetterStream)
	if len(letters) != 1 {
		t.Fatalf("%d dead letters", len(letters))
	}
	d := publisher.ReadDeadLetter(letters[0].Subject, letters[0].Header, letters[0].Data)
	if d.Code != CodeNoRoute || string(d.Data) != both || d.Subject != "storage.event.minio" ||
		d.Reason != "no route takes 1 of its 2 changes; the first: created of 2 in container lost of system minio" {
		t.Errorf("got %+v", d)
	}
}

// Counts and log are bounded.
func TestUnrouted_isBounded(t *testing.T) {
	t.Parallel()
	log := &waittest.Log{}
	tr := &Trigger{log: zerolog.New(log)}
	u := &tr.unrouted
	if u.state() != nil {
		t.Error("there is a state before the first change")
	}
	now := time.Now()
	tr.logUnrouted(now)
	for i := range maxUnrouted + 10 {
		for range 1 + i/200 {
			u.note(Change{Container: fmt.Sprint("b", i), Key: strings.Repeat("k", 1000)})
		}
	}
	u.note(Change{Container: "b7"})
	state := u.state()
	if state.Changes != maxUnrouted+21 || len(state.Containers) != maxTold || state.Containers[0].Container != "b7" || state.Others != state.Changes-maxTold-1 ||
		len(u.containers) != maxUnrouted || len(u.containers[place{container: "b6"}].Key) > 210 {
		t.Errorf("got %d changes, %d containers, %d others, %+v", state.Changes, len(state.Containers), state.Others, state.Containers[0])
	}
	for _, at := range []time.Duration{0, time.Second, unroutedPause - 1} {
		tr.logUnrouted(now.Add(at))
		u.note(Change{Container: "late"})
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines within a minute", n)
	}
	tr.logUnrouted(now.Add(unroutedPause))
	if text := log.String(); !strings.Contains(text, `"changes":3,`) || strings.Count(text, "\n") != 2 {
		t.Errorf("after a minute:\n%s", text)
	}
}
