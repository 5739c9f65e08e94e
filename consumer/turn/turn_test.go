package turn

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig writes the events of requests of one content group.
type rig struct {
	*testing.T
	nats  *natstest.Server
	nc    *nats.Conn
	js    jetstream.JetStream
	pub   *publisher.Publisher
	turns *Turns
}

var (
	home   = Group{"Files", "home"}
	queue  = Rule{Queue: true}
	first  = publisher.NewKey("billing", "first")
	second = publisher.NewKey("crm", "second")
)

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, nats: natstest.Start(t)}
	r.nc = r.nats.Connect(t)
	r.js = natstest.JetStream(t, r.nc)
	r.pub, r.turns = r.on(r.nc)
	return r
}

// on returns the turns as a process with this connection has them.
func (r *rig) on(nc *nats.Conn) (*publisher.Publisher, *Turns) {
	r.Helper()
	pub, err := publisher.New(nc)
	if err != nil {
		r.Fatal(err)
	}
	js := natstest.JetStream(r, nc)
	return pub, New(js, natstest.Stream(r, js, publisher.EventsStream), pub)
}

// append writes an event after the key's last one.
func (r *rig) append(key publisher.Key, e schemas.Event) {
	r.Helper()
	_, last, err := publisher.LastEvent(r.Context(), natstest.Stream(r, r.js, publisher.EventsStream), key.Filter())
	if err != nil {
		r.Fatal(err)
	}
	var after uint64
	if last != nil {
		after = last.Sequence
	}
	if _, err := r.pub.Append(r.Context(), key, after, e, ""); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) appendJob(key publisher.Key, e schemas.JobEvent) {
	r.Helper()
	_, last, err := publisher.LastEvent(r.Context(), natstest.Stream(r, r.js, publisher.EventsStream), key.JobFilter(e.Job()))
	if err != nil {
		r.Fatal(err)
	}
	var after uint64
	if last != nil {
		after = last.Sequence
	}
	if _, err := r.pub.AppendJob(r.Context(), key, after, e, ""); err != nil {
		r.Fatal(err)
	}
}

func naming(key publisher.Key) schemas.Naming {
	return schemas.Naming{RequestID: key.Name, Source: key.Source, ClientName: home.Client, SubclientName: home.Subclient, BackupLevel: "INCREMENTAL"}
}

func message() schemas.Message {
	return schemas.Message{RequestedAt: time.Now().UTC(), PayloadHash: "0"}
}

func claim(key publisher.Key, c schemas.Claim) schemas.Event {
	return &schemas.JobSubmitting{
		RequestID: key.Name, Source: key.Source, Message: message(), SubmittingAt: time.Now().UTC(), Claim: c,
		Request: schemas.BackupRequest{RequestID: key.Name, ClientName: home.Client, SubclientName: home.Subclient},
	}
}

func started(key publisher.Key, jobs ...string) schemas.Event {
	return &schemas.JobStarted{Naming: naming(key), Message: message(), JobID: jobs[0], JobIDs: jobs, TaskID: "7", Attempts: 1, StartedAt: time.Now().UTC()}
}

func finished(key publisher.Key, job string) schemas.JobEvent {
	return &schemas.JobFinished{
		Naming: naming(key), Message: message(), JobRef: schemas.JobRef{JobID: job}, Outcome: schemas.OutcomeCompleted, VendorStatus: "Completed",
		JobTimes: schemas.JobTimes{ObservedAt: time.Now().UTC()},
	}
}

func failed(key publisher.Key, code string) schemas.Event {
	return &schemas.JobFailed{Naming: naming(key), Message: message(), ErrorCode: code, ErrorMessage: "x", ErrorSource: "vendor", FailedAt: time.Now().UTC()}
}

// take takes the turn for a request, and returns what it waits for if it does not get it.
func (r *rig) take(key publisher.Key, rule Rule) *Wait {
	r.Helper()
	st, err := r.turns.Look(r.Context(), home, rule, key)
	if err == nil {
		st, err = r.turns.Take(r.Context(), st, key, key.Name)
	}
	if err != nil {
		r.Fatal(err)
	}
	return st.Wait
}

