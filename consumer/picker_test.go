package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// starts is a limit of starts that the test grants one by one. Replicas may share it.
type starts struct {
	mu      sync.Mutex
	left    int
	started []string // the sources and ids, in their order
	// held, if non-nil, is called before a start.
	held func(marker string)
}

// limited makes a worker's starts scarce.
func (s *starts) limited(u *setup) {
	u.wrap = func(v consumer.Vendor) consumer.Vendor {
		return vendorFuncs{
			Vendor: v,
			capacity: func(n int) (int, vendorapi.Cooldown) {
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.left == 0 {
					return 0, vendorapi.Cooldown{For: 10 * time.Millisecond, Reason: vendorapi.CooldownRate}
				}
				return min(n, s.left), vendorapi.Cooldown{Reason: vendorapi.CooldownRate}
			},
			submit: func(ctx, waits context.Context, t vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				s.mu.Lock()
				granted := s.left > 0
				if granted {
					s.left--
					s.started = append(s.started, strings.TrimPrefix(t.Marker, "backhaul:"))
				}
				held := s.held
				s.mu.Unlock()
				if !granted {
					return vendorapi.Job{}, 0, &vendorapi.Error{Verdict: vendorapi.NotSent, RetryAfter: 10 * time.Millisecond}
				}
				if held != nil {
					held(t.Marker)
				}
				return v.Submit(ctx, waits, t, permit)
			},
		}
	}
}

func (s *starts) grant(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left += n
}

// order returns what was started, in its order.
func (s *starts) order() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.started)
}

// next grants one start and returns what was started with it.
func (s *starts) next(b *rig) string {
	b.t.Helper()
	before := len(s.order())
	s.grant(1)
	b.eventually("the next is started", func() bool { return len(s.order()) > before })
	return s.order()[before]
}

// delivered returns how many messages the durable consumer has delivered.
func (b *rig) delivered() uint64 {
	b.t.Helper()
	durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		b.t.Fatal(err)
	}
	return durable.CachedInfo().Delivered.Consumer
}

// publishMany publishes requests at once.
func (b *rig) publishMany(subject, name string, n int) {
	b.t.Helper()
	for i := range n {
		if _, err := b.js.PublishAsync(subject, []byte(body(fmt.Sprintf("%s-%04d", name, i)))); err != nil {
			b.t.Fatal(err)
		}
		if i%500 == 499 || i == n-1 {
			b.wait("the publications are acknowledged", b.js.PublishAsyncComplete())
		}
	}
}

// One source has 5,000 requests; of another one comes now and then, and a third sends high. The
// second waits for two starts at most, the third for one, and the requests of each source are
// started in their order. The consumer has delivered none of them.
func TestPicking_aSourceWithThousands(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	b.publishMany("backup.request.a", "a", 5000)
	var limit starts
	w := b.start(limit.limited, unhurried)
	single, high := 0, 0
	for round := range 12 {
		for range round % 5 {
			limit.next(b)
		}
		if round%4 == 3 {
			b.publish("c.high", body(fmt.Sprint("c-", high)))
			high++
			got := []string{limit.next(b), limit.next(b)}
			if !slices.Contains(got, fmt.Sprint("c/c-", high-1)) {
				t.Errorf("after a request of high, these are started: %s", got)
			}
		}
		b.publish("b", body(fmt.Sprint("b-", single)))
		single++
		got := []string{limit.next(b), limit.next(b), limit.next(b)}
		if !slices.Contains(got, fmt.Sprint("b/b-", single-1)) {
			t.Errorf("after a single request, these are started: %s", got)
		}
	}
	all := limit.order()
	b.eventually("the outcomes are on record", func() bool { return b.queued() == uint64(5000+single+high-len(all)) })
	w.drain()
	for source, name := range map[string]string{"a/": "a", "b/": "b", "c/": "c"} {
		var own []string
		for _, one := range all {
			if strings.HasPrefix(one, source) {
				own = append(own, one)
			}
		}
		if !slices.IsSorted(own) && name == "a" {
			t.Errorf("the requests of %s are started in the order %s", name, own)
		}
	}
	if got := b.delivered(); got != 0 {
		t.Errorf("the consumer has delivered %d requests", got)
	}
	b.checkPromise(len(all))
	b.checkCalls(len(all))
	b.start(owner("two"), unhurried) // without a limit, the others are taken as ever
	b.eventually("the queue gets shorter", func() bool { return b.queued() < 4500 })
}

