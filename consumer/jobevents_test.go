package consumer_test

import (
	"strings"
	"testing"
	"time"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// endJob writes what a follower writes about the job of a request: that it waits, and its end.
func (b *rig) endJob(key publisher.Key) {
	b.t.Helper()
	pub, err := publisher.New(b.js.Conn())
	if err != nil {
		b.t.Fatal(err)
	}
	started := b.started(key)
	ref := schemas.JobRef{JobID: started.JobID}
	after, err := pub.AppendJob(b.within(patience), key, 0, &schemas.JobChanged{
		Naming: started.Naming, Message: started.Message, JobRef: ref, State: schemas.StatePending, ChangedAt: time.Now(),
	}, "")
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := pub.AppendJob(b.within(patience), key, after, &schemas.JobFinished{
		Naming: started.Naming, Message: started.Message, JobRef: ref, Outcome: schemas.OutcomeFailed, JobTimes: schemas.JobTimes{ObservedAt: time.Now()},
	}, ""); err != nil {
		b.t.Fatal(err)
	}
}

// What follows the outcome of a request is about its job: the same request again, and the same
// id with other content, end as they do without it.
func TestEventsAboutJobs_areNotOfTheLedger(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("a"))
	w := b.start()
	b.settled()
	b.endJob(billing("a"))
	before := len(b.history(billing("a")))
	b.publish("billing", body("a"))
	b.publish("billing", body("a", `"backupLevel":"FULL"`))
	b.settled()
	if got := b.history(billing("a")); len(got) != before {
		t.Errorf("the request has the events %s, want no more than %d", kinds(got), before)
	}
	if got := b.events("backup.event.request-rejected.>"); len(got) != 1 {
		t.Errorf("%d rejections of other content, want 1", len(got))
	}
	b.checkPromise(1)
	w.drain()
	if strings.Contains(w.log.String(), "foreign") {
		t.Error("events about jobs are called foreign messages")
	}
}

// The ends of jobs that were started long ago do not show what the ledger still knew: a request
// is in doubt since the last event about a request.
func TestRecover_withEventsAboutJobs(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("a"))
	w := b.start()
	b.settled()
	w.drain()
	b.endJob(billing("a"))
	history := b.history(billing("a"))
	last := history[len(history)-1]
	b.publish("billing", body("b"))
	found, err := consumer.Recover(b.within(patience), b.js.Conn(), nil)
	if err != nil || found.Doubted != 1 || found.Forgot != "" || !found.Since.Equal(last.Time) {
		t.Errorf("%+v, %v, want one in doubt since %s", found, err, last.Time)
	}
	for _, e := range b.lastClaims() {
		if c := e.data.(*schemas.JobSubmitting); c.DoubtSequence != last.Sequence {
			t.Errorf("%s is in doubt since event %d, want %d", e.key, c.DoubtSequence, last.Sequence)
		}
	}
	b.start()
	b.settled()
	b.started(billing("b"))
}
