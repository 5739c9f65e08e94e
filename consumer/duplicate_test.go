package consumer_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

func TestTheSameRequestOverAndOver(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		data string
		want schemas.Kind
	}{
		"that starts":     {body("again"), schemas.KindJobStarted},
		"that is refused": {body("again", refused), schemas.KindJobFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			b.publish("billing", test.data)
			b.publish("billing", test.data)
			b.start()
			b.start(owner("two"))
			b.settled()
			var publishers sync.WaitGroup
			for range 100 {
				publishers.Go(func() { b.publish("billing", test.data) })
			}
			publishers.Wait()
			b.settled()
			// Other white space and an explicit default do not make another request.
			b.publish("billing", strings.Replace(test.data, ",", ` , "backupLevel":"INCREMENTAL", `, 1))
			b.settled()
			history := b.history(billing("again"))
			if history[len(history)-1].kind != test.want {
				t.Fatalf("the history is %s", kinds(history))
			}
			if got := b.events("backup.event.request-rejected.>"); len(got) > 0 {
				t.Errorf("%d requests were rejected", len(got))
			}
			if want := map[schemas.Kind]int{schemas.KindJobStarted: 0, schemas.KindJobFailed: 1}[test.want]; len(b.deadLetters()) != want {
				t.Errorf("%d dead letters, want %d", len(b.deadLetters()), want)
			}
			b.checkPromise(1 - len(b.deadLetters()))
		})
	}
}

// A hundred copies at once, while the request is in flight and after it.
func TestAHundredCopiesAtOnce(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(2*patience)) // nothing may be left to a redelivery
	b.sim.Script(simulator.Fault{Kind: simulator.Slow, For: 300 * time.Millisecond})
	b.start()
	b.start(owner("two"))
	var publishers sync.WaitGroup
	for range 100 {
		publishers.Go(func() { b.publish("billing", body("once")) })
	}
	publishers.Wait()
	b.settled()
	b.started(billing("once"))
	b.checkPromise(1)
	b.checkCalls(1)
}