// The same request under another priority is one request: what waits is started sooner.
func TestPicking_aPriorityThatComesLater(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	for i := range 9 {
		b.publish("billing", body(fmt.Sprint("id-", i)))
	}
	b.publish("billing.high", body("id-7"))
	var limit starts
	b.start(limit.limited)
	if got := []string{limit.next(b), limit.next(b)}; !slices.Contains(got, "billing/id-7") { // one may be the turn of normal
		t.Errorf("started %s", got)
	}
	limit.grant(100)
	b.settled()
	b.checkPromise(9)
	b.checkCalls(9)
}

// An operator's pause holds for what is picked, too.
func TestPicking_aPausedQueue(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	pause := func(until time.Time) {
		t.Helper()
		if _, err := b.js.PauseConsumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer, until); err != nil {
			t.Fatal(err)
		}
	}
	pause(time.Now().Add(time.Hour))
	b.publish("billing", body("id"))
	asked := make(chan struct{})
	var times atomic.Int32
	limit := starts{left: 1}
	w := b.start(limit.limited, func(s *setup) {
		inner := s.wrap
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			f := inner(v).(vendorFuncs)
			capacity := f.capacity
			f.capacity = func(n int) (int, vendorapi.Cooldown) {
				if times.Add(1) == 12 {
					close(asked)
				}
				return capacity(n)
			}
			return f
		}
	})
	b.wait("the picker has looked several times", asked)
	if got := limit.order(); len(got) > 0 {
		t.Errorf("started during a pause: %s", got)
	}
	if err := w.consumer.Ready(); err != nil {
		t.Errorf("a replica that finds a pause is not ready: %v", err)
	}
	pause(time.Time{})
	b.settled()
	b.checkPromise(1)
}

// Two replicas and the picker meet the same message. One job is started, the other replica
// leaves the claim alone while its owner holds it, and the message is gone at the end.
func TestPicking_twoReplicasMeet(t *testing.T) {
	t.Parallel()
	pulls := func(*setup) {}
	for name, test := range map[string]struct {
		picks  [2]bool
		copies int // of the request, under other priorities
		looks  int // for a job, at most
	}{
		"both pick":                          {picks: [2]bool{true, true}},
		"picked, then delivered":             {picks: [2]bool{true, false}, looks: 99},
		"delivered, then picked":             {picks: [2]bool{false, true}},
		"both pick, and there are copies":    {picks: [2]bool{true, true}, copies: 2},
		"delivered, then a copy is picked":   {picks: [2]bool{false, true}, copies: 2},
		"picked, then a copy is delivered":   {picks: [2]bool{true, false}, copies: 2, looks: 99},
		"neither picks, and there is a copy": {picks: [2]bool{false, false}, copies: 1, looks: 99},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
			atVendor, goOn := make(chan struct{}), make(chan struct{})
			thawed := sync.OnceFunc(func() { close(goOn) })
			t.Cleanup(thawed)
			limit := &starts{left: 1000, held: func(string) { close(atVendor); <-goOn }} // a second start panics
			kind := func(picks bool) func(*setup) {
				if picks {
					return limit.limited
				}
				return pulls
			}
			holds := func(s *setup) {
				if inner := s.wrap; !test.picks[0] {
					s.wrap = func(v consumer.Vendor) consumer.Vendor {
						v = inner(v)
						return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
							limit.held(task.Marker)
							return v.Submit(ctx, waits, task, permit)
						}}
					}
				}
			}
			b.publish("billing", body("id")) // before: a picker waits for the first of an empty queue as ever
			first := b.start(kind(test.picks[0]), unhurried, holds, func(s *setup) { s.cfg.MaxInFlight = 1 })
			b.wait("the first is at the vendor", atVendor)
			for _, priority := range []string{"high", "low"}[:test.copies] {
				b.publish("billing."+priority, body("id"))
			}
			second := b.start(kind(test.picks[1]), unhurried, owner("two"), func(s *setup) { s.cfg.MaxInFlight = 2 })
			if test.picks[1] {
				b.eventually("the second has met the claim", func() bool {
					return strings.Contains(second.log.String(), "claimed by one")
				})
			}
			if got := len(b.events("backup.event.job-started.>")); got > 0 {
				t.Errorf("%d outcomes while the owner is at the vendor", got)
			}
			thawed()
			b.settled()
			first.drain()
			second.drain()
			b.eventually("the consumer waits for nothing", func() bool {
				durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
				return err == nil && durable.CachedInfo().NumAckPending == 0 && durable.CachedInfo().NumPending == 0
			})
			b.started(billing("id"))
			b.checkPromise(1)
			b.checkCalls(1)
			if got := b.sim.Account().Calls["JobList"]; got > test.looks {
				t.Errorf("%d looks for a job whose owner is alive", got)
			}
			for _, e := range b.events("backup.event.job-submitting.>") {
				if c := e.data.(*schemas.JobSubmitting); c.Owner != "one" {
					t.Errorf("the claim was taken from its owner: %+v", c.Claim)
				}
			}
		})
	}
}

