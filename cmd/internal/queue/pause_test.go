package queue

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/operator"
	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

var ann = operator.By{Actor: "ann@ops", Reason: "maintenance"}

type rig struct {
	t   *testing.T
	js  jetstream.JetStream
	pub *publisher.Publisher
}

func newRig(t *testing.T) *rig {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, js: natstest.JetStream(t, nc), pub: pub}
}

func (b *rig) remaining() time.Duration {
	b.t.Helper()
	info, err := consumerInfo(b.t.Context(), b.js)
	if err != nil {
		b.t.Fatal(err)
	}
	return info.PauseRemaining
}

// events returns the actions on record.
func (b *rig) events() (all []schemas.OperatorEvent) {
	b.t.Helper()
	for _, msg := range natstest.Stored(b.t, b.js, publisher.EventsStream, publisher.AnyOperator) {
		e, err := schemas.DecodeOperatorEvent(msg.Data)
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	if r, err := Resume(t.Context(), b.js, b.pub, ann, false); err != nil || !r.From.IsZero() || len(b.events()) != 0 {
		t.Errorf("nothing to resume: %+v, %v, %d events", r, err, len(b.events()))
	}
	p, err := Pause(t.Context(), b.js, b.pub, time.Hour, ann)
	if err != nil || p.Kept {
		t.Fatalf("%+v, %v", p, err)
	}
	if got := b.remaining(); got < 50*time.Minute || got > time.Hour {
		t.Errorf("%s of an hour are left", got)
	}
	shorter, err := Pause(t.Context(), b.js, b.pub, time.Minute, operator.By{Actor: "bob"})
	if err != nil || !shorter.Kept || shorter.Until.Sub(p.Until).Abs() > time.Second || b.remaining() < 50*time.Minute {
		t.Errorf("a shorter pause: %+v, %v, was %+v", shorter, err, p)
	}
	r, err := Resume(t.Context(), b.js, b.pub, ann, false)
	if err != nil || r.From.IsZero() || r.VendorWait != nil || b.remaining() > consumer.ResumeGrace {
		t.Errorf("resumed: %+v, %v; %s are left", r, err, b.remaining())
	}
	events := b.events()
	if len(events) != 3 {
		t.Fatalf("on record: %+v", events)
	}
	for i, want := range []struct {
		action schemas.Action
		actor  string
	}{{schemas.ActionPause, "ann@ops"}, {schemas.ActionPause, "bob"}, {schemas.ActionResume, "ann@ops"}} {
		e := events[i]
		if e.Action != want.action || e.Actor != want.actor || e.Pause.Until.Sub(p.Until).Abs() > time.Second || e.Pause.Consumer != "backhaul" {
			t.Errorf("on record: %+v, want %+v", e, want)
		}
	}
}

// A replica reads the state before an operator's pause and writes its own, shorter
// pause after it.
func TestInsist_RestoresAShortenedPause(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	until := time.Now().Add(time.Hour)
	for _, shortened := range []time.Time{time.Now().Add(time.Minute), {}} { // and ended
		if err := pauseUntil(t.Context(), b.js, shortened); err != nil {
			t.Fatal(err)
		}
		if err := insist(t.Context(), b.js, until); err != nil || b.remaining() < 50*time.Minute {
			t.Errorf("%s are left, %v", b.remaining(), err)
		}
	}
	longer := time.Now().Add(2 * time.Hour)
	if err := pauseUntil(t.Context(), b.js, longer); err != nil {
		t.Fatal(err)
	}
	if err := insist(t.Context(), b.js, until); err != nil || b.remaining() < 90*time.Minute {
		t.Errorf("a longer one became %s, %v", b.remaining(), err)
	}
}

func TestPause_Refuses(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	for _, d := range []time.Duration{0, -time.Hour, LongestPause + 1} {
		if p, err := Pause(t.Context(), b.js, b.pub, d, ann); err == nil {
			t.Errorf("%s: %+v", d, p)
		}
	}
	if _, err := Pause(t.Context(), b.js, b.pub, time.Hour, operator.By{}); err == nil {
		t.Error("Pause without an actor succeeded")
	}
	if _, err := Resume(t.Context(), b.js, b.pub, operator.By{}, true); err == nil {
		t.Error("Resume without an actor succeeded")
	}
	// Without a record the queue is not paused.
	if err := b.js.DeleteStream(t.Context(), publisher.EventsStream); err != nil {
		t.Fatal(err)
	}
	if _, err := Pause(t.Context(), b.js, b.pub, time.Hour, ann); err == nil || b.remaining() > 0 {
		t.Errorf("without a record: %v, %s are left", err, b.remaining())
	}
}

// wait records a wait that the vendor asks for, as a replica does.
func (b *rig) wait(d time.Duration) {
	b.t.Helper()
	w := consumer.VendorWait{Until: time.Now().Add(d).UTC(), By: "HTTP 503 to CreateTask"}
	if err := consumer.RecordVendorWait(b.t.Context(), natstest.Stream(b.t, b.js, publisher.EventsStream), b.pub, w); err != nil {
		b.t.Fatal(err)
	}
}

func (b *rig) pause(d time.Duration) {
	b.t.Helper()
	if err := pauseUntil(b.t.Context(), b.js, time.Now().Add(d)); err != nil {
		b.t.Fatal(err)
	}
}

// A replica that is started later does not know that the vendor asked to wait, so a resume does not
// end that pause, and without force none that no operator has made.
func TestResume_keepsAPauseOfNoOperator(t *testing.T) {
	t.Parallel()
	for _, vendor := range []bool{true, false} {
		b, want := newRig(t), "by no operator on record"
		if b.pause(time.Hour); vendor {
			b.wait(time.Hour)
			want = "because the vendor asked for it (HTTP 503 to CreateTask); the pause ends by itself then"
			// Who asks for a shorter pause has the end of the longer one on record.
			if _, err := Pause(t.Context(), b.js, b.pub, time.Minute, ann); err != nil {
				t.Fatal(err)
			}
		}
		before := len(b.events())
		r, err := Resume(t.Context(), b.js, b.pub, ann, false)
		notBy, ok := errors.AsType[*NotByOperatorError](err)
		if !ok || !strings.Contains(err.Error(), want) || time.Until(notBy.Until) < 50*time.Minute || !r.From.IsZero() {
			t.Fatalf("vendor %t: %+v, %v, want %q", vendor, r, err, want)
		}
		if len(b.events()) != before || b.remaining() < 50*time.Minute {
			t.Errorf("vendor %t: %d events more, %s are left", vendor, len(b.events())-before, b.remaining())
		}
		r, err = Resume(t.Context(), b.js, b.pub, ann, true)
		if err != nil || r.From.IsZero() || b.remaining() > consumer.ResumeGrace || len(b.events()) != before+1 {
			t.Errorf("vendor %t, with force: %+v, %v, %s are left", vendor, r, err, b.remaining())
		}
	}
}

// The vendor's wait outlives the operator's longer pause.
func TestResume_waitsForTheVendor(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	if _, err := Pause(t.Context(), b.js, b.pub, 3*time.Hour, ann); err != nil {
		t.Fatal(err)
	}
	b.wait(time.Hour)
	who, err := WhoPaused(t.Context(), b.js, time.Now(), time.Now().Add(b.remaining()))
	if err != nil || who.Vendor || !strings.HasPrefix(who.Text(), ", by ann@ops: maintenance; the vendor asked to wait until ") {
		t.Errorf("%+v, %v", who, err)
	}
	r, err := Resume(t.Context(), b.js, b.pub, ann, false)
	if left := b.remaining(); err != nil || r.VendorWait == nil || left < 50*time.Minute || left > time.Hour {
		t.Fatalf("%+v, %v, %s are left, want an hour", r, err, left)
	}
	if who, err := WhoPaused(t.Context(), b.js, time.Now(), r.From); err != nil || !who.Vendor {
		t.Errorf("after that: %+v, %v", who, err)
	}
	if _, err := Resume(t.Context(), b.js, b.pub, ann, false); err == nil {
		t.Error("the rest was ended")
	}
}
