package migrate

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/provision"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// The jobs that are followed are the unacknowledged messages of a consumer of the ledger. It
// moves with the ledger, with what it knows and where it began. The ends of jobs move too.
func TestRun_MovesTheFollowedJobs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, js := embedded(t, dir)
	if _, err := provision.ApplyFollow(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	pub, err := publisher.New(js.Conn())
	if err != nil {
		t.Fatal(err)
	}
	key := func(n int) publisher.Key { return publisher.NewKey("billing", fmt.Sprint("r-", n)) }
	for n := range 5 {
		started := &schemas.JobStarted{Naming: schemas.Naming{RequestID: key(n).Name, Source: "billing"}, JobID: fmt.Sprint(n + 1), JobIDs: []string{fmt.Sprint(n + 1)}}
		if _, err := pub.Append(t.Context(), key(n), 0, started, ""); err != nil {
			t.Fatal(err)
		}
	}
	end := &schemas.JobFinished{JobRef: schemas.JobRef{JobID: "1"}, Outcome: schemas.OutcomeCompleted, JobTimes: schemas.JobTimes{ObservedAt: time.Now()}}
	if _, err := pub.AppendJob(t.Context(), key(0), 0, end, ""); err != nil {
		t.Fatal(err)
	}
	// The job of the first message has ended, the next two are followed, the others wait.
	followed := durable(t, js)
	began := followed.CachedInfo().Config
	batch, err := followed.Fetch(3)
	if err != nil {
		t.Fatal(err)
	}
	for msg := range batch.Messages() {
		if msg.Subject() == key(0).Subject(schemas.KindJobStarted) {
			if err := msg.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := content(t, js, publisher.EventsStream)
	server.Stop()

	from, target := opened(t, dir), natstest.StartBare(t)
	var results []Result
	if err := Run(t.Context(), plan(from, target.Connect(t), &results)); err != nil {
		t.Fatal(err)
	}
	there := natstest.JetStream(t, target.Connect(t))
	if got := content(t, there, publisher.EventsStream); len(got) != len(want) || got[6].Subject != key(0).JobSubject(schemas.KindJobFinished, "1") {
		t.Errorf("the ledger has %d messages, want %d with the end of a job", len(got), len(want))
	}
	if actions, err := provision.ApplyFollow(t.Context(), there); err != nil || actions[0].Created {
		t.Errorf("after the move: %+v, %v", actions, err)
	}
	followed = durable(t, there)
	info := followed.CachedInfo()
	if info.NumAckPending != 2 || info.NumPending != 2 || info.AckFloor.Stream != 1 || !info.Config.OptStartTime.Equal(*began.OptStartTime) {
		t.Errorf("the consumer follows %d, %d wait, it acknowledged up to %d and began at %v, want %v",
			info.NumAckPending, info.NumPending, info.AckFloor.Stream, info.Config.OptStartTime, began.OptStartTime)
	}
	// The follower resets the consumer before it reads.
	if _, err := there.Conn().Request("$JS.API.CONSUMER.RESET."+publisher.EventsStream+"."+publisher.FollowerConsumer, nil, time.Minute); err != nil {
		t.Fatal(err)
	}
	batch, err = followed.Fetch(4)
	if err != nil {
		t.Fatal(err)
	}
	var sequences []uint64
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		sequences = append(sequences, meta.Sequence.Stream)
	}
	if want := []uint64{2, 3, 4, 5}; !slices.Equal(sequences, want) {
		t.Errorf("delivered %v, want %v", sequences, want)
	}
}

// durable returns the consumer of the jobs that are followed.
func durable(t *testing.T, js jetstream.JetStream) jetstream.Consumer {
	t.Helper()
	c, err := js.Consumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
