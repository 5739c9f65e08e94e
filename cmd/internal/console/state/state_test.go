package state

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"backhaul/cmd/internal/history"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a broker with events, and a state that follows them.
type bench struct {
	t    *testing.T
	nats *natstest.Server
	pub  *publisher.Publisher
	js   jetstream.JetStream
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s := natstest.Start(t)
	nc := s.Connect(t)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, nats: s, pub: pub, js: natstest.JetStream(t, nc)}
}

var few = limits{requests: 100, events: 200, idleAfter: time.Hour}

// follow returns a state that runs until the test ends, with a reader.
func (b *bench) follow(l limits) *State {
	b.t.Helper()
	s, err := newState(b.nats.Connect(b.t), l)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	b.t.Cleanup(func() { cancel(); <-done })
	s.Want()
	return s
}

func claimOf(id string) *schemas.JobSubmitting {
	return &schemas.JobSubmitting{
		RequestID: id, Source: "billing",
		Request: schemas.BackupRequest{RequestID: id, ClientName: "client-" + id, SubclientName: "group", BackupLevel: schemas.LevelFull},
		Message: schemas.Message{RequestedAt: time.Now().Add(-time.Second).UTC(), PayloadHash: "h"},
		Claim:   schemas.Claim{Owner: "host/1", Nonce: "n", Epoch: 1, LeaseMillis: 35_000}, SubmittingAt: time.Now().UTC(),
	}
}

func startedOf(c *schemas.JobSubmitting, job string) *schemas.JobStarted {
	return &schemas.JobStarted{Naming: c.Names(), Message: c.Message, JobID: job, JobIDs: []string{job}, Attempts: 2, StartedAt: time.Now().UTC()}
}

func failedOf(c *schemas.JobSubmitting, code, text string) *schemas.JobFailed {
	return &schemas.JobFailed{Naming: c.Names(), Message: c.Message, ErrorCode: code, ErrorMessage: text, ErrorSource: "vendor", Attempts: 1, FailedAt: time.Now().UTC()}
}

func (b *bench) append(id string, after uint64, e schemas.Event) uint64 {
	b.t.Helper()
	sequence, err := b.pub.Append(b.t.Context(), publisher.NewKey("billing", id), after, e, "")
	if err != nil {
		b.t.Fatal(err)
	}
	return sequence
}

// start appends a claim and the job that it led to.
func (b *bench) start(id string) {
	b.t.Helper()
	c := claimOf(id)
	b.append(id, b.append(id, 0, c), startedOf(c, "7"))
}

func (s *State) all() View { return s.Look(Filter{}, 0, 1000) }

func ids(v View) string {
	var all []string
	for _, r := range v.Requests {
		all = append(all, r.RequestID+" "+string(r.Status))
	}
	return strings.Join(all, ", ")
}

