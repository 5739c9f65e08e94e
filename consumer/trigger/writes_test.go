package trigger

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// A stream that takes no requests, or no records of windows, is told of at once and by
// one line; nothing is lost.
func TestTrigger_SaysThatAStreamIsFull(t *testing.T) {
	t.Parallel()
	for _, full := range []string{publisher.RequestsStream, publisher.WindowsStream} {
		t.Run(full, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, natstest.Change(func(cfg *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
				if cfg != nil && cfg.Name == full {
					cfg.Discard, cfg.MaxBytes = jetstream.DiscardNew, 100
				}
			}))
			w := b.run(routesFor(soon, "a", "b", "c"))
			if err := w.Writable(); err != nil {
				t.Errorf("before: %v", err)
			}
			b.publish(put("a", "1"), put("b", "2"), put("c", "3"))
			b.eventually("a condition", func() bool { return w.Writable() != nil })
			if text := w.Writable().Error(); !strings.Contains(text, full) || !strings.Contains(text, "maximum bytes exceeded") {
				t.Errorf("the condition is %s", text)
			}
			b.eventually("the log says so", func() bool { return strings.Contains(b.log.String(), "a stream does not take") })
			if n := b.pending(); n != 3 {
				t.Errorf("%d notifications are left, want 3", n)
			}

			stream, err := b.js.Stream(t.Context(), full)
			if err != nil {
				t.Fatal(err)
			}
			cfg := stream.CachedInfo().Config
			cfg.MaxBytes = -1
			if _, err := b.js.UpdateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			b.requested(3)
			b.settled()
			b.exactlyOnce([]string{"/a/1", "/b/2", "/c/3"})
			b.eventually("no condition", func() bool { return w.Writable() == nil })
			if n := strings.Count(b.log.String(), "a stream does not take"); n != 1 {
				t.Errorf("%d lines about it, want 1", n)
			}
		})
	}
}
