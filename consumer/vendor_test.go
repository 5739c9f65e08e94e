package consumer_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// startJobByHand starts a job as a user of the vendor's console does: for the same content
// group, without the marker.
func (b *rig) startJobByHand() {
	b.t.Helper()
	client, err := vendorapi.New(vendorapi.Config{Endpoint: b.endpoint, Auth: vendorapi.Auth{
		Mode: vendorapi.AuthLogin, Username: "backhaul", Password: func() (vendorapi.Secret, error) { return vendorPassword, nil },
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close(context.Background())
	m, err := schemas.DecodeRequest(nil, []byte(body("")))
	if err != nil {
		b.t.Fatal(err)
	}
	// The worker's own retry must not use up the next scripted fault.
	for started := false; !started; {
		_, err := client.CreateTask(b.within(patience), vendorapi.Task{BackupRequest: m.Request})
		started = err == nil
	}
}

func TestAThrottlingVendor(t *testing.T) {
	t.Parallel()
	for _, fault := range []simulator.Fault{
		{Kind: simulator.Unavailable, For: time.Second},
		{Kind: simulator.TooManyRequests, For: time.Second},
	} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			b.sim.Script(fault)
			b.publish("billing", body("first"))
			begin := time.Now()
			b.start()
			b.eventually("the vendor has asked for a pause", func() bool { return b.sim.Account().CreateTaskCalls > 0 })
			for i := range 10 {
				b.publish("billing", body(fmt.Sprint("more-", i)))
			}
			b.settled()
			if took := time.Since(begin); took < time.Second {
				t.Errorf("it took %s, the vendor asked for a second", took)
			}
			if e := b.started(billing("first")); e.Adopted || e.Attempts != 1 {
				t.Errorf("job-started is %+v, want one attempt: a throttled one does not count", e)
			}
			b.checkPromise(11)
			account := b.sim.Account()
			if account.RetryAfterViolations > 0 {
				t.Errorf("%d calls came before the pause was over", account.RetryAfterViolations)
			}
			// After a 503 there is one lookup, and not before the end of the pause.
			want := map[simulator.Kind]int{simulator.Unavailable: 1, simulator.TooManyRequests: 0}[fault.Kind]
			if got := account.Calls["JobList"]; got != want {
				t.Errorf("%d looks, want %d", got, want)
			}
		})
	}
}

// A replica without capacity has open pulls from before. Their messages go to a replica with
// capacity, and later requests do not overtake them.
func TestAReplicaWithoutCapacity(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	var full atomic.Bool
	pulls := func(n int) func() bool {
		return func() bool {
			durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
			return err == nil && durable.CachedInfo().NumWaiting >= n
		}
	}
	b.start(owner("free"), func(s *setup) { s.cfg.MaxInFlight = 2 })
	b.eventually("the one has a pull open", pulls(1))
	b.start(owner("full"), func(s *setup) {
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			return vendorFuncs{Vendor: v, capacity: func(n int) (int, vendorapi.Cooldown) {
				if full.Load() {
					return 0, vendorapi.Cooldown{For: time.Hour, Reason: vendorapi.CooldownOutage}
				}
				return n, vendorapi.Cooldown{}
			}}
		}
	})
	b.eventually("the other has one, too", pulls(2))
	full.Store(true) // that pull stays open for a few seconds

	const requests = 400
	for i := range requests {
		b.publish("billing", body(fmt.Sprint("id-", i)))
	}
	b.settled()
	b.checkPromise(requests)
	jobs := b.sim.Account().JobsByMarker
	order := make([]int, requests) // the job ids, which count up
	for i := range requests {
		key := billing(fmt.Sprint("id-", i))
		order[i], _ = strconv.Atoi(jobs[key.Marker()][0])
		if by := b.history(key)[0].data.(*schemas.JobSubmitting).Owner; by != "free" {
			t.Fatalf("%s was claimed by %s, which has no capacity", key, by)
		}
	}
	first := slices.Min(order)
	for i, job := range order {
		// The open pulls bring some messages at once.
		if late := job - first - i; late > requests/4 {
			t.Errorf("id-%d was overtaken by %d others", i, late)
		}
	}
}

// A pause that is longer than the handler waits.
func TestALongPause(t *testing.T) {
	t.Parallel()
	for _, fault := range []simulator.Fault{
		{Kind: simulator.Unavailable, For: time.Hour},
		{Kind: simulator.TooManyRequests, For: time.Hour},
	} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			b.sim.Script(fault)
			b.publish("billing", body("first"))
			b.start()
			b.eventually("the claim is released", func() bool {
				history := b.history(billing("first"))
				return len(history) > 1 && history[len(history)-1].data.(*schemas.JobSubmitting).LeaseMillis == 0
			})
			if account := b.sim.Account(); account.CreateTaskCalls != 1 || b.queued() != 1 {
				t.Errorf("%d calls of CreateTask, %d requests in the queue", account.CreateTaskCalls, b.queued())
			}
			// A 503 leaves a doubt, a 429 does not.
			history := b.history(billing("first"))
			if c := history[len(history)-1].data.(*schemas.JobSubmitting); (c.DoubtSequence != 0) != (fault.Kind == simulator.Unavailable) {
				t.Errorf("the released claim is %+v", c.Claim)
			}
		})
	}
}