// Foreign messages on an event's subject change no request, neither in
// the table nor in a search of the stream.
func TestState_ignoresForeignMessages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.follow(few)
	b.start("r1")
	for _, id := range []string{"r1", "r2"} {
		if _, err := b.js.Publish(b.t.Context(), publisher.NewKey("billing", id).Subject(schemas.KindJobFailed), []byte(`{"stream":"BACKUP_REQUESTS","seq":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	b.start("r3") // behind them
	waittest.Eventually(t, "the last request", func() bool { return s.all().Counts[history.Started] == 2 })
	if v := s.all(); !maps.Equal(v.Counts, Counts{history.Started: 2}) || len(v.Requests) != 2 {
		t.Errorf("shows %s, %+v", ids(v), v.Counts)
	}
	r, found, err := s.Find(t.Context(), "billing", "r1")
	if err != nil || !found || r.Status != history.Started || r.JobID != "7" {
		t.Errorf("r1: %+v, found %t, %v", r, found, err)
	}
	if r, found, err := s.Find(t.Context(), "billing", "r2"); err != nil || found {
		t.Errorf("r2: %+v, found %t, %v", r, found, err)
	}
}

func TestState_followsARequest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.follow(few)
	claim := claimOf("r1")
	shows := func(want history.Status) Request {
		t.Helper()
		waittest.Eventually(t, string(want), func() bool {
			v := s.all()
			return len(v.Requests) == 1 && v.Requests[0].Status == want
		})
		return s.all().Requests[0]
	}
	at := b.append("r1", 0, claim)
	if r := shows(history.Claimed); r.Client != "client-r1" || r.ContentGroup != "group" || r.Level != "FULL" || r.Owner != "host/1" || r.First != at {
		t.Errorf("claimed: %+v", r)
	}
	released := *claim
	released.LeaseMillis = 0
	at = b.append("r1", at, &released)
	shows(history.Waiting)
	doubtful := *claim
	doubtful.Epoch, doubtful.DoubtSequence = 2, at
	at = b.append("r1", at, &doubtful)
	shows(history.InDoubt)
	if c := s.all().Counts; !maps.Equal(c, Counts{history.InDoubt: 1}) {
		t.Errorf("counts %+v, want one in doubt", c)
	}
	b.append("r1", at, startedOf(claim, "5976"))
	if r := shows(history.Started); r.JobID != "5976" || r.Attempts != 2 || r.Took(time.Now()) < time.Second || r.Took(time.Now()) != r.Took(time.Now().Add(time.Hour)) {
		t.Errorf("started: %+v", r)
	}
	v := s.all()
	if !maps.Equal(v.Counts, Counts{history.Started: 1}) || v.Since.IsZero() || !v.Complete {
		t.Errorf("counts %+v since %s, complete %t", v.Counts, v.Since, v.Complete)
	}
	if m := v.Minutes; len(m) != 60 || m[58].Started+m[59].Started != 1 {
		t.Errorf("the last minutes are %+v", m[58:])
	}
}

func TestState_countsOutcomes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i, outcome := range []func(c *schemas.JobSubmitting) schemas.Event{
		func(c *schemas.JobSubmitting) schemas.Event { return startedOf(c, "1") },
		func(c *schemas.JobSubmitting) schemas.Event { return failedOf(c, "35", "no such group") },
		func(c *schemas.JobSubmitting) schemas.Event { return failedOf(c, schemas.CodeOutcomeUnknown, "?") },
		func(c *schemas.JobSubmitting) schemas.Event {
			return &schemas.RequestRejected{Naming: c.Names(), Message: c.Message, First: c.Message, Reason: "used before", RejectedAt: time.Now()}
		},
	} {
		id := fmt.Sprint("r", i)
		b.append(id, 0, outcome(claimOf(id)))
	}
	if err := b.pub.Operator(t.Context(), schemas.OperatorEvent{
		Action: schemas.ActionPause, OperationID: "1", Actor: "<b>me</b>", Reason: strings.Repeat("why ", 300), At: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	if err := natsPublish(b, "backup.event.of-later.billing.r9", `{}`); err != nil {
		t.Fatal(err)
	}
	s := b.follow(few)
	s.Caught(t.Context())
	v := s.all()
	if want := (Counts{history.Started: 1, history.Failed: 1, history.OutcomeUnknown: 1, history.Rejected: 1}); !maps.Equal(v.Counts, want) {
		t.Errorf("counts %+v, want %+v", v.Counts, want)
	}
	if got, want := ids(v), "r3 rejected, r2 outcome-unknown, r1 failed, r0 started"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(v.Actions) != 1 || v.Actions[0].Name != "pause" || v.Actions[0].Actor != "<b>me</b>" || len(v.Actions[0].Text) > maxText+3 {
		t.Errorf("actions %+v", v.Actions)
	}
	for _, test := range []struct {
		f    Filter
		want string
	}{
		{Filter{Status: history.Failed}, "r1 failed"},
		{Filter{Client: "CLIENT-r2"}, "r2 outcome-unknown"},
		{Filter{Text: "SUCH group"}, "r1 failed"},
		{Filter{Text: "r0"}, "r0 started"},
		{Filter{Source: "other"}, ""},
		{Filter{ContentGroup: "grou", Status: history.Rejected}, "r3 rejected"},
	} {
		if got := ids(s.Look(test.f, 0, 10)); got != test.want {
			t.Errorf("%+v: got %s, want %s", test.f, got, test.want)
		}
	}
	if v := s.Look(Filter{}, 1, 2); ids(v) != "r2 outcome-unknown, r1 failed" || v.Matching != 4 {
		t.Errorf("the second page is %s of %d", ids(v), v.Matching)
	}
	if v := s.Look(Filter{}, 90, 2); len(v.Requests) != 0 || v.Matching != 4 {
		t.Errorf("a page that is not there is %s", ids(v))
	}
}

func natsPublish(b *bench, subject, data string) error {
	_, err := b.js.PublishMsg(b.t.Context(), &nats.Msg{Subject: subject, Data: []byte(data)})
	return err
}

// It begins near the end, holds a bounded number, and reads what is older from
// the stream.
func TestState_isBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 60 {
		b.start(fmt.Sprint("r", i))
	}
	b.append("open", 0, claimOf("open"))
	for i := range 20 {
		b.start(fmt.Sprint("s", i))
	}
	s := b.follow(limits{requests: 30, events: 81, idleAfter: time.Hour})
	s.Caught(t.Context())
	v := s.all()
	if v.Held != 30 || v.Complete || v.Counts[history.Started] != 40 || v.Counts[history.Claimed] != 1 {
		t.Errorf("holds %d, complete %t, counts %+v; want 30, not, 40 started and one open", v.Held, v.Complete, v.Counts)
	}
	if got := ids(v); !strings.Contains(got, "open claimed") || strings.Contains(got, "r30 ") {
		t.Errorf("holds %s", got)
	}
	r, found, err := s.Find(t.Context(), "", "r1")
	if err != nil || !found || r.Status != history.Started || r.Key != publisher.NewKey("billing", "r1") {
		t.Errorf("r1: %+v, found %t, %v", r, found, err)
	}
	if _, found, err := s.Find(t.Context(), "photos", "r1"); found || err != nil {
		t.Errorf("r1 of another source: found %t, %v", found, err)
	}
	for _, odd := range []string{"", "*", "a.b", ">", strings.Repeat("x", 9000), "no such"} {
		if _, found, err := s.Find(t.Context(), "", odd); found || err != nil {
			t.Errorf("%.20q: found %t, %v", odd, found, err)
		}
		if events, _, err := s.Events(t.Context(), publisher.Key{Source: "billing", Name: odd}); len(events) > 0 || err != nil {
			t.Errorf("%.20q: %d events, %v", odd, len(events), err)
		}
	}
	events, more, err := s.Events(t.Context(), publisher.NewKey("billing", "r1"))
	if err != nil || more || len(events) != 2 || events[1].Kind != schemas.KindJobStarted {
		t.Errorf("the events of r1 is %+v, more %t, %v", events, more, err)
	}
}

func TestState_survivesTheBroker(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.start("before")
	s := b.follow(few)
	s.Caught(t.Context())
	waittest.Eventually(t, "fresh state", func() bool { return s.all().Stale == "" })
	b.nats.Stop()
	waittest.Eventually(t, "stale state", func() bool { return s.all().Stale == "NATS is not connected" })
	if got := ids(s.all()); got != "before started" {
		t.Errorf("without a broker it shows %q", got)
	}
	b.nats.Restart()
	var at uint64
	claim := claimOf("after")
	waittest.Eventually(t, "write", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var err error
		at, err = b.pub.Append(ctx, publisher.NewKey("billing", "after"), 0, claim, "")
		return err == nil
	})
	b.append("after", at, startedOf(claim, "8"))
	waittest.Eventually(t, "the new request", func() bool {
		v := s.all()
		return ids(v) == "after started, before started" && v.Stale == ""
	})
	if c := s.all().Counts; !maps.Equal(c, Counts{history.Started: 2}) {
		t.Errorf("counts %+v: something was counted twice, or not", c)
	}
}

// Without a reader it reads nothing; with one it continues.
func TestState_restsWithoutAReader(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.start("one")
	s := b.follow(limits{requests: 100, events: 200, idleAfter: time.Nanosecond})
	s.Caught(t.Context())
	waittest.Eventually(t, "rest", func() bool { return s.all().Stale == "the events are still being read" })
	b.start("two")
	s.Want()
	s.Caught(t.Context())
	if got := ids(s.all()); got != "two started, one started" {
		t.Errorf("got %s", got)
	}
	// Too many events since then: it starts again, and shows from when.
	waittest.Eventually(t, "rest", func() bool { return s.all().Stale == "the events are still being read" })
	for i := range 110 {
		b.start(fmt.Sprint("r", i))
	}
	s.Want()
	s.Caught(t.Context())
	if v := s.all(); v.Counts[history.Started] != 100 || v.Complete {
		t.Errorf("counts %+v, complete %t; want the last 100", v.Counts, v.Complete)
	}
}

func TestState_queue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, err := b.pub.Request(t.Context(), "test", schemas.BackupRequest{ClientName: "c", SubclientName: "s"}); err != nil {
		t.Fatal(err)
	}
	s := b.follow(few)
	waittest.Eventually(t, "queue", func() bool { v := s.all(); return v.Queue.Waiting == 1 && !v.QueueAt.IsZero() })
}

func TestState_trigger(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	natstest.ProvisionTrigger(t, b.nats.Connect(t))
	if _, err := b.js.Publish(t.Context(), "storage.event.minio", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	s := b.follow(few)
	waittest.Eventually(t, "trigger", func() bool {
		v := s.all()
		return v.Trigger != nil && v.Trigger.Waiting == 1 && !v.Trigger.Oldest.IsZero()
	})
	if err := b.js.DeleteStream(t.Context(), publisher.StorageStream); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "no trigger", func() bool { return s.all().Trigger == nil })
}

func TestStateLook_aLeaseEndsWithoutAnEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.follow(few)
	c := claimOf("r1")
	c.LeaseMillis = time.Hour.Milliseconds()
	b.append("r1", 0, c)
	waittest.Eventually(t, "the claim", func() bool { return s.all().Counts[history.Claimed] == 1 })
	s.mu.Lock()
	defer s.mu.Unlock()
	for after, want := range map[time.Duration]history.Status{0: history.Claimed, 2 * time.Hour: history.InDoubt} {
		v := s.look(Filter{Status: want}, 0, 10, s.now().Add(after))
		if len(v.Requests) != 1 || v.Requests[0].Status != want || !maps.Equal(v.Counts, Counts{want: 1}) {
			t.Errorf("after %s: %+v, %+v, want %s", after, v.Requests, v.Counts, want)
		}
	}
}

// Of a request with more events than are shown, the last one is among them.
func TestStateEvents_keepsTheLastOfMany(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c, at := claimOf("r1"), uint64(0)
	for range maxEvents + 3 {
		at = b.append("r1", at, c)
	}
	at = b.append("r1", at, startedOf(c, "7"))
	events, more, err := b.follow(few).Events(t.Context(), publisher.NewKey("billing", "r1"))
	if err != nil || !more || len(events) != maxEvents || events[maxEvents-1].Sequence != at {
		t.Errorf("got %d events, more %t, %v, want %d, the last of them %d", len(events), more, err, maxEvents, at)
	}
}
