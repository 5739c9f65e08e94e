package consumer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// earlierEvent appends an event of an earlier version about the waiting message.
func (b *rig) earlierEvent(event func(publisher.Key, schemas.Message) schemas.Event) publisher.Key {
	b.t.Helper()
	msgs := b.stored(publisher.RequestsStream, ">")
	key := publisher.EarlierSequenceKey("billing", msgs[0].Sequence)
	pub, err := publisher.New(b.js.Conn())
	if err != nil {
		b.t.Fatal(err)
	}
	message := schemas.Message{RequestedAt: msgs[0].Time, PayloadHash: schemas.HashBytes(msgs[0].Data)}
	if _, err := pub.Append(b.within(patience), key, 0, event(key, message), ""); err != nil {
		b.t.Fatal(err)
	}
	return key
}

func earlierStart(key publisher.Key, m schemas.Message) schemas.Event {
	return &schemas.JobStarted{
		Naming: schemas.Naming{RequestID: key.Name, Source: key.Source}, Message: m, JobID: "7", JobIDs: []string{"7"}, StartedAt: time.Now(),
	}
}

// An earlier version has recorded the rejection and was killed before it acknowledged the
// message: the rejection is not recorded again.
func TestARejectionThatAnEarlierVersionRecorded(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
	w := b.work("id")
	w.drain()
	b.publish("billing", body("id", `"backupLevel":"FULL"`))
	b.deliverAndForget()
	key := b.earlierEvent(func(key publisher.Key, m schemas.Message) schemas.Event {
		return &schemas.RequestRejected{
			Naming: schemas.Naming{RequestID: "id", Source: key.Source}, Message: m, First: m, Reason: "used before", RejectedAt: time.Now(),
		}
	})
	b.start(owner("new"))
	b.settled()
	if got := b.events("backup.event.request-rejected.>"); len(got) != 1 || got[0].key != key {
		t.Errorf("%d rejections, want the one of the earlier version", len(got))
	}
	if got := len(b.deadLetters()); got != 1 {
		t.Errorf("%d dead letters, want 1", got)
	}
}

// The consumer is deleted and set up again, so its delivery counts start again. An event of an
// earlier version about the message counts nevertheless.
func TestAnEarlierVersionsOutcomeBehindANewConsumer(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body(""))
	b.deliverAndForget()
	key := b.earlierEvent(earlierStart)
	stream := natstest.Stream(t, b.js, publisher.RequestsStream)
	durable, err := stream.Consumer(b.within(patience), publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteConsumer(b.within(patience), publisher.RequestsConsumer); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.CreateConsumer(b.within(patience), publisher.RequestsStream, durable.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	b.start(owner("new"))
	b.settled()
	if got := b.events("backup.event.job-started.>"); len(got) != 1 || got[0].key != key {
		t.Errorf("%d events job-started, want the one of the earlier version", len(got))
	}
	if got := b.sim.Account().JobsStarted; got != 0 {
		t.Errorf("%d jobs, want none: the message has its job", got)
	}
}

// An unreadable event of an earlier version may be about a job: nothing is sent.
func TestAnEarlierVersionsEventThatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
	b.publish("billing", body("", `"notAfter":"`+time.Now().Add(2*time.Second).UTC().Format(time.RFC3339Nano)+`"`))
	b.deliverAndForget()
	key := publisher.EarlierSequenceKey("billing", 1)
	if _, err := b.js.PublishMsg(b.within(patience), &nats.Msg{
		Subject: key.Subject(schemas.KindJobStarted), Header: eventHeader(key, schemas.KindJobStarted), Data: []byte(`{"jobId":`),
	}); err != nil {
		t.Fatal(err)
	}
	b.start(owner("new"))
	b.settled()
	b.checkCalls(0)
	if e := b.failed(b.place("billing", 1)); e.ErrorCode != schemas.CodeOutcomeUnknown {
		t.Errorf("job-failed is %+v", e)
	}
}

// A request that a later version has claimed, and that this one cannot read, may have a job: it
// waits for that version.
func TestAClaimOfAVersionThatCanReadMore(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("id", `"later":1`))
	pub, err := publisher.New(b.js.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pub.Append(b.within(patience), billing("id"), 0, &schemas.JobSubmitting{
		RequestID: "id", Source: "billing", Message: schemas.Message{RequestedAt: b.stored(publisher.RequestsStream, ">")[0].Time},
		Claim: schemas.Claim{Owner: "later", Nonce: "n", Epoch: 1}, SubmittingAt: time.Now(),
	}, ""); err != nil {
		t.Fatal(err)
	}
	w := b.start()
	b.eventually("the log says so", func() bool { return strings.Contains(w.log.String(), "claimed by a version that could read it") })
	if got := kinds(b.history(billing("id"))); got != "job-submitting" || b.queued() != 1 || len(b.deadLetters()) != 0 {
		t.Errorf("the history is %q, %d requests wait, %d dead letters", got, b.queued(), len(b.deadLetters()))
	}
}
