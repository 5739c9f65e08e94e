package consumer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// intrude stores foreign messages on a key's filter, as a source can with the reply subject of
// a publish.
func (b *rig) intrude(key publisher.Key, number int) {
	b.t.Helper()
	for i := range number {
		if i%2000 == 1999 { // the client's limit of what is on its way is 4000
			b.wait("the messages are stored", b.js.PublishAsyncComplete())
		}
		if _, err := b.js.PublishAsync(key.Subject(schemas.KindJobStarted), []byte(`{"stream":"BACKUP_REQUESTS","seq":1}`)); err != nil {
			b.t.Fatal(err)
		}
	}
	b.wait("the messages are stored", b.js.PublishAsyncComplete())
}

// Thousands of foreign messages on a key hide neither the request nor, on its return, its
// outcome.
func TestThousandsOfForeignMessagesOnAKey(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.intrude(billing("victim"), 1_500)
	b.publish("billing", body("victim"))
	b.work("other", func(s *setup) { s.cfg.AttemptTimeout = time.Second })
	b.intrude(billing("victim"), 500)
	b.publish("billing", body("victim"))
	b.settled()
	account := b.sim.Account()
	for _, id := range []string{"victim", "other"} {
		if jobs := account.JobsByMarker[billing(id).Marker()]; len(jobs) != 1 {
			t.Errorf("%s: jobs %v, want one", id, jobs)
		}
	}
}

// A request whose events cannot be read ends by its age, with an event about its message that
// does not deny a job.
func TestARequestThatCanNeverBeClaimed(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	key := billing("unreadable")
	msg := &nats.Msg{
		Subject: key.Subject(schemas.KindJobSubmitting), Header: eventHeader(key, schemas.KindJobSubmitting), Data: []byte(`{"leaseMillis":"long"}`),
	}
	if _, err := b.js.PublishMsg(b.within(patience), msg); err != nil {
		t.Fatal(err)
	}
	sequence := b.publish("billing", body("unreadable"))
	b.start(func(s *setup) { s.cfg.GiveUpAfter = time.Second })
	b.settled()
	e := b.failed(b.place("billing", sequence))
	if e.ErrorCode != schemas.CodeOutcomeUnknown || e.RequestID != "unreadable" || !strings.Contains(e.ErrorMessage, "cannot be read") {
		t.Errorf("job-failed is %+v", e)
	}
	if deadLetters := b.deadLetters(); len(deadLetters) != 1 || deadLetters[0].Header.Get(publisher.HeaderDeadLetterKey) != key.Name {
		t.Errorf("dead letters: %v", fmt.Sprint(deadLetters))
	}
	b.checkCalls(0)
}

// A message of a foreign kind on a key's filter is neither a claim nor an outcome, whether it
// comes before the claim, after the claim or after the outcome.
func TestAMessageOfAForeignKind(t *testing.T) {
	t.Parallel()
	for _, kind := range []schemas.Kind{"operator", "job-imagined"} {
		for name, act := range map[string]func(b *rig, intrude func()){
			"before the claim": func(b *rig, intrude func()) {
				intrude()
				b.publish("billing", body("id"))
				b.start()
			},
			"behind a released claim": func(b *rig, intrude func()) {
				b.release("id")
				intrude()
				b.publish("billing", body("id"))
				b.start()
			},
			"behind the outcome": func(b *rig, intrude func()) {
				b.work("id")
				intrude()
				b.publish("billing", body("id"))
			},
		} {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				t.Parallel()
				b := newRig(t, simulator.Config{})
				act(b, func() {
					key := billing("id")
					if _, err := b.js.PublishMsg(b.within(patience), &nats.Msg{
						Subject: key.Subject(kind), Header: eventHeader(key, kind), Data: []byte(`{"jobId":"1"}`),
					}); err != nil {
						t.Fatal(err)
					}
				})
				b.settled()
				started := b.stored(publisher.EventsStream, billing("id").Subject(schemas.KindJobStarted))
				if jobs := b.sim.Account().JobsByMarker[billing("id").Marker()]; len(jobs) != 1 || len(started) != 1 {
					t.Errorf("jobs %v and %d events job-started, want one of each", jobs, len(started))
				}
			})
		}
	}
}
