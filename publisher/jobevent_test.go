package publisher_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

func finished(key publisher.Key, job string) *schemas.JobFinished {
	return &schemas.JobFinished{
		Naming:  schemas.Naming{RequestID: key.Name, Source: key.Source, ClientName: "c", SubclientName: "s"},
		Message: schemas.Message{RequestedAt: time.Unix(1, 0).UTC(), PayloadHash: schemas.HashBytes(nil)},
		JobRef:  schemas.JobRef{JobID: job}, Outcome: schemas.OutcomeCompleted, VendorStatus: "Completed",
		JobTimes: schemas.JobTimes{ObservedAt: time.Unix(9, 0).UTC()},
	}
}

// Events about jobs have one token more: no filter of the ledger matches them, and readers
// of a kind, a source or a request do.
func TestAppendJob_isOutsideTheLedger(t *testing.T) {
	t.Parallel()
	nc, stream := eventsStream(t)
	pub := newPublisher(t, nc)
	key := publisher.NewKey("billing", "inv-7")
	claimed, err := pub.Append(t.Context(), key, 0, &schemas.JobSubmitting{RequestID: "inv-7", Source: "billing"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pub.AppendJob(t.Context(), key, 0, finished(key, "5976"), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := pub.Append(t.Context(), key, claimed, &schemas.JobStarted{}, ""); err != nil {
		t.Errorf("after an event about a job the ledger cannot go on: %v", err)
	}
	event, last, err := publisher.LastEvent(t.Context(), stream, key.Filter())
	if err != nil || event == nil || event.Subject != key.Subject(schemas.KindJobStarted) || last.Subject != event.Subject {
		t.Errorf("the ledger reads %v, %v, %v", event, last, err)
	}
	for _, filter := range []string{
		key.JobsFilter(), publisher.EventFilter(schemas.KindJobFinished, ""), publisher.EventFilter("", "billing"),
	} {
		msg, err := stream.GetLastMsgForSubject(t.Context(), filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if filter == publisher.EventFilter("", "billing") {
			continue // its last is the job-started
		}
		gotKey, e, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data)
		if job, ok := e.(schemas.JobEvent); err != nil || gotKey != key || !ok || job.Job() != "5976" {
			t.Errorf("%s: got %v, %+v, %v", filter, gotKey, e, err)
		}
	}
}

// The second writer of an end gets a conflict, whatever it says.
func TestAppendJob_storesOneEnd(t *testing.T) {
	t.Parallel()
	nc, stream := eventsStream(t)
	pub := newPublisher(t, nc)
	key := publisher.NewKey("billing", "inv-7")
	results := make(chan error, 8)
	for range cap(results) {
		go func() {
			_, err := pub.AppendJob(t.Context(), key, 0, finished(key, "5976"), "")
			results <- err
		}()
	}
	stored := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			stored++
		case !errors.Is(err, publisher.ErrConflict):
			t.Error(err)
		}
	}
	if n := stream.CachedInfo(); stored != 1 || n == nil {
		t.Errorf("%d writers stored the end", stored)
	}
	if _, err := pub.AppendJob(t.Context(), key, 0, finished(key, "5977"), ""); err != nil {
		t.Errorf("the end of another job of the request: %v", err)
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 2 {
		t.Errorf("the stream has %v, %v, want 2 events", info.State.Msgs, err)
	}
}

// The end of a job whose acknowledgement is lost is stored once: the same write is repeated.
func TestAppendJob_afterALostAcknowledgement(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	proxy := natstest.StartProxy(t, s)
	pub, key := newPublisher(t, proxy.Connect(t)), publisher.NewKey("billing", "inv-7")
	lost := proxy.Once("HPUB "+key.JobSubject(schemas.KindJobFinished, "5976"), natstest.Deafen)
	done := make(chan error, 1)
	go func() {
		_, err := pub.AppendJob(within(t, patience), key, 0, finished(key, "5976"), "")
		done <- err
	}()
	<-lost
	proxy.Cut(false)
	// The write may have come through before the cut.
	if err := <-done; err != nil && !errors.Is(err, publisher.ErrConflict) {
		t.Errorf("got %v, want success or ErrConflict", err)
	}
	if n := len(stored(t, s, publisher.EventsStream, key.JobsFilter())); n != 1 {
		t.Errorf("%d ends are stored, want 1", n)
	}
}

// A writer that has not seen a job's end writes nothing behind it, of whatever kind.
func TestAppendJob_nothingFollowsAnEndThatWasNotSeen(t *testing.T) {
	t.Parallel()
	nc, _ := eventsStream(t)
	pub := newPublisher(t, nc)
	key := publisher.NewKey("billing", "inv-7")
	end, err := pub.AppendJob(t.Context(), key, 0, finished(key, "5976"), "")
	if err != nil {
		t.Fatal(err)
	}
	ref := schemas.JobRef{JobID: "5976"}
	for _, e := range []schemas.JobEvent{
		&schemas.JobChanged{JobRef: ref, State: schemas.StatePending, ChangedAt: time.Unix(6, 0).UTC()},
		&schemas.JobUnfollowed{JobRef: ref, UnfollowedAt: time.Unix(6, 0).UTC()},
	} {
		if _, err := pub.AppendJob(t.Context(), key, 0, e, ""); !errors.Is(err, publisher.ErrConflict) {
			t.Errorf("%s after an end of sequence %d: %v", e.Kind(), end, err)
		}
	}
}

// A job can change several times; its events have ids of their own.
func TestAppendJob_changesHaveIDs(t *testing.T) {
	t.Parallel()
	nc, stream := eventsStream(t)
	pub := newPublisher(t, nc)
	key := publisher.NewKey("billing", "inv-7")
	changed := &schemas.JobChanged{JobRef: schemas.JobRef{JobID: "5976"}, State: schemas.StatePending, VendorStatus: "Pending", ChangedAt: time.Unix(5, 0).UTC()}
	first, err := pub.AppendJob(t.Context(), key, 0, changed, "")
	if err != nil {
		t.Fatal(err)
	}
	again := *changed
	again.State, again.ChangedAt = schemas.StateRunning, time.Unix(6, 0).UTC()
	if publisher.EventID(key, changed) == publisher.EventID(key, &again) {
		t.Errorf("both changes have the id %s", publisher.EventID(key, changed))
	}
	if _, err := pub.AppendJob(t.Context(), key, 0, &again, ""); !errors.Is(err, publisher.ErrConflict) {
		t.Errorf("a writer that has not seen the first change gets %v", err)
	}
	if _, err := pub.AppendJob(t.Context(), key, first, &again, ""); err != nil {
		t.Error(err)
	}
	event, _, err := publisher.LastEvent(t.Context(), stream, key.JobSubject(schemas.KindJobChanged, "5976"))
	if err != nil || event == nil || event.Sequence != first+1 {
		t.Errorf("the last change is %v, %v", event, err)
	}
}

// A job id becomes a token of a subject.
func TestAppendJob_refusesOtherIDs(t *testing.T) {
	t.Parallel()
	nc, _ := eventsStream(t)
	pub := newPublisher(t, nc)
	key := publisher.NewKey("billing", "inv-7")
	for _, id := range []string{"", "*", ">", "5976.1", "job 5", "-1"} {
		if _, err := pub.AppendJob(t.Context(), key, 0, finished(key, id), ""); err == nil {
			t.Errorf("an event about job %q was stored", id)
		}
	}
}

func TestReadEvent_foreignJobEvents(t *testing.T) {
	t.Parallel()
	key := publisher.NewKey("billing", "inv-7")
	data := schemas.EncodeEvent(finished(key, "5976"))
	id := func(id string) nats.Header { return nats.Header{"ce-id": {id}} }
	for name, msg := range map[string]struct {
		subject string
		header  nats.Header
	}{
		"no job id in the subject":       {key.Subject(schemas.KindJobFinished), id("billing/inv-7/job-finished")},
		"another job's id":               {key.JobSubject(schemas.KindJobFinished, "5977"), id("billing/inv-7/job-finished/5977")},
		"the id of another job's event":  {key.JobSubject(schemas.KindJobFinished, "5976"), id("billing/inv-7/job-finished/5977")},
		"a longer id":                    {key.JobSubject(schemas.KindJobFinished, "5976"), id("billing/inv-7/job-finished/5976/1")},
		"a request's kind with a job id": {key.JobSubject(schemas.KindJobStarted, "5976"), id("billing/inv-7/job-started")},
		"a token too many":               {key.JobSubject(schemas.KindJobFinished, "5976") + ".1", id("billing/inv-7/job-finished/5976")},
	} {
		if _, e, err := publisher.ReadEvent(msg.subject, msg.header, data); err == nil {
			t.Errorf("%s: it is read as %+v", name, e)
		}
	}
	if _, _, err := publisher.ReadEvent(key.JobSubject(schemas.KindJobFinished, "5976"), id("billing/inv-7/job-finished/5976"), data); err != nil {
		t.Error(err)
	}
}

// eventsStream returns a connection to a server of the test's own, and its events stream.
func eventsStream(t *testing.T) (*nats.Conn, jetstream.Stream) {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	stream, err := natstest.JetStream(t, nc).Stream(within(t, patience), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	return nc, stream
}