// looks checks what a request waits for: a part of the text, "" for nothing.
func (r *rig) looks(what string, key publisher.Key, rule Rule, want string) {
	r.Helper()
	st, err := r.turns.Look(r.Context(), Group{strings.ToUpper(home.Client), "HOME"}, rule, key)
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
	if got := st.Wait; (got == nil) != (want == "") || got != nil && !strings.Contains(got.String(), want) {
		r.Errorf("%s: waits for %q, want %q", what, got, want)
	}
}

// What the holder's last event says about the turn.
func TestTheHoldersLastEvent(t *testing.T) {
	t.Parallel()
	lease := schemas.Claim{Owner: "one", Nonce: "n", Epoch: 1, LeaseMillis: 1000}
	released := schemas.Claim{Owner: "one", Nonce: "n", Epoch: 1}
	doubt, task := released, released
	doubt.DoubtSequence, task.DoubtTaskID = 5, "7"
	both := []schemas.JobEvent{finished(first, "11"), finished(first, "12")}
	changed := &schemas.JobChanged{Naming: naming(first), Message: message(), JobRef: schemas.JobRef{JobID: "11"}, State: schemas.StatePending, VendorStatus: "Pending", ChangedAt: time.Now()}
	unfollowed := &schemas.JobUnfollowed{Naming: naming(first), Message: message(), JobRef: schemas.JobRef{JobID: "11"}, Reason: "x", UnfollowedAt: time.Now()}
	const starting, running = "request billing/first, which is being started for the same content group", "of request billing/first, which runs for the same content group"
	for name, test := range map[string]struct {
		last  schemas.Event
		jobs  []schemas.JobEvent
		waits string
	}{
		"none":                     {nil, nil, ""},
		"claim":                    {claim(first, lease), nil, starting},
		"released claim":           {claim(first, released), nil, ""},
		"released claim, doubt":    {claim(first, doubt), nil, starting},
		"released claim, task":     {claim(first, task), nil, starting},
		"failed":                   {failed(first, "2:3"), nil, ""},
		"outcome unknown":          {failed(first, schemas.CodeOutcomeUnknown), nil, ""},
		"started":                  {started(first, "11"), nil, "job 11 " + running},
		"started, two jobs":        {started(first, "11", "12"), nil, "job 11 " + running},
		"one of two has ended":     {started(first, "11", "12"), both[:1], "job 12 " + running},
		"the other of two":         {started(first, "11", "12"), both[1:], "job 11 " + running},
		"both have ended":          {started(first, "11", "12"), both, ""},
		"pending":                  {started(first, "11"), []schemas.JobEvent{changed}, "job 11 " + running},
		"not followed any more":    {started(first, "11"), []schemas.JobEvent{unfollowed}, ""},
		"pending, then has ended":  {started(first, "11"), []schemas.JobEvent{changed, both[0]}, ""},
		"no id that can be looked": {started(first, "x.y"), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if wait := r.take(first, queue); wait != nil {
				t.Fatalf("the first request waits for %s", wait)
			}
			if test.last != nil {
				r.append(first, test.last)
			}
			for _, e := range test.jobs {
				r.appendJob(first, e)
			}
			r.looks("another request", second, queue, test.waits)
			r.looks("the holder", first, queue, "")
			holder, err := r.turns.Holder(t.Context(), home, Rule{})
			if err != nil || (holder == nil) != (test.waits == "") {
				t.Errorf("the holder is %v, %v", holder, err)
			}
			if wait := r.take(second, queue); (wait == nil) != (test.waits == "") {
				t.Errorf("the other request, when it takes the turn, waits for %v", wait)
			}
		})
	}
}

// A job that the follower has passed without an end, and one that nobody can follow, hold no turn.
func TestAJobThatIsNotFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.take(first, queue)
	r.append(first, started(first, "11"))
	r.looks("followed", second, queue, "job 11")
	durable, err := r.js.Consumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := durable.Next()
	if err != nil {
		t.Fatal(err)
	}
	r.looks("delivered", second, queue, "job 11")
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.looks("passed", second, queue, "")

	third := publisher.NewKey("billing", "third")
	if wait := r.take(third, queue); wait != nil {
		t.Fatalf("waits for %s", wait)
	}
	r.append(third, started(third, "13"))
	r.looks("followed", second, queue, "job 13")
	if err := r.js.DeleteConsumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer); err != nil {
		t.Fatal(err)
	}
	r.looks("no follower", second, queue, "")
}

