package consumer

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backhaul/consumer/internal/pull"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/vendorapi"
)

// The pulls ask for as many messages as the vendor has capacity for. Silent pulls no longer
// count, unless the queue is paused.
func TestPuller_countsOpenPulls(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js, ctx := natstest.JetStream(t, nc), t.Context()
	queue, err := js.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	p := &puller{
		pulls: pull.New(nc, publisher.RequestsStream, publisher.RequestsConsumer, 8),
		log:   zerolog.Nop(), ready: &readiness{}, slots: newSlots(8), batch: 2,
		pause:   &pauser{js: js, queue: queue, log: zerolog.Nop()},
		picking: picking{picker: &picker{}, scarce: func() bool { return false }},
	}
	for _, capacity := range []int{0, 3} {
		p.capacity = func(int) (int, vendorapi.Cooldown) {
			return capacity, vendorapi.Cooldown{For: time.Hour, Reason: vendorapi.CooldownOutage}
		}
		if again, err := p.ask(ctx, nil); err != nil || p.pulls.Asked != capacity || (again > 0) != (capacity == 0) {
			t.Errorf("with capacity for %d: %d are asked for, again after %s, %v", capacity, p.pulls.Asked, again, err)
		}
	}
	if _, err := js.PauseConsumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := p.silent(ctx); err != nil || p.pulls.Asked != 3 {
		t.Errorf("the queue is paused: %v, and %d are asked for", err, p.pulls.Asked)
	}
	if _, err := js.ResumeConsumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer); err != nil {
		t.Fatal(err)
	}
	if err := p.silent(ctx); err != nil || p.pulls.Asked != 0 {
		t.Errorf("the queue goes on: %v, and %d are asked for", err, p.pulls.Asked)
	}
	p.pulls.Asked = 3
	if err := p.silent(ctx); err == nil || p.pulls.Asked != 0 {
		t.Errorf("the server is silent: %v, and %d are asked for", err, p.pulls.Asked)
	}
}

// A longer pause of an operator is not shortened.
func TestPauser_keepsALongerPause(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js, ctx := natstest.JetStream(t, nc), t.Context()
	queue, err := js.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.PauseConsumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	events := natstest.Stream(t, js, publisher.EventsStream)
	p := &pauser{js: js, queue: queue, events: events, pub: pub, log: zerolog.Nop()}
	for _, c := range []struct{ asked, want time.Duration }{{ResumeGrace, time.Hour}, {10 * time.Minute, time.Hour}, {2 * time.Hour, 2 * time.Hour}} {
		p.extend(ctx, c.asked, "HTTP 429 to CreateTask")
		if info, err := queue.Info(ctx); err != nil || info.PauseRemaining < c.want-10*time.Minute {
			t.Errorf("after one of %s is asked for, the pause lasts %s, %v; want %s", c.asked, info.PauseRemaining, err, c.want)
		}
		// The wait is on record behind an operator's pause, too, unless a resume takes as long.
		wait, err := LastVendorWait(ctx, events)
		if short := c.asked <= ResumeGrace; err != nil || short != (wait == VendorWait{}) || !short && (time.Until(wait.Until)-c.asked).Abs() > time.Minute || !short && wait.By != "HTTP 429 to CreateTask" {
			t.Errorf("after one of %s is asked for, %+v is on record, %v", c.asked, wait, err)
		}
	}
	// A shorter wait of another replica does not replace the longer one, and the same is recorded once.
	if err := RecordVendorWait(ctx, events, pub, VendorWait{Until: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if n := len(natstest.Stored(t, js, publisher.EventsStream, publisher.WaitSubject)); n != 2 {
		t.Errorf("%d waits were recorded, want 2", n)
	}
}