// A request that never gets a clear answer is given up by its age too.
func TestGivenUpByAge(t *testing.T) {
	t.Parallel()
	always := func(f simulator.Fault) []simulator.Chance { return []simulator.Chance{{Fault: f, Probability: 1}} }
	for name, test := range map[string]struct {
		faults []simulator.Chance
		change func(*setup)
		want   string
		calls  int // of CreateTask at most
	}{
		"always 503":                 {always(simulator.Fault{Kind: simulator.Unavailable}), nil, schemas.CodeVendorUnavailable, 4},
		"always 503, come at once":   {always(simulator.Fault{Kind: simulator.Status, Status: 503, Header: map[string]string{"Retry-After": "0"}}), nil, schemas.CodeVendorUnavailable, 4},
		"always 429":                 {always(simulator.Fault{Kind: simulator.TooManyRequests}), nil, schemas.CodeVendorUnavailable, 5},
		"always lost before it came": {always(simulator.Fault{Kind: simulator.CutBeforeStart}), nil, schemas.CodeVendorUnavailable, 4},
		"nobody listens":             {nil, func(s *setup) { s.endpoint = "http://" + unused(t) + "/webconsole/api" }, schemas.CodeVendorUnavailable, 0},
		"the login is refused":       {nil, func(s *setup) { s.password = "wrong" }, schemas.CodeAuthFailed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			b.sim.SetFaults(test.faults)
			sequence := b.publish("billing", body("old"))
			b.start(func(s *setup) {
				s.cfg.GiveUpAfter = 2 * time.Second
				s.policy.Budget = 300 * time.Millisecond
				if test.change != nil {
					test.change(s)
				}
			})
			b.settled()
			e := b.failed(billing("old"))
			if e.ErrorCode != test.want || e.ErrorSource != schemas.ErrorSourceBackhaul || !e.Retryable ||
				!strings.Contains(e.ErrorMessage, "gave up after 2s") || e.FailedAt.Sub(e.RequestedAt) < 2*time.Second {
				t.Errorf("job-failed is %+v", e)
			}
			deadLetters := b.deadLetters()
			if len(deadLetters) != 1 || deadLetters[0].Header.Get(publisher.HeaderDeadLetterCode) != test.want ||
				deadLetters[0].Header.Get(publisher.HeaderDeadLetterSequence) != fmt.Sprint(sequence) {
				t.Errorf("the dead letters are %v", deadLetters)
			}
			account := b.sim.Account()
			if account.CreateTaskCalls > test.calls || account.RetryAfterViolations > 0 {
				t.Errorf("%d calls of CreateTask, want at most %d; %d too early", account.CreateTaskCalls, test.calls, account.RetryAfterViolations)
			}
			b.checkPromise(0)
		})
	}
}

// unused returns an address without a listener.
func unused(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// vendorComesUp serves the simulator at an address that was unused.
func (b *rig) vendorComesUp(address string) {
	b.t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		b.t.Fatal(err)
	}
	server := &http.Server{Handler: b.sim}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	b.t.Cleanup(func() { _ = server.Close(); <-served })
}

// The vendor is unreachable when requests arrive, and becomes reachable later.
func TestTheVendorComesUpLater(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	address := unused(t)
	const requests = 30
	for i := range requests {
		b.publish("billing", body(fmt.Sprint("early-", i)))
	}
	b.start(func(s *setup) {
		s.endpoint = "http://" + address + "/webconsole/api"
		s.policy.Budget = 200 * time.Millisecond
	})
	b.eventually("a request has been put back", func() bool {
		for _, e := range b.events("backup.event.job-submitting.>") {
			if e.data.(*schemas.JobSubmitting).LeaseMillis == 0 {
				return true
			}
		}
		return false
	})
	if got := b.queued(); got != requests {
		t.Fatalf("%d requests wait, want %d", got, requests)
	}
	b.vendorComesUp(address)
	b.settled()
	b.checkPromise(requests)
	for _, e := range b.events("backup.event.job-started.>") {
		if e.data.(*schemas.JobStarted).Adopted {
			t.Errorf("%s was adopted, but nothing was ever lost", e.key)
		}
	}
}

func TestASessionThatEnds(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	expired := simulator.Fault{Kind: simulator.Unauthorised}
	b.sim.Script(expired)
	b.work("expired")
	if e := b.started(billing("expired")); e.Adopted || e.Attempts != 1 {
		t.Errorf("job-started is %+v", e)
	}
	forbidden := simulator.Fault{Kind: simulator.Status, Status: 401, Body: `{"errorMessage":"Access denied","errorCode":5}`}
	b.sim.Script(forbidden, forbidden) // also after a fresh login, which works otherwise: no permission
	b.publish("billing", body("forbidden"))
	b.settled()
	if e := b.failed(billing("forbidden")); e.ErrorCode != schemas.CodeAuthFailed || e.ErrorSource != schemas.ErrorSourceVendor {
		t.Errorf("job-failed is %+v", e)
	}
	b.checkPromise(1)
}

