package reader

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher/natstest"
)

// delivery is a message's place in the stream and among the deliveries.
func delivery(stream, consumer uint64) *nats.MsgMetadata {
	return &nats.MsgMetadata{Sequence: nats.SequencePair{Stream: stream, Consumer: consumer}}
}

// A delivery has the next number. What is missing before the first one of a pull is a gap only if
// the stream has it.
func TestOrder(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t, delivers(jetstream.DeliverAllPolicy)).Connect(t)
	js := natstest.JetStream(t, nc)
	for _, kind := range []string{"job-started", "job-started", "job-failed", "job-started"} {
		if _, err := js.Publish(t.Context(), "backup.event."+kind+".billing.a", nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		last, next, number uint64 // next is the second delivery, after the one of last
		pulled, again      bool
		want               error
	}{
		"one after the other":       {1, 2, 2, true, false, nil},
		"the same again":            {2, 2, 2, true, true, nil},
		"an earlier one again":      {4, 1, 2, true, true, nil},
		"others are between":        {2, 4, 2, true, false, nil},
		"one is missing":            {1, 4, 2, true, false, ErrGap},
		"the stream has no more":    {4, 9, 2, true, false, nil},
		"within a pull":             {1, 4, 2, false, false, nil},
		"a number is missing":       {1, 2, 3, false, false, ErrGap},
		"the numbers begin again":   {1, 2, 1, false, false, ErrGap},
		"the same number once more": {2, 2, 1, false, false, ErrGap},
	} {
		o := started.Order(js, "backup.event.job-started.>")
		o.Pulled()
		if again, err := o.Next(t.Context(), delivery(c.last, 1)); err != nil || again {
			t.Fatalf("%s: the first one: %t, %v", name, again, err)
		}
		if c.pulled {
			o.Pulled()
		}
		if again, err := o.Next(t.Context(), delivery(c.next, c.number)); !errors.Is(err, c.want) || again != c.again {
			t.Errorf("%s: %t, %v, want %t, %v", name, again, err, c.again, c.want)
		}
	}
	o := started.Order(js, "backup.event.job-started.>")
	if _, err := o.Next(t.Context(), delivery(1, 1)); err != nil {
		t.Fatal(err)
	}
	o.Pulled()
	nc.Close()
	if _, err := o.Next(t.Context(), delivery(4, 2)); err == nil || errors.Is(err, ErrGap) {
		t.Errorf("without a server: %v", err)
	}
}
