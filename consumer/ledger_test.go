package consumer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
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

// garbage is a message that an operator may have published on a request's key by hand.
var garbage = []string{
	"", " ", "x", "null", "[]", "1", `"text"`, "{", "{}x", "{}", `{"requestId":1}`, `{"requestedAt":"yesterday"}`,
	`{"leaseMillis":"long"}`, `{"leaseMillis":-1}`, `{"leaseMillis":9223372036854775807}`, `{"epoch":1e99}`,
	`{"doubtSequence":18446744073709551615,"leaseMillis":0}`, `{"request":[]}`, `{"jobIds":"5976"}`,
	`{"payloadHash":null}`, "\x00\xff\xfe", "\xef\xbb\xbf{}", strings.Repeat("[", 10_000), `{"a":` + strings.Repeat(`{"a":`, 9_000),
}

// nats.Header of an event as the publisher sets it.
func eventHeader(key publisher.Key, kind schemas.Kind) nats.Header {
	return nats.Header{"ce-id": {key.EventID(kind)}}
}

// A message that is not named as an event of the key does not count, whatever its content: the
// request is processed without it, and its recorded outcome counts.
func TestWhatIsNoEventOfAKey(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	kinds := append([]schemas.Kind{"no-such-kind", "anything"}, schemas.Kinds...)
	var keys []publisher.Key
	for _, kind := range kinds {
		for name, header := range map[string]nats.Header{
			"none":  nil,
			"other": eventHeader(billing("other"), kind),
			"kind":  {"ce-id": {billing(fmt.Sprint(kind, "-kind")).EventID("job-different")}},
			"odd":   {"ce-id": {"%zz"}},
		} {
			key := billing(fmt.Sprint(kind, "-", name))
			for range 2 {
				if _, err := b.js.PublishMsg(b.within(patience), &nats.Msg{Subject: key.Subject(kind), Header: header, Data: []byte(`{"stream":"BACKUP_REQUESTS","seq":1}`)}); err != nil {
					t.Fatal(err)
				}
			}
			b.publish("billing", body(key.Name))
			keys = append(keys, key)
		}
	}
	w := b.start()
	b.settled()
	for _, key := range keys { // behind the outcome as well, and the request comes again
		if _, err := b.js.Publish(b.within(patience), key.Subject(schemas.KindJobSubmitting), []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.js.Publish(b.within(patience), key.Subject(schemas.KindJobStarted), []byte("{}")); err != nil {
			t.Fatal(err)
		}
		b.publish("billing", body(key.Name))
	}
	b.settled()
	account := b.sim.Account()
	for _, key := range keys {
		if jobs := account.JobsByMarker[key.Marker()]; len(jobs) != 1 {
			t.Errorf("%s: jobs %v, want one", key, jobs)
		}
	}
	if account.CreateTaskCalls != len(keys) || len(b.deadLetters()) != 0 {
		t.Errorf("%d calls of CreateTask for %d requests, %d dead letters", account.CreateTaskCalls, len(keys), len(b.deadLetters()))
	}
	if !strings.Contains(w.log.String(), "ignoring a foreign message") {
		t.Error("nothing is said of it")
	}
}

// Garbage that is named as an event of a request's key can block that request: it is rejected,
// or waits in the queue and the log has the reason. It never causes a second job and never
// blocks other requests.
func TestGarbageOnAKey(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	var keys []publisher.Key
	for i, text := range garbage {
		for _, kind := range schemas.Kinds { // a foreign kind counts for nothing
			if kind.PerJob() { // so does a job's kind without the token of a job
				continue
			}
			key := billing(fmt.Sprintf("%s-%d", kind, i))
			if _, err := b.js.PublishMsg(b.within(patience), &nats.Msg{Subject: key.Subject(kind), Header: eventHeader(key, kind), Data: []byte(text)}); err != nil {
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
	// The last acknowledgements may still be in flight.
	b.eventually("every request waits or is a dead letter", func() bool {
		return int(b.queued())+len(b.deadLetters()) == len(keys)
	})
	for _, e := range b.stored(publisher.EventsStream, "backup.event.job-started.*.*") {
		if len(e.Header["ce-type"]) > 0 && e.Subject != billing("sound").Subject(schemas.KindJobStarted) {
			t.Errorf("an event of ours: %s %s", e.Subject, e.Data)
		}
	}
}

// Garbage after a claim while the request is in flight. Named as an event of the key, of a
// known kind, it prevents the announcement of the job, which stays the only one. Otherwise
// the outcome follows it.
func TestGarbageWhileARequestIsInWork(t *testing.T) {
	t.Parallel()
	for _, kind := range []schemas.Kind{schemas.KindJobStarted, schemas.KindJobSubmitting, "anything"} {
		for _, named := range []bool{true, false} {
			t.Run(fmt.Sprint(kind, ", named ", named), func(t *testing.T) {
				t.Parallel()
				b := newRig(t, simulator.Config{}, natstest.AckWait(500*time.Millisecond))
				b.sim.Script(simulator.Fault{Kind: simulator.Slow, For: 300 * time.Millisecond})
				b.publish("billing", body("id"))
				w := b.start(quick)
				b.eventually("the vendor has the request", func() bool { return b.sim.Account().JobsStarted == 1 })
				msg := &nats.Msg{Subject: billing("id").Subject(kind), Data: []byte("garbage")}
				if named {
					msg.Header = eventHeader(billing("id"), kind)
				}
				if _, err := b.js.PublishMsg(b.within(patience), msg); err != nil {
					t.Fatal(err)
				}
				queued := uint64(0)
				if named && kind != "anything" { // which is not a kind of event
					queued = 1
					b.eventually("the request was put back, and again", func() bool {
						return strings.Count(w.log.String(), "request postponed") >= 2
					})
				} else {
					b.settled()
					started := b.stored(publisher.EventsStream, billing("id").Subject(schemas.KindJobStarted))
					if last := started[len(started)-1]; last.Header.Get("ce-type") == "" || strings.Contains(w.log.String(), "postponed") {
						t.Errorf("the last event is %s, and the request was in trouble", last.Data)
					}
				}
				if account := b.sim.Account(); account.CreateTaskCalls != 1 || b.queued() != queued {
					t.Errorf("%d calls of CreateTask, want 1, %d requests in the queue, want %d", account.CreateTaskCalls, b.queued(), queued)
				}
			})
		}
	}
}

// A message of an unknown kind behind an outcome does not hide it.
func TestAnOutcomeWithSomethingNewBehindIt(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{"started": body("id"), "failed": body("id", refused)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			b.start()
			b.publish("billing", data)
			b.settled()
			if _, err := b.js.PublishMsg(b.within(patience), &nats.Msg{
				Subject: billing("id").Subject("job-archived"), Header: eventHeader(billing("id"), "job-archived"), Data: []byte(`{"new":true}`),
			}); err != nil {
				t.Fatal(err)
			}
			b.publish("billing", data)
			b.settled()
			b.publish("billing", body("id", `"labels":{"other":"content"}`))
			b.settled()
			b.checkCalls(1)
			if got := len(b.stored(publisher.EventsStream, "backup.event.request-rejected.>")); got != 1 {
				t.Errorf("%d requests rejected, want the one with other content", got)
			}
		})
	}
}

// The events stream is away after a reconnect: requests stay in the queue, and the log has the
// reason. After that they are processed. Without the reconnect, a write that is tried again could
// land in the new stream before the comparison, which then takes the ledger for lost.
func TestTheEventsStreamIsAway(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
	ctx := b.within(patience)
	events, err := b.js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	p := natstest.StartProxy(t, b.nats)
	w := b.start(through(p))
	p.Cut(true)
	if err := b.js.DeleteStream(ctx, publisher.EventsStream); err != nil {
		t.Fatal(err)
	}
	p.Cut(false)
	b.publish("billing", body("id"))
	b.publish("billing", body("invalid", `"typo":1`))
	b.eventually("the log says so, and a condition", func() bool {
		err := w.consumer.Ledger()
		return strings.Contains(w.log.String(), "stream not found") && err != nil && strings.Contains(err.Error(), "stream not found")
	})
	b.checkCalls(0)
	if _, err := b.js.CreateStream(ctx, events.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	b.settled()
	b.started(billing("id"))
	b.failed(billing("invalid"))
	b.checkPromise(1)
	b.eventually("no condition", func() bool { return w.consumer.Ledger() == nil }) // the next comparison ends it
}

func TestNew_refuses(t *testing.T) {
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
