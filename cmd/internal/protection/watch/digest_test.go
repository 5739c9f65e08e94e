package watch

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

// perDigest is how many sequences a digest has.
const perDigest = 4096

// pad stores messages that say nothing until the stream ends with a sequence.
func (b *bench) pad(last uint64) {
	b.Helper()
	for n := natstest.Stream(b, b.js, publisher.EventsStream).CachedInfo().State.LastSeq; n < last; n++ {
		if _, err := b.js.PublishAsync("backup.event.operator.test", nil, jetstream.WithStallWait(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	<-b.js.PublishAsyncComplete()
}

// digests returns how many digests are stored, and how often one was written.
func (b *bench) digests() (stored int, written uint64) {
	b.Helper()
	state := natstest.Stream(b, b.js, publisher.DigestStream).CachedInfo().State
	return int(state.Msgs), state.LastSeq
}

// Replicas that read the same events write each digest once. One that starts later reads what was
// said of the groups, although no digest has that, and says it no second time.
func TestDigests(t *testing.T) {
	t.Parallel()
	b := newBench(t, rpo(time.Minute))
	c := b.changes("g", time.Now().Add(-time.Hour))
	_, stop := b.start(b.config())
	b.wait("breached rpo")
	_, stopOther := b.start(b.config())
	b.pad(2*perDigest + 10)
	waittest.Eventually(t, "two digests", func() bool { stored, _ := b.digests(); return stored == 2 })
	stop()
	stopOther()
	late, _ := b.start(b.config())
	late.Caught(t.Context())
	b.settle(late)
	b.wait("breached rpo")
	c.end(schemas.OutcomeCompleted)
	b.wait("breached rpo", "restored covered")
	if stored, written := b.digests(); stored != 2 || written != 2 {
		t.Errorf("%d digests are stored, and %d were written", stored, written)
	}
}

// A watch that starts reads digests, and what they do not have from the events.
func TestDigests_AreRead(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.changes("of the events", time.Now())
	b.pad(perDigest)
	b.changes("g", time.Now())
	stream := natstest.Stream(t, b.js, publisher.EventsStream)
	d := protection.NewDigester(b.js, b.pub, stream.CachedInfo().Created)
	for sequence := uint64(1); sequence <= perDigest; sequence++ {
		m, err := stream.GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		if c := d.Take(protection.Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Sequence: m.Sequence, Stored: m.Time}, nil); c != nil {
			if err := d.Write(t.Context(), c); err != nil { // one that says nothing
				t.Fatal(err)
			}
		}
	}
	w, _ := b.start(b.config())
	w.Caught(t.Context())
	if v := w.Look(); len(v.Groups) != 1 || v.Groups[0].Subclient != "g" {
		t.Errorf("the groups are %+v", v.Groups)
	}
}

// Without a stream for digests every event is read, and the reader does not wait for the stream.
func TestDigests_AreNotNecessary(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	if err := b.js.DeleteStream(t.Context(), publisher.DigestStream); err != nil {
		t.Fatal(err)
	}
	b.changes("g", time.Now())
	b.pad(4*perDigest + 10)
	began := time.Now()
	w, _ := b.start(b.config())
	w.Caught(t.Context())
	if v := w.Look(); len(v.Groups) != 1 || v.Stale != "" {
		t.Errorf("got %+v", v)
	}
	if took := time.Since(began); took > 4*keepLimit {
		t.Errorf("the first view took %s", took)
	}
}
