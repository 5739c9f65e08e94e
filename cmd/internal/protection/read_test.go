package protection_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stored writes events of requests as the service does.
type stored struct {
	*testing.T
	js  jetstream.JetStream
	pub *publisher.Publisher
}

func newStored(t *testing.T) *stored {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &stored{T: t, js: natstest.JetStream(t, nc), pub: pub}
}

// request returns the request of a window of one change.
func request(id, group string, since time.Time) schemas.BackupRequest {
	text := since.UTC().Format(time.RFC3339Nano)
	return schemas.BackupRequest{
		RequestID: id, ClientName: "c", InstanceName: "c", BackupsetName: schemas.DefaultBackupsetName, SubclientName: group,
		AppName: schemas.DefaultAppName, BackupLevel: schemas.DefaultBackupLevel, Labels: map[string]string{"trigger.since": text, "trigger.until": text},
	}
}

// start claims and starts a request, and returns when its claim was stored.
func (s *stored) start(req schemas.BackupRequest) time.Time {
	s.Helper()
	key := publisher.NewKey("storage", req.RequestID)
	claimed, err := s.pub.Append(s.Context(), key, 0, &schemas.JobSubmitting{RequestID: req.RequestID, Source: "storage", Request: req}, "")
	if err != nil {
		s.Fatal(err)
	}
	names := req.Naming("storage")
	started := &schemas.JobStarted{Naming: names, Message: schemas.Message{RequestedAt: time.Now()}, JobID: "7", JobIDs: []string{"7"}}
	if _, err := s.pub.Append(s.Context(), key, claimed, started, ""); err != nil {
		s.Fatal(err)
	}
	msg, err := natstest.Stream(s, s.js, publisher.EventsStream).GetMsg(s.Context(), claimed)
	if err != nil {
		s.Fatal(err)
	}
	return msg.Time
}

func (s *stored) finish(req schemas.BackupRequest, outcome schemas.Outcome) {
	s.Helper()
	e := &schemas.JobFinished{Naming: req.Naming("storage"), JobRef: schemas.JobRef{JobID: "7"}, Outcome: outcome}
	if _, err := s.pub.AppendJob(s.Context(), publisher.NewKey("storage", req.RequestID), 0, e, ""); err != nil {
		s.Fatal(err)
	}
}

func (s *stored) load() (*protection.Fold, time.Time) {
	s.Helper()
	f, now, err := protection.Load(s.Context(), s.js)
	if err != nil {
		s.Fatal(err)
	}
	return f, now
}

func group(name string) protection.Group {
	return protection.Group{Client: "c", Instance: "c", Backupset: schemas.DefaultBackupsetName, Subclient: name}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	s := newStored(t)
	if f, _ := s.load(); len(f.Groups()) > 0 {
		t.Errorf("without events there are %v", f.Groups())
	}
	since := time.Now().Add(-time.Hour).UTC()
	good, bad := request("good", "good", since), request("bad", "bad", since)
	claimed := s.start(good)
	s.start(bad)
	s.finish(good, schemas.OutcomeCompleted)
	s.finish(bad, schemas.OutcomeKilled)
	for i := range 3 {
		sent, err := s.pub.Send("storage", publisher.Normal, request(fmt.Sprint("waits-", i), "waits", since.Add(time.Duration(i)*time.Minute)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sent.Acked(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f, now := s.load()
	if got := f.Groups(); len(got) != 3 {
		t.Errorf("the groups are %v", got)
	}
	if st, _ := f.State(group("good"), protection.Objective{}, now); !st.ExposedSince.IsZero() || !st.LastGoodStart.Equal(claimed) || !st.LastCovered.Equal(since) {
		t.Errorf("good: %+v, claimed at %s", st, claimed)
	}
	if st, _ := f.State(group("bad"), protection.Objective{}, now); st.Why != protection.WhyOutcome || !st.ExposedSince.Equal(since) {
		t.Errorf("bad: %+v", st)
	}
	if st, _ := f.State(group("waits"), protection.Objective{}, now); st.Why != protection.WhyWaiting || !st.ExposedSince.Equal(since) || len(st.Exposed) != 3 {
		t.Errorf("waits: %+v", st)
	}
	if d := time.Since(now); d < 0 || d > time.Minute {
		t.Errorf("the server's time is %s", now)
	}
}

func TestLoad_ReportsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{publisher.EventsStream, publisher.RequestsStream} {
		nc := natstest.StartBare(t).Connect(t)
		js := natstest.JetStream(t, nc)
		for _, other := range []string{publisher.EventsStream, publisher.RequestsStream} {
			if other != stream {
				if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: other, Subjects: []string{"x." + other}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, _, err := protection.Load(t.Context(), js); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("without %s: %v", stream, err)
		}
	}
	s := newStored(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := protection.Load(ctx, s.js); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestQueue_ReadsEachRequestOnce(t *testing.T) {
	t.Parallel()
	s := newStored(t)
	var q protection.Queue
	send := func(n int) {
		t.Helper()
		for range n {
			if _, err := s.js.Publish(t.Context(), publisher.RequestSubject("storage", publisher.Normal), []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(what string, want int, wantMore bool) {
		t.Helper()
		n := 0
		more, err := q.Read(t.Context(), s.js, 2, func(protection.Message) { n++ })
		if err != nil || n != want || more != wantMore {
			t.Errorf("%s: %d requests, more %t, %v; want %d, %t", what, n, more, err, want, wantMore)
		}
	}
	read("an empty queue", 0, false)
	send(3)
	read("a batch", 2, true)
	read("the rest", 1, false)
	read("nothing new", 0, false)
	send(1)
	read("a new one", 1, false)
	if err := s.js.DeleteStream(t.Context(), publisher.RequestsStream); err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: publisher.RequestsStream, Subjects: []string{publisher.AnyRequest}}); err != nil {
		t.Fatal(err)
	}
	send(1)
	read("another stream", 1, false)
}
