package consumer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// limited makes a stream reject messages beyond these limits. 0 means no limit.
func limited(stream string, messages, bytes int64) natstest.Change {
	return func(cfg *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if cfg != nil && cfg.Name == stream {
			cfg.Discard = jetstream.DiscardNew
			if cfg.MaxMsgs = messages; messages == 0 {
				cfg.MaxMsgs = -1
			}
			if cfg.MaxBytes = bytes; bytes == 0 {
				cfg.MaxBytes = -1
			}
		}
	}
}

// warnings counts the lines of a log at level warn that contain all of these texts.
func warnings(log string, texts ...string) (n int) {
	for line := range strings.Lines(log) {
		lacks := func(text string) bool { return !strings.Contains(line, text) }
		if strings.Contains(line, `"level":"warn"`) && !slices.ContainsFunc(texts, lacks) {
			n++
		}
	}
	return n
}

// A full stream is reported at the first rejected write, and until it has space again.
func TestConsumer_SaysThatAStreamIsFull(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		full        natstest.Change
		stream      string
		members     []string
		attempts    func(*setup) // the lease of the claims
		counted     string       // as the observer is called
		jobs        int
		redelivered int // lines about redeliveries that the stream is the reason of
	}{
		"events before the claims": {limited(publisher.EventsStream, 0, 300), publisher.EventsStream, nil, hasty,
			"wrote <nil> claim job-submitting false false", 5, 1},
		"events between claim and outcome": {limited(publisher.EventsStream, 5, 0), publisher.EventsStream, nil, unhurried, // a claim that is not written keeps trying for its lease
			"wrote <nil> record job-started false false", 5, 0},
		"dead letters": {limited(publisher.DeadLetterStream, 0, 300), publisher.DeadLetterStream, []string{refused}, hasty, "", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{}, c.full)
			told := new(notes)
			w := b.start(c.attempts, func(s *setup) { s.cfg.Observer = told })
			trouble := w.consumer.Writable
			if c.stream == publisher.DeadLetterStream {
				trouble = w.consumer.DeadLetters
			}
			if err := trouble(); err != nil {
				t.Errorf("before: %v", err)
			}
			const requests = 5
			for _, id := range []string{"a", "b", "c", "d", "e"} {
				b.publish("billing", body(id, c.members...))
			}
			b.eventually("a condition", func() bool { return trouble() != nil })
			if text := trouble().Error(); !strings.Contains(text, c.stream) || !strings.Contains(text, "maximum") {
				t.Errorf("the condition is %s", text)
			}
			b.eventually("the log says so", func() bool { return strings.Contains(w.log.String(), "a stream does not take what is written") })
			if c.counted != "" {
				told.has(t, b, c.counted)
			}
			if c.redelivered > 0 { // each of them, at least twice
				b.eventually("rounds", func() bool { return strings.Count(w.log.String(), "request postponed") >= 2*requests })
			}
			if n := warnings(w.log.String(), "a stream does not take"); n < 1 || n > 2 {
				t.Errorf("%d lines about the stream, want one for each reason\n%s", n, w.log.String())
			}
			if n := warnings(w.log.String(), "maximum", "request postponed"); n != c.redelivered {
				t.Errorf("%d lines about %d requests that wait for one reason, want %d\n%s", n, requests, c.redelivered, w.log.String())
			}

			stream := natstest.Stream(t, b.js, c.stream)
			cfg := stream.CachedInfo().Config
			cfg.MaxMsgs, cfg.MaxBytes, cfg.Discard = -1, -1, jetstream.DiscardOld
			if _, err := b.js.UpdateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			b.settled()
			b.eventually("no condition", func() bool { return trouble() == nil })
			if n := len(b.stored(publisher.EventsStream, publisher.EventFilter(schemas.KindJobStarted, ""))); n != c.jobs {
				t.Errorf("%d jobs, want %d", n, c.jobs)
			}
			b.checkPromise(c.jobs)
		})
	}
}

// A full ledger is reported before a write is rejected.
func TestConsumer_SaysThatAnIdleLedgerIsFull(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, limited(publisher.EventsStream, 1, 0))
	if _, err := b.js.Publish(t.Context(), "backup.event.operator.pause", nil); err != nil {
		t.Fatal(err)
	}
	w := b.start()
	b.eventually("a condition", func() bool { return w.consumer.Writable() != nil })
	if text := w.consumer.Writable().Error(); !strings.Contains(text, "it is full: 1 of max_msgs 1") {
		t.Errorf("the condition is %s", text)
	}
	stream := natstest.Stream(t, b.js, publisher.EventsStream)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgs = 100
	if _, err := b.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	b.eventually("no condition", func() bool { return w.consumer.Writable() == nil })
	if n := warnings(w.log.String(), "a stream does not take"); n != 1 {
		t.Errorf("%d lines about the stream, want 1\n%s", n, w.log.String())
	}
}
