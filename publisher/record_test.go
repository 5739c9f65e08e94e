package publisher_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// The states of the logins and the windows of the trigger have one writer at a time: the
// last one knows what the one before wrote.
func TestRecords_lastWriterKnowsTheOneBefore(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	natstest.ProvisionTrigger(t, nc)
	pub, ctx, js := newPublisher(t, nc), within(t, patience), natstest.JetStream(t, nc)
	for name, c := range map[string]struct {
		stream string
		record func(ctx context.Context, after uint64, record []byte) (uint64, error)
		last   func(ctx context.Context, stream jetstream.Stream) ([]byte, uint64, error)
	}{
		"logins": {publisher.EventsStream, pub.RecordLogins, publisher.LastLogins},
		"window": {publisher.WindowsStream, func(ctx context.Context, after uint64, record []byte) (uint64, error) {
			return pub.RecordWindow(ctx, "a group", after, record)
		}, func(ctx context.Context, stream jetstream.Stream) ([]byte, uint64, error) {
			return publisher.LastWindow(ctx, stream, "a group")
		}},
	} {
		stream := natstest.Stream(t, js, c.stream)
		if name == "window" { // of another group, which does not conflict
			if _, err := pub.RecordWindow(ctx, "another group", 0, []byte("other")); err != nil {
				t.Fatal(err)
			}
		}
		if data, after, err := c.last(ctx, stream); err != nil || after != 0 || data != nil {
			t.Errorf("%s: %q, %d, %v before the first", name, data, after, err)
		}
		for _, text := range []string{"one", "two"} {
			_, after, err := c.last(ctx, stream)
			if err != nil {
				t.Fatal(err)
			}
			sequence, err := c.record(ctx, after, []byte(text))
			if err != nil || sequence <= after {
				t.Fatalf("%s: %s has the sequence %d after %d, %v", name, text, sequence, after, err)
			}
			if _, err := c.record(ctx, after, []byte("late")); !errors.Is(err, publisher.ErrConflict) {
				t.Errorf("%s: a writer that does not know of it: %v, want a conflict", name, err)
			}
			if data, last, err := c.last(ctx, stream); err != nil || string(data) != text || last != sequence {
				t.Errorf("%s: %q, %d, %v, want %s", name, data, last, err, text)
			}
		}
	}
}
