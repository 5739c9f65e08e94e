package queue

import (
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

func TestLookAtTrigger(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js := natstest.JetStream(t, nc)
	look := func() *Trigger {
		t.Helper()
		seen, err := LookAtTrigger(t.Context(), js)
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	if got := look(); got != nil {
		t.Errorf("without its streams the trigger is %+v", got)
	}
	natstest.ProvisionTrigger(t, nc)
	if got := look(); got == nil || *got != (Trigger{}) {
		t.Errorf("with empty streams: %+v", got)
	}

	before := time.Now()
	for range 3 {
		if _, err := js.Publish(t.Context(), "storage.event.minio", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := js.Consumer(t.Context(), publisher.StorageStream, publisher.StorageConsumer)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	got := look()
	if got.Waiting != 2 || got.InFlight != 1 || got.LastDecision != nil || got.Reader != nil {
		t.Errorf("%+v, want 2 waiting, 1 in flight, no decision and no reader", got)
	}
	if age := got.Age(time.Now()); age <= 0 || age > time.Since(before) {
		t.Errorf("age %s, but the oldest came at most %s ago", age, time.Since(before))
	}

	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pub.RecordWindow(t.Context(), "a group", 0, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := look(); got.Waiting != 2 || got.InFlight != 0 || got.LastDecision == nil || got.LastDecision.At.Before(before) {
		t.Errorf("%+v, want 2 waiting, 0 in flight and a recent decision", got)
	}

	for _, drop := range []func() error{
		func() error { return js.DeleteStream(t.Context(), publisher.WindowsStream) },
		func() error {
			return js.DeleteConsumer(t.Context(), publisher.StorageStream, publisher.StorageConsumer)
		},
	} {
		if err := drop(); err != nil {
			t.Fatal(err)
		}
		if got := look(); got.Waiting != 2 || got.LastDecision != nil {
			t.Errorf("with a part missing: %+v, want 2 waiting", got)
		}
	}
}
