package consumer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

var quiet = zerolog.Nop()

// garbage is what may stand on a request's key when somebody publishes there
// by hand.
var garbage = []string{
	"", " ", "x", "null", "[]", "1", `"text"`, "{", "{}x", "{}", `{"requestId":1}`, `{"requestedAt":"yesterday"}`,
	`{"leaseMillis":"long"}`, `{"leaseMillis":-1}`, `{"leaseMillis":9223372036854775807}`, `{"epoch":1e99}`,
	`{"doubtSequence":18446744073709551615,"leaseMillis":0}`, `{"request":[]}`, `{"jobIds":"5976"}`,
	`{"payloadHash":null}`, "\x00\xff\xfe", "\xef\xbb\xbf{}", strings.Repeat("[", 10_000), `{"a":` + strings.Repeat(`{"a":`, 9_000),
}

// What people publish on a request's key can keep the request from being worked
// on: it is rejected, or waits in the queue and the log says why. It never makes
// a second job, or any, and never stops the others.
func TestGarbageOnAKey(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{})
	kinds := append([]schemas.Kind{"job-finished", "anything"}, schemas.Kinds...)
	var keys []publisher.Key
	for i, text := range garbage {
		for _, kind := range kinds {
			key := billing(fmt.Sprintf("%s-%d", kind, i))
			if _, err := b.js.Publish(b.within(patience), key.Subject(kind), []byte(text)); err != nil {
				t.Fatal(err)
			}
			b.publish("billing", body(key.Name))
			keys = append(keys, key)
		}
	}
	w := b.start(func(s *setup) { s.cfg.MaxInFlight = 256 })
	b.eventually("every one of them was looked at", func() bool {
		said := w.log.String()
		for _, key := range keys {
			if !strings.Contains(said, `"requestId":"`+key.Name+`"`) {
				return false
			}
		}
		return true
	})
	b.publish("billing", body("sound"))
	b.eventually("the sound one is done", func() bool { return b.sim.Account().JobsStarted > 0 })
	w.drain()
	if account := b.sim.Account(); account.CreateTaskCalls != 1 || len(account.JobsByMarker[billing("sound").Marker()]) != 1 {
		t.Errorf("%d calls of CreateTask, jobs %v, want only the sound one's", account.CreateTaskCalls, account.JobsByMarker)
	}
	// The last acknowledgements may still be on their way.
	b.eventually("every request waits or is a dead letter", func() bool {
		return int(b.queued())+len(b.letters()) == len(keys)
	})
	for _, e := range b.stored(publisher.EventsStream, "backup.event.job-started.*.*") {
		if len(e.Header["ce-id"]) > 0 && e.Subject != billing("sound").Subject(schemas.KindJobStarted) {
			t.Errorf("an event of ours: %s %s", e.Subject, e.Data)
		}
	}
}

// Garbage while the request is in work: its job is not announced, because the
// key's last event is not the claim any more, but it stays the only one.
func TestGarbageWhileARequestIsInWork(t *testing.T) {
	t.Parallel()
	for _, kind := range []schemas.Kind{schemas.KindJobStarted, schemas.KindJobSubmitting, "anything"} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, simulator.Config{}, natstest.AckWait(500*time.Millisecond))
			b.sim.Script(simulator.Fault{Kind: simulator.Slow, For: 300 * time.Millisecond})
			b.publish("billing", body("id"))
			w := b.start(quick)
			b.eventually("the vendor has the request", func() bool { return b.sim.Account().JobsStarted == 1 })
			if _, err := b.js.Publish(b.within(patience), billing("id").Subject(kind), []byte("garbage")); err != nil {
				t.Fatal(err)
			}
			b.eventually("the request was put back, and again", func() bool {
				return strings.Count(w.log.String(), "request postponed") >= 2
			})
			if account := b.sim.Account(); account.CreateTaskCalls != 1 || b.queued() != 1 {
				t.Errorf("%d calls of CreateTask, %d requests in the queue, want 1 of both", account.CreateTaskCalls, b.queued())
			}
		})
	}
}

