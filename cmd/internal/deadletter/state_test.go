package deadletter

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// settle writes the outcome of a replay: a job, or a failure with a dead letter of its own.
func (d *desk) settle(p Plan, started bool) (number uint64) {
	d.t.Helper()
	names := schemas.Naming{RequestID: p.RequestID, Source: "billing", ClientName: "files", SubclientName: "home"}
	var event schemas.Event = &schemas.JobStarted{Naming: names, JobID: "7", JobIDs: []string{"7"}, StartedAt: time.Now()}
	if !started {
		event = &schemas.JobFailed{Naming: names, ErrorCode: "587207178", ErrorMessage: "again", ErrorSource: schemas.ErrorSourceVendor, FailedAt: time.Now()}
	}
	if _, err := d.pub.Append(d.t.Context(), p.Key, 0, event, ""); err != nil {
		d.t.Fatal(err)
	}
	if started {
		return 0
	}
	return d.keep(func(l *publisher.DeadLetter) {
		l.Key, l.RequestID, l.Header = p.Key, p.RequestID, schemas.Header{schemas.HeaderReplayOf: {"billing/inv-7"}}
	})
}

// states lists the dead letters with their states, as the filter selects them.
func (d *desk) states(f Filter) string {
	d.t.Helper()
	all, older, err := d.List(d.t.Context(), f)
	if err != nil {
		d.t.Fatal(err)
	}
	var texts []string
	for _, l := range all {
		texts = append(texts, fmt.Sprintf("%d %s", l.Number, l.State()))
	}
	if older > 0 {
		texts = append(texts, fmt.Sprint(older, " older"))
	}
	return strings.Join(texts, ", ")
}

// A request whose replays fail has one open dead letter, the newest. When a replay starts a job,
// all of the chain have succeeded.
func TestStore_ListByState(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.get(d.keep())
	other := d.keep(func(l *publisher.DeadLetter) { l.Key, l.RequestID = publisher.NewKey("billing", "other"), "other" })
	if other != 2 || d.states(Filter{}) != "1 open, 2 open" {
		t.Fatalf("before: %s", d.states(Filter{}))
	}
	replay := func(number uint64) Plan {
		t.Helper()
		plan, err := d.Replay(t.Context(), d.get(number), Order{By: ann})
		if err != nil {
			t.Fatal(err)
		}
		return plan
	}
	plan := replay(first.Number)
	if got := d.states(Filter{}); got != "1 replayed, 2 open" {
		t.Errorf("without an outcome: %s", got)
	}
	second := d.settle(plan, false)
	if got := d.states(Filter{}); got != "1 replayed, 2 open, 3 open" || second != 3 {
		t.Errorf("the replay failed: %s", got)
	}
	plan = replay(second)
	third := d.settle(plan, false)
	if got := d.states(Filter{State: Open}); got != "2 open, 4 open" || third != 4 {
		t.Errorf("open after two failures: %s", got)
	}
	if got := d.states(Filter{State: Open, Limit: 1}); got != "4 open, 1 older" {
		t.Errorf("the newest open one: %s", got)
	}
	if got := d.states(Filter{State: Replayed, Limit: 10}); got != "1 replayed, 3 replayed" {
		t.Errorf("replayed: %s", got)
	}
	d.settle(replay(third), true)
	if got := d.states(Filter{}); got != "1 succeeded, 2 open, 3 succeeded, 4 succeeded" {
		t.Errorf("a job at the end of the chain: %s", got)
	}
	if got := d.states(Filter{State: Succeeded}); got != "1 succeeded, 3 succeeded, 4 succeeded" {
		t.Errorf("succeeded: %s", got)
	}
	if l := d.get(1); l.State() != Succeeded || l.CodeText() != "587207178 (35:4618)" {
		t.Errorf("alone: %s, %s", l.State(), l.CodeText())
	}
	if got := (&Message{DeadLetter: publisher.DeadLetter{Code: schemas.CodeExpired}}).CodeText(); got != schemas.CodeExpired {
		t.Errorf("a code of ours: %s", got)
	}
}

// A notification that was put back is replayed: nothing says what came of it.
func TestStore_StateOfANotification(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	number := d.keep(func(l *publisher.DeadLetter) {
		l.Subject, l.Data = "storage.event.minio", []byte(`{"EventName":"s3:ObjectCreated:Put","Key":"invoices/a"}`)
	})
	l := d.get(number)
	l.Replays = []Replay{{Actor: "ann"}}
	if l.State() != Replayed {
		t.Errorf("the state is %s, want %s", l.State(), Replayed)
	}
}

// Only the replays of this dead letter count, each once.
func TestStore_replaysOfAnEarlierStream(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	l := d.get(d.keep())
	plan, err := l.Plan(Order{By: ann})
	if err != nil {
		t.Fatal(err)
	}
	record := func(kept time.Time, operation string) {
		t.Helper()
		e := plan.event
		e.At, e.DeadLetter.KeptAt, e.OperationID = time.Now().UTC(), kept, operation
		if err := d.pub.Operator(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	record(l.Kept.Add(-time.Minute), "earlier") // the stream was made again: the number is another letter's
	if l = d.get(l.Number); l.State() != Open || len(l.Replays) != 0 {
		t.Errorf("%s, %d replays of another dead letter", l.State(), len(l.Replays))
	}
	for _, operation := range []string{"first", "again"} {
		record(l.Kept, operation)
	}
	if l = d.get(l.Number); l.State() != Replayed || len(l.Replays) != 1 {
		t.Errorf("%s, %d replays, want 1", l.State(), len(l.Replays))
	}
}

// quicker is another operator, who drops the dead letter as soon as this one has looked at it.
type quicker struct {
	jetstream.JetStream
	looks int
}

func (q *quicker) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := q.JetStream.Stream(ctx, name)
	if q.looks++; err == nil && q.looks == 2 {
		err = s.DeleteMsg(ctx, 1)
	}
	return s, err
}

func TestStore_DropByTwo(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	l := d.get(d.keep())
	d.Store = &Store{js: &quicker{JetStream: d.js}, pub: d.pub}
	if err := d.Drop(t.Context(), l, ann); err != nil || d.count(publisher.DeadLetterStream) != 0 {
		t.Errorf("%v", err)
	}
}
