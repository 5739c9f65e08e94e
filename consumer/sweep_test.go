package consumer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// sweepCount counts the sweeps by their requests to the server.
type sweepCount struct {
	jetstream.Stream
	sweeps int
}

func (c *sweepCount) Info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	c.sweeps++
	return c.Stream.Info(ctx, opts...)
}

// Exactly the messages that are below the acknowledgement floor in two sweeps are processed,
// and then deleted.
func TestSweep_takesUpWhatWasForgotten(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js, ctx := natstest.JetStream(t, nc), t.Context()
	for range 4 {
		if _, err := js.Publish(ctx, "backup.request.test", nil); err != nil {
			t.Fatal(err)
		}
	}
	// After the third one: the first three count as acknowledged, and the third is gone.
	reset := fmt.Sprintf("$JS.API.CONSUMER.RESET.%s.%s", publisher.RequestsStream, publisher.RequestsConsumer)
	if _, err := nc.Request(reset, []byte(`{"seq":4}`), time.Minute); err != nil {
		t.Fatal(err)
	}
	requests := natstest.Stream(t, js, publisher.RequestsStream)
	if err := requests.DeleteMsg(ctx, 3); err != nil {
		t.Fatal(err)
	}
	queue, err := js.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	counted := &sweepCount{Stream: requests}
	c := &Consumer{cfg: Config{SweepInterval: 10 * time.Millisecond}, requests: counted, queue: queue, log: zerolog.Nop()}
	running, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	var taken []uint64
	c.sweep(running, func(d *delivery) {
		if taken = append(taken, d.sequence); counted.sweeps != 2 {
			t.Errorf("message %d is taken up in sweep %d", d.sequence, counted.sweeps)
		}
		d.ack()
		stop()
	})
	if fmt.Sprint(taken) != "[1 2]" {
		t.Errorf("taken up: %v, want 1 and 2", taken)
	}
	for sequence, want := range map[uint64]bool{1: false, 2: false, 4: true} {
		_, err := requests.GetMsg(ctx, sequence)
		if gone := errors.Is(err, jetstream.ErrMsgNotFound); gone == want {
			t.Errorf("message %d: %v", sequence, err)
		}
	}
}
