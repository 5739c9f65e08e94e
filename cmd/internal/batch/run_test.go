package batch_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/batch"
	"backhaul/cmd/internal/natsconn"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// A batch with every kind of outcome, repeated: nothing is sent, the same is reported.
func TestRun_CountsOutcomes(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	b.work()
	first := batchOf(1)
	if s, _ := b.finish(first); s.Outcomes.Started != 1 || !s.Succeeded() {
		t.Fatalf("a single request: %v", s)
	}

	set := batchOf(700) // more than are looked up at once
	set.Requests = append(set.Requests, normalised("bad-1", "no-such-group"), normalised("bad-2", "no-such-group"))
	s, rep := b.finish(set)
	if s.Sent != 701 || s.Known != 1 || s.Outcomes.Started != 700 || s.Outcomes.Failed["587207178"] != 2 || s.Succeeded() {
		t.Errorf("got %v", s)
	}
	if len(rep.outcomes) != 702 || len(rep.sent) != 701 {
		t.Errorf("%d outcomes and %d sent were reported", len(rep.outcomes), len(rep.sent))
	}
	before := b.state(publisher.RequestsStream).LastSeq
	again, rep := b.finish(set)
	if again.Sent != 0 || again.Known != 702 || again.Outcomes.Started != 700 || again.Outcomes.FailedTotal() != 2 {
		t.Errorf("again: %v", again)
	}
	if got := b.state(publisher.RequestsStream).LastSeq; got != before || len(rep.outcomes) != 702 {
		t.Errorf("again: %d requests were published, %d outcomes reported", got-before, len(rep.outcomes))
	}
	set.Wait, set.Resume = batch.WaitNothing, true
	if s, rep := b.finish(set); s.Known != 702 || len(rep.outcomes) != 702 || s.Outcomes != nil || !s.Succeeded() {
		t.Errorf("without waiting: %v, %d known", s, len(rep.outcomes))
	}
	set.Requests = set.Requests[:700]
	b.oneEach(set)
}

// A request whose id is used with other content is stored and rejected, within
// JetStream's duplicate window as well as after it.
func TestRun_CountsARejection(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	b.work()
	b.finish(batchOf(1))
	set := batchOf(0)
	set.Requests = []schemas.BackupRequest{normalised("r-0", "load-2")}
	s, rep := b.finish(set)
	if s.Outcomes.Rejected != 1 || !slices.Equal(rep.kinds(), []schemas.Kind{schemas.KindRequestRejected}) {
		t.Errorf("got %v, events %v", s, rep.kinds())
	}
	b.oneEach(batchOf(1))
}

// Messages of another source with the message ids of these requests do not prevent these
// requests from being stored.
func TestRun_IgnoresOtherSourcesMessageIDs(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	js, err := jetstream.New(b.nats.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"billing/r-0", "billing/r-1", "r-2"} {
		if _, err := js.Publish(t.Context(), "backup.request.crm", []byte(`{"requestId":"`+id+`"}`), jetstream.WithMsgID(id)); err != nil {
			t.Fatal(err)
		}
	}
	b.work()
	if s, _ := b.finish(batchOf(3)); s.Sent != 3 || s.Outcomes.Started != 3 {
		t.Errorf("got %v, want 3 jobs", s)
	}
	b.oneEach(batchOf(3))
}

// Without a consumer the outcomes do not come. The batch ends after its timeout.
func TestRun_EndsWithoutOutcomes(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	set := batchOf(3)
	set.Timeout = 5 * time.Second // it is also how long the queue may take to accept a request
	s, err := b.run(t.Context(), set, &recorder{})
	missing, _ := errors.AsType[*batch.NoOutcomeError](err)
	if missing == nil || !slices.Equal(missing.IDs, []string{"r-0", "r-1", "r-2"}) || s.Sent != 3 || s.Outcomes.None != 3 || s.Succeeded() {
		t.Errorf("got %v, %v", s, err)
	}
	checkSums(t, s)
	// The next run sends the requests without an outcome again and waits for the outcomes.
	b.work()
	if s, _ := b.finish(batchOf(3)); s.Sent+s.Known != 3 || s.Outcomes.Started != 3 {
		t.Errorf("the next run: %v", s)
	}
	b.oneEach(batchOf(3))
}