// A 429 for one replica pauses the queue on the server: the others wait as well, and all go on
// by themselves.
func TestAThrottledReplicaPausesAll(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: 4 * time.Second})
	first := b.start(func(s *setup) { s.cfg.MaxInFlight = 2 })
	b.publish("billing", body("first"))
	paused := func() bool {
		durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
		return err == nil && durable.CachedInfo().Paused
	}
	b.eventually("the queue is paused", paused)
	second := b.start(owner("two"))
	const requests = 50
	for i := range requests {
		b.publish("billing", body(fmt.Sprint("more-", i)))
	}
	b.eventually("the queue goes on", func() bool { return !paused() })
	b.settled()
	b.checkPromise(requests + 1)
	account := b.sim.Account()
	if account.RetryAfterViolations > 0 || account.CreateTaskCalls != requests+2 {
		t.Errorf("%d calls of CreateTask came too early, %d in all, want %d", account.RetryAfterViolations, account.CreateTaskCalls, requests+2)
	}
	for _, w := range []*worker{first, second} {
		if strings.Contains(w.log.String(), "no heartbeat") {
			t.Errorf("a paused queue was taken for a dead one:\n%s", w.log)
		}
	}
}

// An operator ends the pause while the vendor still throttles: the replica that knows of the
// throttle keeps the others from starting.
func TestAResumeDoesNotStartEarly(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: 10 * time.Minute})
	b.start(func(s *setup) { s.cfg.MaxInFlight = 2 })
	b.publish("billing", body("first"))
	remaining := func() time.Duration {
		durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
		if err != nil {
			t.Fatal(err)
		}
		return durable.CachedInfo().PauseRemaining
	}
	b.eventually("the queue is paused", func() bool { return remaining() > 5*time.Minute })
	b.start(owner("two"))
	for i := range 20 {
		b.publish("billing", body(fmt.Sprint("more-", i)))
	}
	if _, err := b.js.PauseConsumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b.eventually("the queue is paused again", func() bool { return remaining() > 5*time.Minute })
	if account := b.sim.Account(); account.CreateTaskCalls != 1 {
		t.Errorf("%d calls of CreateTask, want the one that met the pause", account.CreateTaskCalls)
	}
}

// A longer pause of an operator is not changed.
func TestALongerPauseIsKept(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	const asked = 4 * time.Second
	b.sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: asked})
	var paused time.Time
	w := b.start(func(s *setup) {
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				if paused.IsZero() { // the operator, just before the vendor asks for its pause
					paused = time.Now()
					if _, err := b.js.PauseConsumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer, paused.Add(time.Hour)); err != nil {
						t.Error(err)
					}
				}
				return v.Submit(ctx, waits, task, permit)
			}}
		}
	})
	b.publish("billing", body("first"))
	b.eventually("the request is given back", func() bool {
		history := b.history(billing("first"))
		return len(history) > 1 && history[len(history)-1].data.(*schemas.JobSubmitting).LeaseMillis == 0
	})
	began := time.Now()
	b.eventually("the vendor's pause is over", func() bool { return time.Since(began) > asked })
	durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	if info := durable.CachedInfo(); !info.Paused || info.PauseRemaining < 30*time.Minute || strings.Contains(w.log.String(), "the queue is paused") {
		t.Errorf("the operator's pause became %s", info.PauseRemaining)
	}
	if _, err := b.js.ResumeConsumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer); err != nil {
		t.Fatal(err)
	}
	b.settled()
	b.checkPromise(1)
}

// While the vendor is unreachable nothing is pulled: the requests wait in the queue,
// unclaimed.
func TestNothingIsPulledDuringAnOutage(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	address := unused(t)
	w := b.start(func(s *setup) {
		s.endpoint = "http://" + address + "/webconsole/api"
		s.cfg.MaxInFlight = 4
		s.policy.Budget = 200 * time.Millisecond
	})
	const requests = 200
	for i := range requests {
		b.publish("billing", body(fmt.Sprint("id-", i)))
	}
	b.eventually("the vendor is given up for now", func() bool { return strings.Contains(w.log.String(), "request postponed") })
	b.eventually("no pull is open and nothing is in flight", func() bool {
		durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
		return err == nil && durable.CachedInfo().NumWaiting == 0
	})
	if claimed := len(b.lastClaims()); claimed > requests/2 {
		t.Errorf("%d of %d requests were claimed though the vendor is away", claimed, requests)
	}
	b.vendorComesUp(address)
	b.settled()
	b.checkPromise(requests)
}
