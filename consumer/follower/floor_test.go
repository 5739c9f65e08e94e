package follower

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// A consumer that begins with the jobs of the last week does not go back behind them, although
// nothing was acknowledged yet: after an upgrade old jobs are not followed.
func TestAConsumerThatBeginsLater(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]jetstream.DeliverPolicy{"by time": jetstream.DeliverByStartTimePolicy, "new": jetstream.DeliverNewPolicy} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			durable, err := b.js.Consumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer)
			if err != nil {
				t.Fatal(err)
			}
			cfg := durable.CachedInfo().Config
			if err := b.js.DeleteConsumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer); err != nil {
				t.Fatal(err)
			}
			b.started("old", "1")
			b.vendor.put("1", "Completed")
			stream, err := b.js.Stream(t.Context(), publisher.EventsStream)
			if err != nil {
				t.Fatal(err)
			}
			since := stream.CachedInfo().State.LastTime.Add(time.Nanosecond)
			if cfg.DeliverPolicy = policy; policy == jetstream.DeliverByStartTimePolicy {
				cfg.OptStartTime = &since
			}
			if _, err := b.js.CreateConsumer(t.Context(), publisher.EventsStream, cfg); err != nil {
				t.Fatal(err)
			}
			first := b.run()
			b.eventually("it reads", func() bool { return first.State().Reading })
			b.started("new", "2")
			b.vendor.put("2", "Completed")
			b.tells("finished 2 completed")
			first.drain()
			b.run()
			b.settled()
			b.tells("finished 2 completed")
		})
	}
}
