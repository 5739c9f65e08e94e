package queue

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/order"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

func TestLook(t *testing.T) {
	s := natstest.Start(t)
	nc := s.Connect(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	look := func() State {
		t.Helper()
		state, err := Look(t.Context(), js)
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	if got := look(); !reflect.DeepEqual(got, State{}) {
		t.Errorf("empty queue: %+v", got)
	}

	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	for range 3 {
		if _, err := pub.Request(t.Context(), "test", schemas.BackupRequest{ClientName: "c", SubclientName: "s"}); err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := js.Consumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := js.PauseConsumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	got := look()
	if got.Waiting != 2 || got.InFlight != 1 {
		t.Errorf("%d waiting and %d in flight, want 2 and 1", got.Waiting, got.InFlight)
	}
	if want := []order.Line{{Subject: "backup.request.test", Waiting: 3}}; !slices.Equal(got.Lines, want) {
		t.Errorf("lines %v, want %v", got.Lines, want)
	}
	if got.PausedFor < 59*time.Minute || got.PausedFor > time.Hour {
		t.Errorf("paused for %s, want an hour", got.PausedFor)
	}
	if age := got.Age(time.Now()); age <= 0 || age > time.Since(before) {
		t.Errorf("age %s, but the oldest came at most %s ago", age, time.Since(before))
	}
}
