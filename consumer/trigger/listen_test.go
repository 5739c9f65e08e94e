package trigger

import (
	"testing"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// What another process can know of the trigger: from the replica that reads, whoever
// that is, and from the last record.
func TestListen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	listen := func() *State {
		t.Helper()
		said, err := Listen(t.Context(), b.nc)
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	last := func() *Decision {
		t.Helper()
		windows := natstest.Stream(t, b.js, publisher.WindowsStream)
		d, err := LastDecision(t.Context(), windows)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if said := listen(); said != nil || last() != nil {
		t.Errorf("nobody reads, and %+v is said; the last decision is %+v", said, last())
	}
	const routes = `routes:
- {container: a, clientName: c, subclientName: full, window: {quiet: 1h, max: 2h, maxPaths: 3}, directive: {container: lists, prefix: backhaul/}}
- {container: b, clientName: c, subclientName: open, window: {quiet: 1h, max: 2h}}
- {container: e, clientName: c, instanceName: i, subclientName: gone, window: {quiet: 1s}}
`
	reader := b.run(routes)
	b.eventually("a reader", func() bool { return reader.State().Reading })
	other := b.run(routes)
	b.publish(put("a", "1"), put("a", "2"), put("a", "3"), put("b", "1"), put("b", "2"))
	var said *State
	b.eventually("one request and one open window", func() bool {
		said = listen()
		return said != nil && said.Asked.Requests == 1 && said.Changes == 2
	})
	if said.Windows != 1 || said.Notifications != 2 || said.Oldest.IsZero() || said.Asked.Changes != 3 || said.Asked.Since.IsZero() || !said.Reading {
		t.Errorf("it says %+v", said)
	}
	asked := b.requests()[0]
	if d := last(); d == nil || d.ContentGroup != "c/full" || d.Changes != 3 || d.RequestID != asked.RequestID || d.At.Before(said.Oldest.AddDate(0, 0, -1)) {
		t.Errorf("the last decision is %+v, the request is %s", d, asked.RequestID)
	}

	reader.kill()
	b.eventually("the other replica says what it holds", func() bool {
		said = listen()
		return said != nil && said.Windows == 1 && said.Changes == 2 && said.Asked.Requests == 0
	})
	if !other.State().Reading {
		t.Errorf("%+v is said, and not by it", said)
	}
	b.publish(put("e", "1"), removed("e", "1"))
	b.eventually("a decision that asks for nothing", func() bool { d := last(); return d != nil && d.ContentGroup == "c/i/gone" })
	if d := last(); d.RequestID != "" || d.Changes != 0 {
		t.Errorf("the last decision is %+v", d)
	}
}