// Three replicas pick from the same sources at full speed. No request is started twice, none is
// lost, and no look is made for the job of an owner that is alive.
func TestPicking_manyReplicas(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	const each = 25
	for _, source := range []string{"a", "b", "c.high", "d.low", "e"} {
		b.publishMany("backup.request."+source, "id", each)
	}
	limit := starts{left: 10_000}
	for i := range 3 {
		b.start(limit.limited, unhurried, owner(fmt.Sprint("replica-", i)), func(s *setup) { s.cfg.MaxInFlight = 8 })
	}
	b.settled()
	b.checkPromise(5 * each)
	b.checkCalls(5 * each)
	if got := b.sim.Account().Calls["JobList"]; got > 0 {
		t.Errorf("%d looks for jobs", got)
	}
}

// A picked request that is postponed comes back, and does not hold up those behind it. One that
// is invalid or denied has its outcome and its dead letter.
func TestPicking_whatIsPostponedComesBack(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore}, natstest.AckWait(time.Second))
	b.sim.Script(simulator.Fault{Kind: simulator.CutAfterStart}, simulator.Fault{Kind: simulator.CutBeforeStart})
	for i := range 6 {
		b.publish("billing", body(fmt.Sprint("id-", i)))
	}
	b.publish("billing.high", body("invalid", `"typo":1`))
	if _, err := b.js.Publish(b.within(patience), "backup.request.*", []byte(body("no-source"))); err != nil {
		t.Fatal(err)
	}
	limit := starts{left: 1000}
	b.start(limit.limited, quick)
	b.settled()
	if e := b.failed(billing("invalid")); e.ErrorCode != schemas.CodeInvalidRequest {
		t.Errorf("job-failed is %+v", e)
	}
	b.checkPromise(6)
	if got := len(b.deadLetters()); got != 2 {
		t.Errorf("%d dead letters, want 2", got)
	}
}

// The stream is made again while requests are picked: the new requests have the sequences of
// those that are known, and are all started.
func TestPicking_aStreamThatIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	b.publishMany("backup.request.billing", "before", 5)
	var limit starts
	w := b.start(limit.limited)
	for range 5 {
		limit.next(b)
	}
	b.settled()
	config := natstest.Stream(t, b.js, publisher.RequestsStream).CachedInfo().Config
	durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.js.DeleteStream(b.within(patience), publisher.RequestsStream); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.CreateStream(b.within(patience), config); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.CreateConsumer(b.within(patience), publisher.RequestsStream, durable.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	b.publishMany("backup.request.billing", "after", 5)
	limit.grant(5)
	b.settled()
	b.checkPromise(10)
	w.drain()
}

// A replica that may not delete requests takes them in the queue's order, and says so. What it
// has picked until then has its outcome once.
func TestPicking_withoutPermission(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		Users: []*server.User{{Username: "admin", Password: vendorPassword}, {Username: "backhaul", Password: vendorPassword, Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.MSG.DELETE.>"}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	connect := func(user string) *nats.Conn {
		nc, err := nats.Connect(srv.ClientURL(), nats.UserInfo(user, vendorPassword), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	admin := connect("admin")
	natstest.Provision(t, admin)
	b.js = natstest.JetStream(t, admin)
	for i := range 5 {
		b.publish("billing", body(fmt.Sprint("id-", i)))
	}
	limit := starts{left: 1000}
	w := b.start(limit.limited, unhurried, func(s *setup) {
		s.connect = func(testing.TB) *nats.Conn { return connect("backhaul") }
	})
	b.settled()
	b.checkPromise(5)
	b.checkCalls(5)
	if log := w.log.String(); strings.Count(log, "grant this, then start the replica again") != 1 || !strings.Contains(log, "$JS.API.STREAM.MSG.DELETE.BACKUP_REQUESTS") {
		t.Error("the log does not say once what is missing")
	}
}

// While starts are scarce and nothing waits, a pull is open: whoever looks sees that a replica
// reads, and the first request is taken at once.
func TestPicking_anEmptyQueue(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	limit := starts{left: 1000}
	b.start(limit.limited)
	pulls := func() int {
		durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
		if err != nil {
			t.Fatal(err)
		}
		return durable.CachedInfo().NumWaiting
	}
	for i := range 3 {
		b.eventually("a replica asks for work", func() bool { return pulls() == 1 })
		b.publish("billing", body(fmt.Sprint("id-", i)))
		b.settled()
	}
	if got := b.delivered(); got != 3 {
		t.Errorf("the consumer has delivered %d requests", got)
	}
	b.checkPromise(3)
}