// A claim that nobody has renewed for long holds no turn: its request was deleted.
func TestAnAbandonedClaim(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.take(first, queue)
	r.append(first, claim(first, schemas.Claim{Owner: "one", Nonce: "n", Epoch: 1, LeaseMillis: 1000}))
	r.looks("claimed", second, queue, "being started")
	r.turns.abandoned = time.Nanosecond
	r.looks("abandoned", second, queue, "")
}

// A consumer that was made again follows only what is started later.
func TestAFollowerThatIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.take(first, queue)
	r.append(first, started(first, "11"))
	durable, err := r.js.Consumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer)
	if err != nil {
		t.Fatal(err)
	}
	cfg := durable.CachedInfo().Config
	if err := r.js.DeleteConsumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer); err != nil {
		t.Fatal(err)
	}
	if _, err := r.js.CreateConsumer(t.Context(), publisher.EventsStream, cfg); err != nil {
		t.Fatal(err)
	}
	r.looks("started before", second, queue, "")
}

// The first turn of a group counts the jobs that run already, all of them.
func TestTheFirstTurn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := publisher.NewKey("billing", "other")
	elsewhere := started(other, "9").(*schemas.JobStarted)
	elsewhere.SubclientName = "another"
	third := publisher.NewKey("billing", "third")
	r.append(first, started(first, "11"))
	r.append(third, started(third, "12"))
	r.append(other, elsewhere)
	r.looks("two jobs run", second, queue, "job 12 of request billing/third")
	r.appendJob(third, finished(third, "12"))
	r.looks("the newest has ended", second, queue, "job 11 of request billing/first")
	r.appendJob(first, finished(first, "11"))
	if wait := r.take(second, queue); wait != nil {
		t.Errorf("waits for %s", wait)
	}
	// From now on the turn counts, and not what is started without it.
	r.append(second, failed(second, "2:3"))
	fourth := publisher.NewKey("billing", "fourth")
	r.append(fourth, started(fourth, "14"))
	r.looks("a job without a turn", publisher.NewKey("a", "b"), queue, "")
}

// A foreign message on the subject of the turn is none: the jobs that run count.
func TestAForeignMessageIsNoTurn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.append(first, started(first, "11"))
	for _, data := range []string{`{"type":"io.nats.jetstream.api.v1.consumer_info_response"}`, "[", `{"nonce":"x","clientName":"a"}`} {
		if _, err := r.js.Publish(t.Context(), publisher.TurnSubject(home.key()), []byte(data)); err != nil {
			t.Fatal(err)
		}
		r.looks(data, second, queue, "job 11")
	}
}

// The least interval is counted from the last start, also if the request after it failed.
func TestTheLeastInterval(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	every := Rule{MinInterval: time.Hour}
	r.take(first, every)
	r.looks("not started yet", second, every, "")
	r.append(first, claim(first, schemas.Claim{Owner: "one", Nonce: "n", Epoch: 1, LeaseMillis: 1000}))
	r.looks("being started", second, every, "which is being started")
	r.append(first, started(first, "11"))
	r.looks("started", second, every, "the content group's least interval since request billing/first was started, until 20")
	r.looks("another interval", second, Rule{MinInterval: time.Nanosecond}, "")
	r.looks("the rule to wait for jobs", second, queue, "job 11")

	st, err := r.turns.Look(t.Context(), home, every, second)
	if err != nil || st.Wait.Left() < 59*time.Minute || st.Wait.Left() > time.Hour {
		t.Fatalf("%+v, %v", st.Wait, err)
	}
	// A shorter interval lets the second one pass. It fails, and the first start counts again.
	if wait := r.take(second, Rule{MinInterval: time.Nanosecond}); wait != nil {
		t.Fatalf("waits for %s", wait)
	}
	r.append(second, failed(second, "2:3"))
	r.looks("after a failure", publisher.NewKey("a", "third"), every, "least interval")
	r.looks("the holder itself, again", second, every, "least interval")
}

