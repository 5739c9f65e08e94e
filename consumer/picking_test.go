package consumer

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// Requests are picked while starts are scarce and a short while after, but not by a replica
// that may not.
func TestPicking_isOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scarce := false
		p := picking{picker: &picker{}, scarce: func() bool { return scarce }}
		expect := func(want bool, when string) {
			t.Helper()
			if got := p.isOn(); got != want {
				t.Errorf("%s: picked is %t", when, got)
			}
		}
		expect(false, "with starts for all")
		scarce = true
		expect(true, "while starts are scarce")
		scarce = false
		time.Sleep(pickFor - time.Second) //nolint:forbidigo // the bubble's time
		expect(true, "a short while after")
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		expect(false, "later")
		scarce = true
		p.refuse = errors.New("denied")
		expect(false, "without permission")
	})
}

// newPicking returns a consumer that can pick, without a ledger or a vendor.
func newPicking(t *testing.T) (*Consumer, jetstream.JetStream) {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	js := natstest.JetStream(t, nc)
	queue, err := js.Consumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	c := &Consumer{nc: nc, js: js, requests: natstest.Stream(t, js, publisher.RequestsStream), queue: queue, inFlight: newInFlight(), log: zerolog.Nop()}
	c.picker = newPicker(c)
	return c, js
}