// Two publishers send one request ten thousand times. The vendor keeps it in flight for a
// while, so that copies arrive before, during and after it.
func TestTenThousandCopiesFromTwoPublishers(t *testing.T) {
	t.Parallel()
	const copies = 10_000
	b := newRig(t, simulator.Config{})
	b.sim.Script(simulator.Fault{Kind: simulator.Slow, For: 500 * time.Millisecond})
	b.start(unhurried)
	b.start(owner("two"), unhurried)
	var publishers sync.WaitGroup
	for range 2 {
		js, err := jetstream.New(b.nats.Connect(t), jetstream.WithPublishAsyncMaxPending(500))
		if err != nil {
			t.Fatal(err)
		}
		publishers.Go(func() {
			var acks []jetstream.PubAckFuture
			for range copies / 2 {
				ack, err := js.PublishAsync("backup.request.billing", []byte(body("once")), jetstream.WithStallWait(patience))
				if err != nil {
					t.Errorf("publish: %v", err)
					return
				}
				acks = append(acks, ack)
			}
			for _, ack := range acks {
				select {
				case <-ack.Ok():
				case err := <-ack.Err():
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	publishers.Wait()
	b.settled()
	stream := natstest.Stream(t, b.js, publisher.RequestsStream)
	if got := stream.CachedInfo().State.LastSeq; got != copies {
		t.Errorf("JetStream accepted %d copies, want %d", got, copies)
	}
	b.started(billing("once"))
	b.checkPromise(1)
	b.checkCalls(1)
	if got := len(b.events("backup.event.>")); got != 2 {
		t.Errorf("%d events, want the claim and the outcome", got)
	}
}

func TestTheSameIDWithOtherContent(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{"started": body("id"), "failed": body("id", refused)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			b.publish("billing", first)
			requested := b.stored(publisher.RequestsStream, ">")[0].Time
			b.start()
			b.settled()
			before := b.history(billing("id"))
			data := body("id", `"backupLevel":"FULL"`)
			sequence := b.publish("billing", data, "traceparent", trace)
			b.settled()

			rejected := b.events("backup.event.request-rejected.>")
			key := b.place("billing", sequence)
			if len(rejected) != 1 || rejected[0].key != key {
				t.Fatalf("rejected: %v, want one with the key %s", rejected, key)
			}
			e := rejected[0].data.(*schemas.RequestRejected)
			if e.RequestID != "id" || e.BackupLevel != "FULL" || !e.First.RequestedAt.Equal(requested) ||
				e.First.PayloadHash == e.PayloadHash || e.First != before[0].data.Requested() || !strings.Contains(e.Reason, `"id"`) {
				t.Errorf("request-rejected is %+v", e)
			}
			if got := rejected[0].Header.Get("traceparent"); got != trace {
				t.Errorf("traceparent is %q", got)
			}
			if after := b.history(billing("id")); kinds(after) != kinds(before) {
				t.Errorf("the first request's history became %s, was %s", kinds(after), kinds(before))
			}
			deadLetters := b.deadLetters()
			last := deadLetters[len(deadLetters)-1]
			if string(last.Data) != data || last.Header.Get(publisher.HeaderDeadLetterCode) != "request-rejected" ||
				last.Header.Get(publisher.HeaderDeadLetterReason) != e.Reason ||
				last.Header.Get(publisher.HeaderDeadLetterSequence) != fmt.Sprint(sequence) {
				t.Errorf("the dead letter is %s %v", last.Data, last.Header)
			}
			b.checkPromise(map[string]int{"started": 1, "failed": 0}[name])
		})
	}
}

// The outcome of the first message is on record but its dead letter is not, and it is
// delivered again together with copies: the dead letter is kept nevertheless.
func TestCopiesAndAMissingDeadLetter(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
	proxy := natstest.StartProxy(t, b.nats)
	here := proxy.Once("HPUB backup.dlq", natstest.Swallow)
	first := b.start(soonDead, through(proxy))
	original := b.publish("billing", body("id", refused))
	b.wait("the dead letter is about to be kept", here)
	first.kill()
	for range 20 {
		b.publish("billing", body("id", refused))
	}
	b.start(owner("two"))
	b.settled()
	b.failed(billing("id"))
	deadLetters := b.deadLetters()
	if len(deadLetters) != 1 || deadLetters[0].Header.Get(publisher.HeaderDeadLetterSequence) != fmt.Sprint(original) {
		t.Errorf("the dead letters are %v, want the one of message %d", deadLetters, original)
	}
	b.checkPromise(0)
}

// Other content while the first request is in flight: it waits, and is rejected.
func TestOtherContentMeanwhile(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(2*patience)) // nothing may be left to a redelivery
	b.sim.Script(simulator.Fault{Kind: simulator.Slow, For: 300 * time.Millisecond})
	b.start()
	b.publish("billing", body("id"))
	b.eventually("the first is in work", func() bool { return b.sim.Account().CreateTaskCalls == 1 })
	other := b.publish("billing", body("id", `"backupLevel":"FULL"`))
	same := b.publish("billing", body("id"))
	broken := b.publish("billing", body("id", `"typo":1`))
	b.settled()
	b.started(billing("id"))
	for _, sequence := range []uint64{other, broken} {
		if got := kinds(b.history(b.place("billing", sequence))); got != "request-rejected" {
			t.Errorf("message %d has the history %q, want request-rejected", sequence, got)
		}
	}
	if got := kinds(b.history(b.place("billing", same))); got != "" {
		t.Errorf("the copy has a history of its own: %q", got)
	}
	if got := len(b.deadLetters()); got != 2 {
		t.Errorf("%d dead letters, want 2", got)
	}
	b.checkPromise(1)
}

func TestTheSameIDOfTwoSources(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("id"))
	b.publish("crm", body("id", `"backupLevel":"FULL"`))
	b.start()
	b.settled()
	one, other := b.started(billing("id")), b.started(publisher.NewKey("crm", "id"))
	if one.JobID == other.JobID || one.Source != "billing" || other.Source != "crm" || other.BackupLevel != "FULL" {
		t.Errorf("got %+v and %+v", one, other)
	}
	b.checkPromise(2)
}
