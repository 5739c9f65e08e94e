package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// desk is an operator who cancels requests.
type desk struct {
	*rig
	*consumer.Canceller
	name string
}

func (b *rig) desk(nc *nats.Conn) *desk {
	b.t.Helper()
	c, err := consumer.NewCanceller(b.within(patience), nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return &desk{b, c, "ann@ops"}
}

// message returns a message in the queue.
func (b *rig) message(sequence uint64) *jetstream.RawStreamMsg {
	b.t.Helper()
	msg, err := natstest.Stream(b.t, b.js, publisher.RequestsStream).GetMsg(b.within(patience), sequence)
	if err != nil {
		b.t.Fatal(err)
	}
	return msg
}

// cancel cancels the request of a message as the command does.
func (d *desk) cancel(msg *jetstream.RawStreamMsg) (ours bool, err error) {
	found, err := d.Look(d.within(patience), msg)
	if err != nil {
		return false, err
	}
	_, ours, err = d.Cancel(d.within(patience), found, d.name, "sent by mistake")
	return ours, err
}

// cancels fails the test unless this operator cancels the request.
func (d *desk) cancels(sequence uint64) {
	d.t.Helper()
	if ours, err := d.cancel(d.message(sequence)); !ours || err != nil {
		d.t.Fatalf("cancel: %t, %v", ours, err)
	}
}

// refused fails the test unless the operator is refused with the text.
func (d *desk) refused(msg *jetstream.RawStreamMsg, want string) {
	d.t.Helper()
	ours, err := d.cancel(msg)
	if _, ok := errors.AsType[*consumer.NotCancellableError](err); !ok || ours || !strings.Contains(err.Error(), want) {
		d.t.Fatalf("cancel: %t, %v, want a refusal with %q", ours, err, want)
	}
}

// cancelled checks that the request was cancelled and never sent.
func (b *rig) cancelled(key publisher.Key) {
	b.t.Helper()
	e := b.failed(key)
	if !e.Cancelled() || e.ErrorMessage != "cancelled by ann@ops: sent by mistake" || e.Retryable || e.FailedAt.IsZero() ||
		e.SubclientName != "stestgroup" || e.RequestedAt.IsZero() || e.PayloadHash == "" {
		b.t.Fatalf("%s: job-failed is %+v", key, e)
	}
}

func (b *rig) operatorEvents() (all []schemas.OperatorEvent) {
	b.t.Helper()
	for _, msg := range b.stored(publisher.EventsStream, publisher.AnyOperator) {
		e, err := schemas.DecodeOperatorEvent(msg.Data)
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// A request that waits is cancelled: never claimed, released, invalid, or without an id. Its next
// delivery keeps the dead letter, once, and ends it for the observer.
func TestCancel(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	d := b.desk(b.nats.Connect(t))
	fresh := b.publish("billing", body("fresh"))
	released := b.publish("billing", body("released"))
	invalid := b.publish("billing", body("invalid", `"typo":1`))
	nameless := b.publish("billing", body(""))
	kept := b.publish("billing", body("kept"))
	b.release("released")
	stored := b.message(fresh).Time
	for _, sequence := range []uint64{fresh, released, invalid, nameless} {
		d.cancels(sequence)
	}
	events := b.operatorEvents()
	want := schemas.RequestRef{Source: "billing", Key: "fresh", RequestID: "fresh", RequestedAt: stored.UTC()}
	if len(events) != 4 || events[0].Action != schemas.ActionCancel || events[0].Actor != d.name || events[0].Reason != "sent by mistake" || events[0].Request != want {
		t.Errorf("operator events are %+v, want %+v first", events, want)
	}
	told := &notes{}
	b.start(func(s *setup) { s.cfg.Observer = told })
	b.settled()
	for _, key := range []publisher.Key{billing("fresh"), billing("released"), b.place("billing", nameless)} {
		b.cancelled(key)
	}
	if e := b.failed(billing("invalid")); !e.Cancelled() {
		t.Errorf("job-failed is %+v", e)
	}
	b.started(billing("kept"))
	b.checkPromise(1)
	b.checkCalls(1)
	letters := b.deadLetters()
	if len(letters) != 4 || letters[0].Header.Get(publisher.HeaderDeadLetterCode) != schemas.CodeCancelled {
		t.Errorf("%d dead letters, the first %v, want 4 of %s", len(letters), letters[0].Header, schemas.CodeCancelled)
	}
	told.has(t, b, fmt.Sprintf("settled fresh %d job-failed ", consumer.ResultOutcome))
	b.publish("billing", body("fresh")) // its id is used up
	b.settled()
	told.has(t, b, fmt.Sprintf("settled fresh %d job-failed ", consumer.ResultDuplicate))
	if len(b.deadLetters()) != 4 || kept == 0 {
		t.Errorf("%d dead letters, want 4: the copy has none", len(b.deadLetters()))
	}
	b.checkCalls(1)
}

// A request that was sent, or may have been, is not cancelled. The refusal says what happens next.
func TestCancel_refuses(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	d := b.desk(b.nats.Connect(t))
	pub, err := publisher.New(b.js.Conn())
	if err != nil {
		t.Fatal(err)
	}
	for id, test := range map[string]struct {
		claim schemas.Claim
		says  string
	}{
		"held":       {schemas.Claim{Owner: "one", LeaseMillis: 60_000, Epoch: 1}, "one has claimed it until 20"},
		"ended":      {schemas.Claim{Owner: "one", LeaseMillis: 1, Epoch: 1}, "the claim of one ended at 20"},
		"doubt":      {schemas.Claim{Owner: "one", Epoch: 1, DoubtSequence: schemas.LostClaim}, "a call of the vendor may have started its job"},
		"unlikely":   {schemas.Claim{Owner: "one", Epoch: 1, DoubtSequence: 1, DoubtUnlikely: true}, "a replica looks for the job"},
		"task":       {schemas.Claim{Owner: "one", Epoch: 1, DoubtTaskID: "9"}, "adopts it, or sends the request again"},
		"held doubt": {schemas.Claim{Owner: "one", LeaseMillis: 60_000, Epoch: 2, DoubtSequence: 1}, "may have started its job"},
	} {
		m, err := schemas.DecodeRequest(nil, []byte(body(id)))
		if err != nil {
			t.Fatal(err)
		}
		msg := b.message(b.publish("billing", body(id)))
		test.claim.Nonce = "n"
		if _, err := pub.Append(b.within(patience), billing(id), 0, &schemas.JobSubmitting{
			RequestID: id, Source: "billing", Request: m.Request, Claim: test.claim,
			Message: schemas.Message{RequestedAt: msg.Time.UTC(), PayloadHash: m.Request.Hash()},
		}, ""); err != nil {
			t.Fatal(err)
		}
		b.eventually("the refusal says "+test.says, func() bool { // a lease may have to end before
			_, err := d.Look(b.within(patience), msg)
			if err == nil {
				t.Fatalf("%s can be cancelled", id)
			}
			return strings.Contains(err.Error(), test.says)
		})
		d.refused(msg, test.says)
		if got := kinds(b.history(billing(id))); got != "job-submitting" {
			t.Errorf("%s: the history is %q", id, got)
		}
	}
	if events := b.operatorEvents(); len(events) != 0 {
		t.Errorf("what was not done is recorded: %+v", events)
	}

	// What has its outcome.
	b = newRig(t, simulator.Config{})
	d = b.desk(b.nats.Connect(t))
	started, failed := b.message(b.publish("billing", body("started"))), b.message(b.publish("billing", body("failed", refused)))
	b.start()
	b.settled()
	d.refused(started, "it has its outcome: job "+b.started(billing("started")).JobID+" was started; a cancellation does not stop a job")
	d.refused(failed, "it has its outcome: "+b.failed(billing("failed")).ErrorCode+": ")
}

// Replicas that pick meet at the same requests: a cancelled one is counted and logged once.
func TestCancel_isCountedOnce(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	d := b.desk(b.nats.Connect(t))
	const requests = 50
	for i := range requests {
		d.cancels(b.publish("billing", body(fmt.Sprint("id-", i))))
	}
	told, scarce := &notes{}, &starts{left: 1000}
	for _, name := range []string{"one", "two", "three"} {
		b.start(owner(name), scarce.limited, func(s *setup) { s.cfg.Observer = told })
	}
	b.settled()
	counted := func() (n int) {
		for _, line := range told.all() {
			if strings.HasSuffix(line, fmt.Sprintf(" %d job-failed ", consumer.ResultOutcome)) {
				n++
			}
		}
		return n
	}
	b.eventually("count of each", func() bool { return counted() >= requests }) // after the message is settled
	if n := counted(); n != requests || len(b.deadLetters()) != requests {
		t.Errorf("%d cancelled requests were counted, with %d dead letters, want %d", n, len(b.deadLetters()), requests)
	}
	b.checkCalls(0)
}

// Replicas claim requests while an operator cancels them: each is started or cancelled, and
// the operator is told which.
func TestCancel_againstClaims(t *testing.T) {
	t.Parallel()
	for name, changes := range map[string][]func(*setup){
		"pull": {unhurried},
		"pick": {unhurried, (&starts{left: 1000}).limited},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
			d := b.desk(b.nats.Connect(t))
			const requests = 200
			var messages []*jetstream.RawStreamMsg
			for i := range requests {
				messages = append(messages, b.message(b.publish("billing", body(fmt.Sprint("id-", i)))))
			}
			slices.Reverse(messages) // so that the two meet
			ended := make(map[string]bool)
			for i, msg := range messages {
				if i == requests/20 {
					b.start(changes...)
					b.start(append(changes, owner("two"))...)
					b.eventually("replicas start jobs", func() bool { return b.sim.Account().JobsStarted > 0 })
				}
				m, err := schemas.DecodeRequest(nil, msg.Data)
				if err != nil {
					t.Fatal(err)
				}
				ours, err := d.cancel(msg)
				if _, refused := errors.AsType[*consumer.NotCancellableError](err); err != nil && !refused {
					t.Fatal(err)
				}
				ended[m.Request.RequestID] = ours
			}
			b.settled()
			started := 0
			for id, cancelled := range ended {
				if cancelled {
					b.cancelled(billing(id))
					continue
				}
				b.started(billing(id))
				started++
			}
			b.checkPromise(started)
			b.checkCalls(started)
			if got := len(b.deadLetters()); got != requests-started || started == 0 || started == requests {
				t.Errorf("%d started and %d dead letters of %d", started, got, requests)
			}
		})
	}
}

// Two operators cancel the same requests at once: one of them does it, the other is told.
func TestCancel_twice(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	const requests = 20
	var messages []*jetstream.RawStreamMsg
	for i := range requests {
		messages = append(messages, b.message(b.publish("billing", body(fmt.Sprint("id-", i)))))
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	done := make(map[uint64]int)
	for range 2 {
		d := b.desk(b.nats.Connect(t))
		wait.Go(func() {
			for _, msg := range messages {
				ours, err := d.cancel(msg)
				if err != nil {
					t.Error(err)
				}
				if ours {
					mu.Lock()
					done[msg.Sequence]++
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	for _, msg := range messages {
		if done[msg.Sequence] != 1 {
			t.Errorf("message %d was cancelled by %d operators", msg.Sequence, done[msg.Sequence])
		}
	}
	// What one of them has looked at before the other cancelled it.
	b.publish("billing", body("late"))
	msg, first, second := b.message(requests+1), b.desk(b.nats.Connect(t)), b.desk(b.nats.Connect(t))
	second.name = "bob@ops"
	found, err := second.Look(b.within(patience), msg)
	if err != nil || found.By != nil {
		t.Fatalf("%+v, %v", found, err)
	}
	first.cancels(msg.Sequence)
	now, ours, err := second.Cancel(b.within(patience), found, second.name, "me too")
	if err != nil || ours || now.By == nil || !strings.Contains(now.By.ErrorMessage, first.name) {
		t.Errorf("the second is told %+v, %t, %v", now.By, ours, err)
	}
	b.start()
	b.settled()
	b.cancelled(billing("late"))
	b.checkPromise(0)
}

// A cancelled request that is replayed is another request. The replay can be cancelled as well.
func TestCancel_replay(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	d := b.desk(b.nats.Connect(t))
	d.cancels(b.publish("billing", body("id")))
	w := b.start()
	b.settled()
	b.cancelled(billing("id"))
	w.drain()
	letter := b.deadLetters()[0]
	pub, err := publisher.New(b.js.Conn())
	if err != nil {
		t.Fatal(err)
	}
	read := publisher.ReadDeadLetter(letter.Subject, letter.Header, letter.Data)
	for _, id := range []string{"id-replay-1", "id-replay-1-2"} {
		if _, err := pub.Replay(b.within(patience), read, id); err != nil {
			t.Fatal(err)
		}
	}
	last := natstest.Stream(t, b.js, publisher.RequestsStream).CachedInfo().State.LastSeq
	d.cancels(last)
	b.start()
	b.settled()
	if e := b.started(billing("id-replay-1")); e.ReplayOf != "billing/id" {
		t.Errorf("job-started is %+v", e)
	}
	if e := b.failed(billing("id-replay-1-2")); !e.Cancelled() || e.ReplayOf != "billing/id" {
		t.Errorf("job-failed is %+v", e)
	}
	// The same replay sent again, as after a crash, is the same cancelled request.
	if _, err := pub.Replay(b.within(patience), read, "id-replay-1-2"); err != nil {
		t.Fatal(err)
	}
	b.settled()
	b.checkPromise(1)
	b.checkCalls(1)
}

// The queue has an id twice: the copy is cancelled with the request. Other content under the id
// is rejected, as it would be without the cancellation.
func TestCancel_anIDGivenTwice(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	d := b.desk(b.nats.Connect(t))
	first := b.publish("billing", body("id"))
	second := b.publish("billing", body("id"), "Nats-Expected-Stream", publisher.RequestsStream)
	other := b.publish("billing", body("id", `"backupLevel":"FULL"`))
	d.cancels(second) // about this message
	if ours, err := d.cancel(b.message(first)); ours || err != nil {
		t.Errorf("the copy: %t, %v, want cancelled before", ours, err)
	}
	d.refused(b.message(other), "which has other content: this one is rejected with its next delivery")
	b.start()
	b.settled()
	b.cancelled(billing("id"))
	if got := len(b.events("backup.event.request-rejected.>")); got != 1 || len(b.deadLetters()) != 2 {
		t.Errorf("%d rejections, %d dead letters, want 1 and 2", got, len(b.deadLetters()))
	}
	b.checkCalls(0)
}

// A cancelled request leaves the queue although its content group still waits.
func TestCancel_whileTheContentGroupWaits(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictRefuse, JobDuration: time.Hour})
	b.followJobs()
	d := b.desk(b.nats.Connect(t))
	b.start(queued, unhurried)
	b.publish("billing", body("first"))
	b.settled()
	second := b.publish("billing", body("second"))
	third := b.publish("billing", body("third"))
	b.eventually("both have been delivered", func() bool { return b.delivered() >= 3 })
	d.cancels(second)
	b.eventually("the cancelled one has left the queue", func() bool { return b.queued() == 1 })
	b.cancelled(billing("second"))
	if b.message(third) == nil || len(b.history(billing("third"))) != 0 {
		t.Error("the other one does not wait any more")
	}
	b.checkPromise(1)
}

// The sweep, which finds messages that the server has forgotten, ends a cancelled one too.
func TestCancel_aRequestThatTheServerForgot(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	d := b.desk(b.nats.Connect(t))
	forgotten := b.publish("billing", body("forgotten"))
	d.cancels(forgotten)
	reset := fmt.Sprintf("$JS.API.CONSUMER.RESET.%s.%s", publisher.RequestsStream, publisher.RequestsConsumer)
	if answer, err := b.js.Conn().Request(reset, fmt.Appendf(nil, `{"seq":%d}`, forgotten+1), patience); err != nil || strings.Contains(string(answer.Data), `"error"`) {
		t.Fatalf("reset the consumer: %v %s", err, answer.Data)
	}
	b.start(func(s *setup) { s.cfg.SweepInterval = 200 * time.Millisecond })
	b.publish("billing", body("fresh"))
	b.settled()
	b.cancelled(billing("forgotten"))
	if len(b.deadLetters()) != 1 {
		t.Errorf("%d dead letters, want 1", len(b.deadLetters()))
	}
	b.checkPromise(1)
}

// The operator's process dies at each step. What was not cancelled goes on, and cancelling again
// is safe.
func TestACrashOfACancellation(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		op        string
		action    natstest.Action
		cancelled bool
	}{
		"look":                      {"HPUB backup.event.operator", natstest.Swallow, false},
		"asked":                     {"HPUB backup.event.job-failed", natstest.Swallow, false},
		"cancelled, unacknowledged": {"HPUB backup.event.job-failed", natstest.Deafen, true},
	} {
		for again, repeat := range map[string]bool{"": false, ", again": true} {
			t.Run(name+again, func(t *testing.T) {
				t.Parallel()
				b := newRig(t, simulator.Config{})
				msg := b.message(b.publish("billing", body("id")))
				proxy := natstest.StartProxy(t, b.nats)
				nc := proxy.Connect(t)
				d := b.desk(nc)
				here := proxy.Once(test.op, test.action)
				ctx, kill := context.WithCancel(b.within(patience))
				ended := make(chan struct{})
				found, err := d.Look(ctx, msg)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					defer close(ended)
					_, _, _ = d.Cancel(ctx, found, d.name, "sent by mistake")
				}()
				b.wait("the operator comes to the step", here)
				if test.cancelled {
					b.eventually("the event is stored", func() bool { return len(b.history(billing("id"))) == 1 })
				}
				nc.Close()
				kill()
				b.wait("the process is dead", ended)
				if repeat {
					if ours, err := b.desk(b.nats.Connect(t)).cancel(msg); err != nil || ours == test.cancelled {
						t.Errorf("again: ours %t, %v", ours, err)
					}
				}
				b.start()
				b.settled()
				if test.cancelled || repeat {
					b.cancelled(billing("id"))
					b.checkCalls(0)
				} else {
					b.started(billing("id"))
				}
			})
		}
	}
}

// The acknowledgement of the cancellation is lost, and the operator's process lives: it is told
// that it has cancelled the request.
func TestCancel_aLostAcknowledgement(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	msg := b.message(b.publish("billing", body("id")))
	proxy := natstest.StartProxy(t, b.nats)
	d := b.desk(proxy.Connect(t))
	lost := proxy.Once("HPUB backup.event.job-failed", natstest.Deafen)
	answer := make(chan string, 1)
	go func() {
		ours, err := d.cancel(msg)
		answer <- fmt.Sprint(ours, err)
	}()
	b.wait("the write is on its way", lost)
	b.eventually("it is stored", func() bool { return len(b.history(billing("id"))) == 1 })
	proxy.Cut(false)
	if got := <-answer; got != "true <nil>" {
		t.Errorf("cancel: %s", got)
	}
	b.cancelled(billing("id"))
}

// A ledger that cannot be relied on may have forgotten that a request was sent.
func TestCancel_aLedgerThatForgot(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	w := b.work("before")
	b.eventually("the mark is kept", func() bool { return b.mark().Last > 0 })
	w.drain()
	msg := b.message(b.publish("billing", body("id")))
	b.edit(func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 })
	refused := func(why string) {
		t.Helper()
		ours, err := b.desk(b.nats.Connect(t)).cancel(msg)
		if _, ok := errors.AsType[*consumer.LedgerError](err); !ok || ours || !strings.Contains(err.Error(), why) {
			t.Errorf("cancel: %t, %v, want a *LedgerError with %q", ours, err, why)
		}
	}
	refused("max_msgs 1000 and forgets events")
	b.edit(func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 })
	found, err := b.desk(b.nats.Connect(t)).Look(b.within(patience), msg)
	if err != nil || found.By != nil {
		t.Fatalf("%+v, %v", found, err)
	}
	b.remake(publisher.EventsStream)
	refused("ledger cannot be relied on")
	if got := len(b.history(billing("id"))); got != 0 {
		t.Errorf("%d events were written", got)
	}
}

// heldVendor holds each request before it is sent.
func heldVendor(entered chan<- struct{}, leave <-chan struct{}) func(*setup) {
	return func(s *setup) {
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				entered <- struct{}{}
				<-leave
				return v.Submit(ctx, waits, task, permit)
			}}
		}
	}
}

// A replica that has claimed the request and not yet sent it keeps it. One that drains gives it
// back, and it can be cancelled.
func TestCancel_aClaimThatIsReleased(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	d := b.desk(b.nats.Connect(t))
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	w := b.start(unhurried, heldVendor(entered, leave))
	msg := b.message(b.publish("billing", body("id")))
	b.wait("it is claimed", entered)
	d.refused(msg, "one has claimed it until 20")
	w.stop()
	close(leave)
	w.drain()
	d.cancels(msg.Sequence)
	b.start(owner("two"))
	b.settled()
	b.cancelled(billing("id"))
	b.checkCalls(0)
}