func publishTo(t *testing.T, js jetstream.JetStream, subject string) uint64 {
	t.Helper()
	ack, err := js.Publish(t.Context(), subject, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// wantPick checks which message is picked, 0 for none.
func wantPick(t *testing.T, p *picker, want uint64) *delivery {
	t.Helper()
	if p.seenAt.Before(time.Now()) { // else the test shares the look
		p.seenAt = time.Time{}
	}
	d, err := p.pick(t.Context(), 1)
	var got uint64
	if d != nil {
		got = d.sequence
	}
	if err != nil && !errors.Is(err, errEmpty) || got != want {
		t.Fatalf("message %d is picked, %v; want %d", got, err, want)
	}
	return d
}

// A message that was picked is not picked again before it comes back, then before those behind
// it, and never after it was deleted, here or elsewhere.
func TestPicker(t *testing.T) {
	t.Parallel()
	c, js := newPicking(t)
	p := c.picker
	for range 4 {
		publishTo(t, js, "backup.request.a")
	}
	first, second := wantPick(t, p, 1), wantPick(t, p, 2)
	second.nak(0)
	first.nak(0)
	again := wantPick(t, p, 1) // the first of those that have come back
	second = wantPick(t, p, 2) // and not again the one that is in flight
	second.nak(time.Hour)
	if again.delivered != 2 || !again.picked() {
		t.Errorf("delivery %d of the message", again.delivered)
	}
	again.ack()
	wantPick(t, p, 3).nak(0)
	if err := c.requests.DeleteMsg(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	wantPick(t, p, 4).ack()
	wantPick(t, p, 0)
	publishTo(t, js, "backup.request.a")
	wantPick(t, p, 5).ack()
	wantPick(t, p, 0)
	second.nak(0)
	wantPick(t, p, 2).ack()
	wantPick(t, p, 0)
	if l := p.lines["backup.request.a"]; len(l.kept) > 0 {
		t.Errorf("kept are %v", l.kept)
	}
}

// A message that attached is postponed by its own handler, while the one of the other delivery
// may remove it.
func TestPicker_attachedAndRemoved(t *testing.T) {
	t.Parallel()
	c, js := newPicking(t)
	publishTo(t, js, "backup.request.a")
	d := wantPick(t, c.picker, 1)
	var both sync.WaitGroup
	both.Go(d.ack)
	both.Go(func() { (&settler{log: zerolog.Nop()}).settle(d, settlement{verb: attached}) })
	both.Wait()
	wantPick(t, c.picker, 0)
}

// Of a message that was postponed only its place is kept, and it is read again.
func TestPicker_keepsPlaces(t *testing.T) {
	t.Parallel()
	c, js := newPicking(t)
	if _, err := js.Publish(t.Context(), "backup.request.a", []byte("content")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d := wantPick(t, c.picker, 1)
		if string(d.msg.Data) != "content" {
			t.Errorf("the message is %q", d.msg.Data)
		}
		d.nak(0)
		if kept := c.picker.lines["backup.request.a"].kept[1].place; kept.Data != nil || string(d.msg.Data) != "content" {
			t.Errorf("kept is %q, the delivery has %q", kept.Data, d.msg.Data)
		}
	}
	wantPick(t, c.picker, 1).ack()
	wantPick(t, c.picker, 0)
}

// A message that this process was delivered is not picked while it is in flight, nor does the
// picker take its place: the server waits for news of the delivery.
func TestPicker_whatIsInFlight(t *testing.T) {
	t.Parallel()
	c, js := newPicking(t)
	publishTo(t, js, "backup.request.a")
	publishTo(t, js, "backup.request.a")
	msg, err := c.requests.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	delivered := c.readDelivery(msg, 1, nil)
	done := c.inFlight.read(delivered)
	wantPick(t, c.picker, 2)
	done()
	req := &request{key: publisher.NewKey("a", "id")}
	if !c.inFlight.enter(req, delivered) {
		t.Fatal("the request is in flight already")
	}
	if !c.inFlight.has(1) || c.inFlight.has(2) {
		t.Error("it is not known what is in flight")
	}
	for _, again := range []*delivery{c.readDelivery(msg, 2, &picked{}), c.readDelivery(msg, 2, nil)} {
		if c.inFlight.enter(req, again) {
			t.Fatal("two works on one request")
		}
		if got := c.inFlight.works[req.key].deliveries[1].delivery; got != delivered && got.reading != nil {
			t.Errorf("the reading %v has replaced the delivery", got)
		}
	}
	if got := c.inFlight.works[req.key].deliveries[1].delivery; got == delivered {
		t.Error("a redelivery has not replaced the delivery before it")
	}
}

// A message that attached to another is picked again, whatever becomes of the other.
func TestPicker_whatHasAttached(t *testing.T) {
	t.Parallel()
	c, js := newPicking(t)
	publishTo(t, js, "backup.request.a")
	d := wantPick(t, c.picker, 1)
	(&settler{log: zerolog.Nop()}).settle(d, settlement{verb: attached})
	m := d.reading.(*picked)
	if left := time.Until(m.from); left <= 0 || left > attachedWait {
		t.Errorf("it is picked again in %s", left)
	}
	// While the other is in flight, the message would only attach again.
	req := &request{key: publisher.NewKey("a", "id")}
	c.inFlight.enter(req, c.readDelivery(m.place, 1, nil))
	c.inFlight.enter(req, d)
	m.from = time.Now()
	wantPick(t, c.picker, 0)
	if !m.from.After(time.Now()) {
		t.Error("it is not postponed")
	}
	c.inFlight.leave(req.key, d)
	m.from = time.Now()
	wantPick(t, c.picker, 1)
}

// A subject that is no literal one finds the messages of others. They are skipped, a bounded
// number at a time, and do not hold up the others.
func TestPicker_aSubjectThatIsAFilter(t *testing.T) {
	t.Parallel()
	c, js := newPicking(t)
	const others = 2*maxForeign + 50
	for i := range others {
		publishTo(t, js, fmt.Sprint("backup.request.", i%2))
	}
	last := publishTo(t, js, "backup.request.*")
	var picks uint64
	for picks = 1; ; picks++ {
		d, err := c.picker.pick(t.Context(), 1)
		if err != nil || d == nil {
			t.Fatalf("nothing is picked after %d messages, %v", picks, err)
		}
		if d.badSource != nil {
			if d.sequence != last {
				t.Errorf("message %d is taken for that of the other subject", d.sequence)
			}
			break
		}
		d.ack()
	}
	if picks > 10 {
		t.Errorf("it is picked after %d others", picks)
	}
}

// Picks at once share a look at the stream. What it did not see is found by the next one, and its
// numbers are not taken for those of now.
func TestPicker_aSharedLook(t *testing.T) {
	t.Parallel()
	c, js := newPicking(t)
	p := c.picker
	for range 3 {
		publishTo(t, js, "backup.request.a")
	}
	shared := func(want uint64) {
		t.Helper()
		p.seenAt = time.Now().Add(time.Hour) // however busy the machine is
		wantPick(t, p, want)
	}
	wantPick(t, p, 1).ack()
	publishTo(t, js, "backup.request.b.high")
	shared(2)
	shared(3)
	shared(0) // one of three is kept no more, and that is no reason to read them again
	if l := p.line("backup.request.a"); l.read != 3 || l.end != 0 {
		t.Errorf("read to %d, end %d", l.read, l.end)
	}
	p.seenAt = time.Time{}
	wantPick(t, p, 4)
	p.seenAt = time.Time{}
	wantPick(t, p, 0)
	if l := p.line("backup.request.a"); l.read != 3 || l.end != 4 {
		t.Errorf("read to %d, end %d", l.read, l.end)
	}
}

// A message below those that were read, which nobody has handed over, is found when nothing else
// waits.
func TestPicker_findsWhatWasLeftOut(t *testing.T) {
	t.Parallel()
	c, js := newPicking(t)
	publishTo(t, js, "backup.request.a")
	publishTo(t, js, "backup.request.a")
	c.picker.line("backup.request.a").read = 1
	if _, err := c.picker.pick(t.Context(), 1); err != nil { // it learns when the stream was made, and forgets
		t.Fatal(err)
	}
	c.picker.line("backup.request.a").read = 2
	c.picker.gone(c.picker.line("backup.request.a").kept[1])
	wantPick(t, c.picker, 0)
	wantPick(t, c.picker, 1)
}

// What is remembered of subjects is bounded.
func TestPicker_manySubjects(t *testing.T) {
	t.Parallel()
	p := newPicker(nil)
	for i := range 5000 {
		p.line(fmt.Sprint("backup.request.", i))
	}
	p.line("backup.request.7").kept[1] = &picked{}
	p.tidy(map[string]uint64{"backup.request.8": 1})
	if len(p.lines) != 2 {
		t.Errorf("%d subjects are remembered", len(p.lines))
	}
}

// Only the message whose outcome is on record is deleted, not another one that a stream that was
// made again has in its place.
func TestDeleteRequest_anotherMessage(t *testing.T) {
	t.Parallel()
	c, js := newPicking(t)
	sequence := publishTo(t, js, "backup.request.a")
	msg, err := c.requests.GetMsg(t.Context(), sequence)
	if err != nil {
		t.Fatal(err)
	}
	earlier := *msg
	earlier.Time = msg.Time.Add(-time.Nanosecond)
	if err := c.deleteRequest(&earlier); err != nil {
		t.Error(err)
	}
	if _, err := c.requests.GetMsg(t.Context(), sequence); err != nil {
		t.Fatalf("another message was deleted: %v", err)
	}
	for range 2 {
		if err := c.deleteRequest(msg); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.requests.GetMsg(t.Context(), sequence); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("the message is there: %v", err)
	}
}