// Run waits for a full queue, and does not report the server as unreachable.
func TestRun_WaitsForAFullQueue(t *testing.T) {
	t.Parallel()
	b := newRig(t, func(stream *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if stream != nil && stream.Name == publisher.RequestsStream {
			stream.MaxMsgs = 2
		}
	})
	set := batchOf(20)
	set.Timeout = 5 * time.Second // enough for a refusal on a busy machine
	s, err := b.run(t.Context(), set, &recorder{})
	if _, unreachable := errors.AsType[*natsconn.UnreachableError](err); err == nil || unreachable || !strings.Contains(err.Error(), "maximum messages") || s.Sent != 2 {
		t.Errorf("got %v, %v", s, err)
	}
	b.work()
	if s, _ := b.finish(batchOf(20)); !s.Succeeded() {
		t.Errorf("with a service: %v", s)
	}
	b.oneEach(batchOf(20))
}

// A batch is interrupted and repeated several times.
func TestRun_ContinuesAfterAnInterrupt(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	b.work()
	set := batchOf(600)
	for _, after := range []int{100, 300, 500} {
		ctx, interrupt := context.WithCancel(t.Context())
		s, err := b.run(ctx, set, &recorder{progress: func(s batch.Summary) {
			if s.Requests-s.NotSent >= after {
				interrupt()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("after %d: %v, %v", after, s, err)
		}
		checkSums(t, s)
	}
	if s, _ := b.finish(set); !s.Succeeded() || s.Known == 0 {
		t.Errorf("got %v", s)
	}
	b.oneEach(set)
}

// The broker restarts twice while requests are published and outcomes are read.
func TestRun_SurvivesBrokerRestarts(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	b.work()
	set := batchOf(900)
	set.Rate = 600
	restart := make(chan struct{}, 2)
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		for range restart {
			b.nats.Stop()
			b.nats.Restart()
		}
	}()
	times := 0
	rep := &recorder{progress: func(s batch.Summary) {
		if times < cap(restart) && s.Outcomes.Started > 200*(times+1) {
			times++
			restart <- struct{}{}
		}
	}}
	s, err := b.run(t.Context(), set, rep)
	close(restart)
	<-restarted
	if err != nil || !s.Succeeded() || times != cap(restart) {
		t.Errorf("got %v, %v, with %d restarts", s, err, times)
	}
	checkSums(t, s)
	b.oneEach(set)
}

// Waiting does not read events from before the batch.
func TestRun_ReadsOnlyNewEvents(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	pub, err := publisher.New(b.nats.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	events := natstest.Stream(t, b.js, publisher.EventsStream)
	old := schemas.JobFailed{Naming: schemas.Naming{RequestID: "r-1", Source: "billing"}, Message: schemas.Message{PayloadHash: "other"}}
	if _, err := pub.Append(t.Context(), publisher.SequenceKey("billing", 1, time.Now()), 0, &old, ""); err != nil {
		t.Fatal(err)
	}
	last := b.state(publisher.EventsStream).LastSeq
	b.work()
	var starts []uint64 // of the readers while the batch runs
	rep := &recorder{progress: func(s batch.Summary) {
		if len(starts) > 0 || s.Outcomes.Started == 0 {
			return
		}
		for info := range events.ListConsumers(t.Context()).Info() {
			if info.Config.Durable == "" {
				starts = append(starts, info.Config.OptStartSeq)
			}
		}
	}}
	if s, err := b.run(t.Context(), batchOf(50), rep); err != nil || !s.Succeeded() {
		t.Errorf("got %v, %v", s, err)
	}
	if !slices.Equal(starts, []uint64{last + 1}) {
		t.Errorf("events are read from %v, want %d", starts, last+1)
	}
}

func TestRun_WithoutStreams(t *testing.T) {
	t.Parallel()
	s := natstest.StartBare(t)
	b := &rig{t: t, nats: s, js: natstest.JetStream(t, s.Connect(t))}
	if _, err := b.run(t.Context(), batchOf(1), &recorder{}); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("waiting: %v", err)
	}
	// A batch that does not wait needs the queue, but not the events.
	set := batchOf(1)
	set.Wait, set.Resume, set.Timeout = batch.WaitNothing, true, time.Second
	rep := &recorder{}
	_, err := b.run(t.Context(), set, rep)
	if _, ok := errors.AsType[*natsconn.UnreachableError](err); !ok || rep.unreadable == nil {
		t.Errorf("sending: %v, unreadable %v", err, rep.unreadable)
	}
}

// An error of the reporter ends the batch.
func TestRun_EndsOnAReporterError(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	b.work()
	if _, err := b.run(t.Context(), batchOf(50), brokenPipe{&recorder{}}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

var errBroken = errors.New("broken pipe")

type brokenPipe struct{ *recorder }

func (brokenPipe) Request(schemas.BackupRequest, batch.News) error { return errBroken }