// What was published before holds the group also while nothing is claimed for it.
func TestAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	asks := func(what string, rule Rule, published time.Time, want string) {
		t.Helper()
		wait, err := r.turns.Asked(t.Context(), first, rule, published)
		if err != nil || (wait == nil) != (want == "") || wait != nil && !strings.Contains(wait.String(), want) {
			t.Errorf("%s: waits for %v, %v, want %q", what, wait, err, want)
		}
	}
	now := time.Now()
	asks("no event", queue, now, "request billing/first, which waits for the same content group")
	asks("no event for long", queue, now.Add(-49*time.Hour), "")
	r.append(first, claim(first, schemas.Claim{Owner: "one", Nonce: "n", Epoch: 1, LeaseMillis: 1000}))
	asks("claimed", queue, now.Add(-49*time.Hour), "which is being started")
	r.append(first, claim(first, schemas.Claim{Owner: "one", Nonce: "n", Epoch: 1}))
	asks("released", queue, now, "which waits")
	r.append(first, started(first, "11"))
	asks("started", queue, now, "job 11")
	asks("started, with an interval", Rule{MinInterval: time.Hour}, now, "least interval")
	asks("started, and the interval is over", Rule{MinInterval: 1}, now, "")
	r.appendJob(first, finished(first, "11"))
	asks("ended", queue, now, "")
	asks("ended, with an interval", Rule{Queue: true, MinInterval: time.Hour}, now, "least interval")
}

// Of many that take the turn at once, one gets it.
func TestManyTakeTheTurnAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for round := range 5 {
		var got atomic.Pointer[publisher.Key]
		var all sync.WaitGroup
		begin := make(chan struct{})
		for i := range 8 {
			key := publisher.NewKey("billing", fmt.Sprintf("%d-%d", round, i))
			_, turns := r.on(r.nats.Connect(t))
			st, err := turns.Look(t.Context(), home, queue, key)
			if err != nil || st.Wait != nil {
				t.Fatalf("%+v, %v", st.Wait, err)
			}
			r.append(key, claim(key, schemas.Claim{Owner: "one", Nonce: "n", Epoch: 1, LeaseMillis: 60_000}))
			all.Go(func() {
				<-begin
				st, err := turns.Take(t.Context(), st, key, key.Name)
				if err != nil {
					t.Error(err)
				} else if st.Wait == nil && got.Swap(&key) != nil {
					t.Error("two requests got the turn")
				}
			})
		}
		close(begin)
		all.Wait()
		if got.Load() == nil {
			t.Fatal("nobody got the turn")
		}
		r.append(*got.Load(), failed(*got.Load(), "2:3"))
	}
}

// A standing that is out of date does not take the turn.
func TestAStandingThatIsOutOfDate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old, err := r.turns.Look(t.Context(), home, queue, second)
	if err != nil || old.Wait != nil {
		t.Fatalf("%+v, %v", old.Wait, err)
	}
	r.append(first, claim(first, schemas.Claim{Owner: "one", Nonce: "n", Epoch: 1, LeaseMillis: 1000}))
	r.take(first, queue)
	got, err := r.turns.Take(t.Context(), old, second, second.Name)
	if err != nil || got.Wait == nil {
		t.Errorf("took the turn: %+v, %v", got.Wait, err)
	}
	// If the holder is free again, it does.
	r.append(first, failed(first, "2:3"))
	if got, err = r.turns.Take(t.Context(), old, second, second.Name); err != nil || got.Wait != nil {
		t.Errorf("did not take the turn: %+v, %v", got.Wait, err)
	}
}

// A lost acknowledgement of the turn is no other request's turn.
func TestALostAcknowledgementOfATurn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	proxy := natstest.StartProxy(t, r.nats)
	_, turns := r.on(proxy.Connect(t))
	lost := proxy.Once("HPUB backup.event.turn.", natstest.Deafen)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	st, err := turns.Look(ctx, home, queue, first)
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	go func() {
		st, err := turns.Take(ctx, st, first, first.Name)
		if err == nil && st.Wait != nil {
			err = fmt.Errorf("waits for %s", st.Wait)
		}
		taken <- err
	}()
	<-lost
	waittest.Eventually(t, "the turn is stored", func() bool {
		return len(natstest.Stored(t, r.js, publisher.EventsStream, "backup.event.turn.*")) == 1
	})
	proxy.Cut(false)
	if err := <-taken; err != nil {
		t.Error(err)
	}
	if n := len(natstest.Stored(t, r.js, publisher.EventsStream, "backup.event.turn.*")); n != 1 {
		t.Errorf("%d turns were written", n)
	}
}