// A kind of event that a later version adds behind an outcome does not hide it.
func TestAnOutcomeWithSomethingNewBehindIt(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{"started": body("id"), "failed": body("id", refused)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, simulator.Config{})
			b.start()
			b.publish("billing", data)
			b.settled()
			if _, err := b.js.Publish(b.within(patience), billing("id").Subject("job-archived"), []byte(`{"new":true}`)); err != nil {
				t.Fatal(err)
			}
			b.publish("billing", data)
			b.settled()
			b.publish("billing", body("id", `"labels":{"other":"content"}`))
			b.settled()
			if got := b.sim.Account().CreateTaskCalls; got != 1 {
				t.Errorf("%d calls of CreateTask, want 1", got)
			}
			if got := len(b.stored(publisher.EventsStream, "backup.event.request-rejected.>")); got != 1 {
				t.Errorf("%d requests rejected, want the one with other content", got)
			}
		})
	}
}

// The events stream takes nothing: requests stay where they are, and the log
// says so. When it is there again they are worked on.
func TestTheEventsStreamIsAway(t *testing.T) {
	t.Parallel()
	b := newBench(t, simulator.Config{}, natstest.AckWait(time.Second))
	ctx := b.within(patience)
	events, err := b.js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	w := b.start(hasty)
	if err := b.js.DeleteStream(ctx, publisher.EventsStream); err != nil {
		t.Fatal(err)
	}
	b.publish("billing", body("id"))
	b.publish("billing", body("invalid", `"typo":1`))
	b.eventually("the log says so", func() bool { return strings.Contains(w.log.String(), "not confirmed within its lease") })
	if got := b.sim.Account().CreateTaskCalls; got != 0 {
		t.Errorf("%d calls of CreateTask without a claim", got)
	}
	if _, err := b.js.CreateStream(ctx, events.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	b.settled()
	b.started(billing("id"))
	b.failed(billing("invalid"))
	b.checkPromise(1)
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	stream := func(name string, change func(*jetstream.StreamConfig)) natstest.Change {
		return func(cfg *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
			if cfg != nil && cfg.Name == name {
				change(cfg)
			}
		}
	}
	durable := func(change func(*jetstream.ConsumerConfig)) natstest.Change {
		return func(_ *jetstream.StreamConfig, cfg *jetstream.ConsumerConfig) {
			if cfg != nil {
				change(cfg)
			}
		}
	}
	good := consumer.Config{Owner: "one"}
	for name, test := range map[string]struct {
		cfg    consumer.Config
		change natstest.Change
		says   string
	}{
		"direct reads of the events": {good, stream(publisher.EventsStream, func(c *jetstream.StreamConfig) { c.AllowDirect = true }), "allow_direct"},
		"another events stream":      {good, stream(publisher.EventsStream, func(c *jetstream.StreamConfig) { c.Name = "OTHER" }), publisher.EventsStream},
		"another durable":            {good, durable(func(c *jetstream.ConsumerConfig) { c.Durable = "other" }), publisher.RequestsConsumer},
		"limited deliveries":         {good, durable(func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 }), "max_deliver"},
		"no owner":                   {consumer.Config{}, nil, "owner"},
		"nothing in flight":          {consumer.Config{Owner: "one", MaxInFlight: -1}, nil, "max in flight"},
		"a negative duration":        {consumer.Config{Owner: "one", VisibilityWindow: -1}, nil, "negative"},
		"an unknown mode":            {consumer.Config{Owner: "one", InDoubt: "guess"}, nil, `"guess"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var changes []natstest.Change
			if test.change != nil {
				changes = append(changes, test.change)
			}
			s := natstest.Start(t, changes...)
			_, err := consumer.New(t.Context(), test.cfg, s.Connect(t), &vendorapi.Retrier{}, quiet)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want an error that names %s", err, test.says)
			}
		})
	}
	s := natstest.Start(t)
	if _, err := consumer.New(t.Context(), good, s.Connect(t), &vendorapi.Retrier{}, quiet); err != nil {
		t.Errorf("the shipped streams are refused: %v", err)
	}
}
