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
	jetstream.Consumer
	sweeps int
}

func (c *sweepCount) Info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	c.sweeps++
	return c.Consumer.Info(ctx)
}

// Exactly the messages that are below the acknowledgement floor in two sweeps are processed,
// and then deleted: all of them in one sweep, because a server can forget thousands.
func TestSweep_takesUpWhatWasForgotten(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js, ctx := natstest.JetStream(t, nc), t.Context()
	const forgotten = 250
	for range forgotten + 1 {
		if _, err := js.Publish(ctx, "backup.request.test", nil); err != nil {
			t.Fatal(err)
		}
	}
	// All but the last one count as acknowledged, and the third is gone.
	reset := fmt.Sprintf("$JS.API.CONSUMER.RESET.%s.%s", publisher.RequestsStream, publisher.RequestsConsumer)
	if _, err := nc.Request(reset, fmt.Appendf(nil, `{"seq":%d}`, forgotten+1), time.Minute); err != nil {
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
	counted := &sweepCount{Consumer: queue}
	c := &Consumer{cfg: Config{SweepInterval: 10 * time.Millisecond}, requests: requests, queue: counted, log: zerolog.Nop()}
	running, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	var taken []uint64
	c.sweep(running, func(d *delivery) {
		if taken = append(taken, d.sequence); counted.sweeps != 2 {
			t.Errorf("message %d is taken up in sweep %d", d.sequence, counted.sweeps)
		}
		d.ack()
		if d.sequence == forgotten {
			stop()
		}
	})
	if len(taken) != forgotten-1 || taken[0] != 1 || taken[1] != 2 || taken[2] != 4 {
		t.Errorf("taken up: %v, want all but 3", taken)
	}
	for sequence, want := range map[uint64]bool{1: false, 2: false, forgotten: false, forgotten + 1: true} {
		_, err := requests.GetMsg(ctx, sequence)
		if gone := errors.Is(err, jetstream.ErrMsgNotFound); gone == want {
			t.Errorf("message %d: %v", sequence, err)
		}
	}
}
