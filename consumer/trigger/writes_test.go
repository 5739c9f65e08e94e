package trigger

import (
	"strings"
	"testing"

	"backhaul/publisher"
)

// A stream that takes no requests, or no records of windows, is reported at once and by
// one line; nothing is lost.
func TestTrigger_saysThatAStreamIsFull(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{publisher.RequestsStream, publisher.WindowsStream} {
		t.Run(stream, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, full(stream))
			w := b.run(routesFor(soon, "a", "b", "c"))
			if err := w.Writable(); err != nil {
				t.Errorf("before: %v", err)
			}
			b.publish(put("a", "1"), put("b", "2"), put("c", "3"))
			b.eventually("a condition", func() bool { return w.Writable() != nil })
			if text := w.Writable().Error(); !strings.Contains(text, stream) || !strings.Contains(text, "maximum bytes exceeded") {
				t.Errorf("the condition is %s", text)
			}
			b.eventually("the log says so", func() bool { return strings.Contains(b.log.String(), "a stream does not take") })
			if n := b.pending(); n != 3 {
				t.Errorf("%d notifications are left, want 3", n)
			}

			b.limit(stream, -1)
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
