package consumer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// The requests stream is made again, so its sequences repeat, while the events stream has the
// old ones.
func TestSequencesThatStartAgain(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	w := b.start()
	for range 3 {
		b.publish("billing", body(""))
	}
	b.publish("billing", `{"broken":1}`)
	b.publish("billing", body("id"))
	b.settled()
	b.publish("billing", body("id", `"backupLevel":"FULL"`))
	b.settled()
	w.drain()
	b.remakeRequests()
	eventsBefore := len(b.events(">"))

	b.start(owner("two"))
	messages := []string{
		body(""),                           // where a job was started
		`{"broken":2}`,                     // where a job was started
		body("id", `"backupLevel":"FULL"`), // to be rejected where a job was started
		body(""),                           // where an invalid request was
		body("id", `"backupLevel":"FULL"`), // to be rejected where another was accepted
		body("id", `"adHocBackup":true`),   // to be rejected where another was rejected
	}
	for _, data := range messages {
		b.publish("billing", data)
	}
	b.settled()
	fresh := b.events(">")[eventsBefore:]
	outcomes := make(map[string]string)
	for _, e := range fresh {
		if e.kind != schemas.KindJobSubmitting {
			outcomes[e.key.Name[:strings.LastIndexByte(e.key.Name, '-')]] += string(e.kind)
		}
	}
	want := map[string]string{
		"seq-1": "job-started", "seq-2": "job-failed", "seq-3": "request-rejected",
		"seq-4": "job-started", "seq-5": "request-rejected", "seq-6": "request-rejected",
	}
	if fmt.Sprint(outcomes) != fmt.Sprint(want) {
		t.Errorf("the new messages' outcomes are %v, want %v", outcomes, want)
	}
	if got := b.sim.Account().JobsStarted; got != 3+1+2 {
		t.Errorf("%d jobs were started, want 6", got)
	}
}

// Both streams are made again, and the vendor cuts the connection before it starts the new
// message's job: the job of the old message with the same sequence is not adopted.
func TestAPlaceThatComesAgain(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	w := b.start()
	b.publish("billing", body(""))
	b.settled()
	old := b.started(b.place("billing", 1))
	w.drain()
	b.remake(publisher.EventsStream)
	b.remakeRequests()

	b.sim.Script(simulator.Fault{Kind: simulator.CutBeforeStart})
	b.publish("billing", body(""))
	b.recover()
	b.start(owner("two"))
	b.settled()
	e := b.started(b.place("billing", 1))
	if e.JobID == old.JobID || e.Adopted || b.sim.Account().JobsStarted != 2 {
		t.Errorf("the second message has job %s (adopted: %t), the first one had %s; %d jobs, want two", e.JobID, e.Adopted, old.JobID, b.sim.Account().JobsStarted)
	}
}

// A message without an id that an earlier version has worked on keeps that version's key, and
// so its outcome and its job.
func TestAnEarlierVersionsPlace(t *testing.T) {
	t.Parallel()
	key := publisher.EarlierSequenceKey("billing", 1)
	message := func(b *rig) schemas.Message {
		stream := natstest.Stream(t, b.js, publisher.RequestsStream)
		msg, err := stream.GetMsg(b.within(patience), 1)
		if err != nil {
			t.Fatal(err)
		}
		m, err := schemas.DecodeRequest(nil, msg.Data)
		if err != nil {
			t.Fatal(err)
		}
		return schemas.Message{RequestedAt: msg.Time, PayloadHash: m.Request.Hash()}
	}
	for name, c := range map[string]struct {
		event func(m schemas.Message) schemas.Event
		jobs  int
		kinds string
	}{
		"with its outcome": {func(m schemas.Message) schemas.Event {
			return &schemas.JobStarted{Naming: schemas.Naming{RequestID: key.Name, Source: "billing"}, Message: m, JobID: "7", JobIDs: []string{"7"}, StartedAt: time.Now()}
		}, 0, "job-started"},
		"claimed": {func(m schemas.Message) schemas.Event {
			return &schemas.JobSubmitting{RequestID: key.Name, Source: "billing", Message: m, Claim: schemas.Claim{Owner: "old", Nonce: "n", Epoch: 1}, SubmittingAt: time.Now()}
		}, 1, "job-submitting job-submitting job-started"},
		"of another message": {func(m schemas.Message) schemas.Event {
			m.RequestedAt = m.RequestedAt.Add(-time.Hour)
			return &schemas.JobSubmitting{RequestID: key.Name, Source: "billing", Message: m, Claim: schemas.Claim{Owner: "old", Nonce: "n", Epoch: 1}, SubmittingAt: time.Now()}
		}, 1, "job-submitting"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
			b.publish("billing", body(""))
			b.deliverAndForget()
			pub, err := publisher.New(b.js.Conn())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pub.Append(b.within(patience), key, 0, c.event(message(b)), ""); err != nil {
				t.Fatal(err)
			}
			b.start(owner("new"))
			b.settled()
			if got := kinds(b.history(key)); got != c.kinds || b.sim.Account().JobsStarted != c.jobs {
				t.Errorf("events %q and %d jobs, want %q and %d", got, b.sim.Account().JobsStarted, c.kinds, c.jobs)
			}
		})
	}
}

// deliverAndForget receives a delivery of the first message, as a killed replica does.
func (b *rig) deliverAndForget() {
	b.t.Helper()
	durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := durable.Next(jetstream.FetchMaxWait(patience)); err != nil {
		b.t.Fatal(err)
	}
}

// remake deletes a stream and makes it again without messages.
func (b *rig) remake(name string) {
	b.t.Helper()
	ctx := b.within(patience)
	old := natstest.Stream(b.t, b.js, name)
	for empty := false; !empty; { // seen with nats-server 2.15: the stream that was made had the old messages
		if err := b.js.DeleteStream(ctx, name); err != nil {
			b.t.Fatal(err)
		}
		made, err := b.js.CreateStream(ctx, old.CachedInfo().Config)
		if err != nil {
			b.t.Fatal(err)
		}
		empty = made.CachedInfo().State.LastSeq == 0
	}
}

// remakeRequests deletes the requests stream and makes it again.
func (b *rig) remakeRequests() {
	b.t.Helper()
	ctx := b.within(patience)
	old := natstest.Stream(b.t, b.js, publisher.RequestsStream)
	durable, err := old.Consumer(ctx, publisher.RequestsConsumer)
	if err != nil {
		b.t.Fatal(err)
	}
	b.remake(publisher.RequestsStream)
	if _, err := b.js.CreateConsumer(ctx, publisher.RequestsStream, durable.CachedInfo().Config); err != nil {
		b.t.Fatal(err)
	}
}
