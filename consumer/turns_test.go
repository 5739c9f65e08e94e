package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer"
	"backhaul/consumer/follower"
	"backhaul/consumer/turn"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// ruled makes the requests of every content group follow each other.
func ruled(rule turn.Rule) func(*setup) {
	return func(s *setup) { s.cfg.Rule = func(*schemas.BackupRequest) turn.Rule { return rule } }
}

var queued = ruled(turn.Rule{Queue: true})

// followJobs runs a follower until the test ends. It looks ten times a second.
func (b *rig) followJobs() {
	b.t.Helper()
	client, err := vendorapi.New(vendorapi.Config{Endpoint: b.endpoint, Timeout: 20 * time.Second, Auth: vendorapi.Auth{
		Mode: vendorapi.AuthLogin, Username: "backhaul",
		Password: func() (vendorapi.Secret, error) { return vendorPassword, nil },
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	f, err := follower.New(follower.Config{
		IntervalMin: 100 * time.Millisecond, IntervalMax: 100 * time.Millisecond, ReadsPerHour: 1_000_000,
	}, b.nats.Connect(b.t), client, zerolog.Nop())
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx)
	}()
	b.t.Cleanup(func() {
		stop()
		<-done
		client.Close(context.Background())
	})
}

// neverOverlapped checks that the vendor, which refuses a backup of a content group that is
// backed up, has refused none, and that each request has its own job.
func (b *rig) neverOverlapped(requests int) {
	b.t.Helper()
	for _, e := range b.events("backup.event.job-failed.>") {
		b.t.Errorf("job-failed: %+v", e.data)
	}
	b.checkPromise(requests)
}

// Requests of one content group follow each other, on one replica and on several: the vendor
// never sees one while a job of the group runs. Names differ in case, as the vendor allows.
func TestRequestsOfAContentGroupFollowEachOther(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictRefuse, JobDuration: 300 * time.Millisecond})
	b.followJobs()
	const requests = 8
	for i := range requests {
		data := body(fmt.Sprint("id-", i))
		if i%2 == 1 {
			data = strings.Replace(data, "stestgroup", "STestGroup", 1)
		}
		b.publish([]string{"billing", "crm"}[i%2], data)
	}
	one := b.start(queued, unhurried)
	two := b.start(queued, unhurried, owner("two"))
	b.settled()
	b.neverOverlapped(requests)
	if log := one.log.String() + two.log.String(); !strings.Contains(log, "requests of the content group wait for ") {
		t.Errorf("the log does not say what is waited for: %s", log)
	}
}

// Other content groups do not wait.
func TestAnotherContentGroupDoesNotWait(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictRefuse, JobDuration: time.Hour})
	b.followJobs()
	w := b.start(queued, unhurried)
	b.publish("billing", body("first"))
	b.settled()
	b.publish("billing", body("second"))
	b.publish("billing", strings.Replace(body("other"), "stestgroup", "load-1", 1))
	b.eventually("the other group's job", func() bool { return len(b.history(billing("other"))) == 2 })
	if got := kinds(b.history(billing("second"))); got != "" {
		t.Errorf("the request that waits has the history %q", got)
	}
	job := b.started(billing("first")).JobID
	b.eventually("the wait is known", func() bool { return len(w.consumer.Waits()) == 1 })
	if got := w.consumer.Waits()[0]; got.Requests != 1 || got.Subclient != "stestgroup" || got.JobID != job || got.RequestID != "first" {
		t.Errorf("what waits is %+v", got)
	}
}

// More requests of one content group wait than the server delivers without an acknowledgement:
// others are started nevertheless, and when the job has ended those that wait follow each other.
func TestManyRequestsThatWaitDelayNoOthers(t *testing.T) {
	t.Parallel()
	const pending, waiting = 8, 12
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictRefuse, JobDuration: 100 * time.Millisecond}, func(_ *jetstream.StreamConfig, cfg *jetstream.ConsumerConfig) {
		if cfg != nil && cfg.Durable == publisher.RequestsConsumer {
			cfg.MaxAckPending = pending
		}
	})
	b.followJobs()
	b.sim.ScriptLives(simulator.MustParseLife("running:1h,completed"))
	b.start(queued, unhurried)
	b.start(queued, unhurried, owner("two"))
	b.publish("billing", body("first"))
	b.settled()
	for i := range waiting {
		b.publish("billing", body(fmt.Sprint("id-", i)))
	}
	b.eventually("the queue brings no more", func() bool {
		durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
		return err == nil && durable.CachedInfo().NumAckPending >= pending
	})
	b.publish("billing", strings.Replace(body("other"), "stestgroup", "load-1", 1))
	b.eventually("the other group's job", func() bool { return len(b.history(billing("other"))) == 2 })
	b.eventually("only the others wait", func() bool { return b.queued() == waiting })
	b.sim.Advance(time.Hour)
	b.settled()
	b.neverOverlapped(waiting + 2)
}

// A job that ran before the first rule of its content group counts.
func TestAJobFromBeforeTheRule(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictRefuse, JobDuration: 2 * time.Second})
	b.followJobs()
	w := b.start(unhurried)
	b.publish("billing", body("first"))
	b.settled()
	w.drain()
	b.publish("billing", body("second"))
	b.start(queued, unhurried, owner("two"))
	b.settled()
	b.neverOverlapped(2)
}

// Two replicas have claimed a request each when both take the turn: one is sent, and the claim of
// the other is released.
func TestTwoReplicasTakeTheTurn(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictRefuse, JobDuration: 200 * time.Millisecond})
	b.followJobs()
	claimed := make(chan struct{}, 2)
	both := make(chan struct{})
	meet := func(s *setup) {
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			first := true
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				if first {
					first = false
					claimed <- struct{}{}
					<-both
				}
				return v.Submit(ctx, waits, task, permit)
			}}
		}
		s.cfg.MaxInFlight = 1
	}
	b.start(queued, unhurried, meet)
	b.publish("billing", body("a"))
	<-claimed
	b.start(queued, unhurried, meet, owner("two"))
	b.publish("billing", body("b"))
	<-claimed
	close(both)
	b.settled()
	b.neverOverlapped(2)
	released := 0
	for _, e := range b.events("backup.event.job-submitting.>") {
		if c := e.data.(*schemas.JobSubmitting); c.LeaseMillis == 0 {
			released++
			if c.DoubtSequence != 0 {
				t.Errorf("the released claim leaves a doubt: %+v", c.Claim)
			}
		}
	}
	if released != 1 {
		t.Errorf("%d claims were released, want 1", released)
	}
}

// The wait ends with the request's notAfter or its age. The failure says what was waited for, and
// nothing was claimed.
func TestARequestThatWaitsTooLong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		members []string
		change  func(*setup)
		says    string
	}{
		"notAfter": {[]string{fmt.Sprintf(`"notAfter":%q`, time.Now().Add(2*time.Second).UTC().Format(time.RFC3339Nano))}, func(*setup) {}, "not started by 20"},
		"age":      {nil, func(s *setup) { s.cfg.GiveUpAfter = 2 * time.Second }, "not started within 2s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{Conflict: simulator.ConflictRefuse, JobDuration: time.Hour})
			b.followJobs()
			b.start(queued, unhurried, test.change)
			b.publish("billing", body("first"))
			b.settled()
			b.publish("billing", body("second", test.members...))
			b.settled()
			e := b.failed(billing("second"))
			job := b.started(billing("first")).JobID
			if e.ErrorCode != schemas.CodeExpired || e.ErrorSource != schemas.ErrorSourceBackhaul || !strings.HasPrefix(e.ErrorMessage, test.says) ||
				!strings.HasSuffix(e.ErrorMessage, ": waited for job "+job+" of request billing/first, which runs for the same content group") {
				t.Errorf("job-failed is %+v", e)
			}
			if got := kinds(b.history(billing("second"))); got != "job-failed" {
				t.Errorf("the history is %q", got)
			}
			b.checkPromise(1)
		})
	}
}

// With a least interval, a job starts that much later than the one before it. It need not have
// ended.
func TestALeastInterval(t *testing.T) {
	t.Parallel()
	const interval = 1500 * time.Millisecond
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore, JobDuration: time.Hour})
	b.start(ruled(turn.Rule{MinInterval: interval}), unhurried)
	for i := range 3 {
		b.publish("billing", body(fmt.Sprint("id-", i)))
	}
	b.settled()
	b.checkPromise(3)
	started := b.events("backup.event.job-started.>")
	for i := 1; i < len(started); i++ {
		// The record of a start is later than the start, by little.
		if apart := started[i].Time.Sub(started[i-1].Time); apart < interval {
			t.Errorf("job %d started %s after the one before it, want at least %s", i, apart, interval)
		}
	}
}

// Without rules nothing is read or written for content groups.
func TestWithoutARuleThereAreNoTurns(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	b.start(unhurried, ruled(turn.Rule{}))
	for i := range 5 {
		b.publish("billing", body(fmt.Sprint("id-", i)))
	}
	b.settled()
	b.checkPromise(5)
	if got := len(b.stored(publisher.EventsStream, "backup.event.turn.*")); got != 0 {
		t.Errorf("%d turns were written", got)
	}
}

// A crash at every step of the turn. Another replica must bring both requests of the group to
// their jobs, one after the other.
func TestACrashOfTheTurnsHolder(t *testing.T) {
	t.Parallel()
	const turnSent = "HPUB backup.event.turn."
	// afterSubmit stops after the call of the vendor.
	afterSubmit := func(v consumer.Vendor, here func()) consumer.Vendor {
		return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
			_, n, _ := v.Submit(ctx, waits, task, permit)
			here()
			<-ctx.Done()
			return vendorapi.Job{}, n, errCrashed
		}}
	}
	for name, test := range map[string]struct {
		op     string
		action natstest.Action
		vendor func(v consumer.Vendor, here func()) consumer.Vendor
	}{
		"turn":                 {turnSent, natstest.Swallow, nil},
		"turn, unacknowledged": {turnSent, natstest.Deafen, nil},
		"sent":                 {"", 0, afterSubmit},
		"started":              {"HPUB backup.event.job-started", natstest.Swallow, nil},
		"started, unseen":      {"HPUB backup.event.job-started", natstest.Deafen, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{Conflict: simulator.ConflictRefuse, JobDuration: time.Second}, natstest.AckWait(3*time.Second))
			b.followJobs()
			proxy := natstest.StartProxy(t, b.nats)
			crash := make(chan struct{})
			var here <-chan struct{} = crash
			if test.op != "" {
				here = proxy.Once(test.op, test.action)
			}
			first := b.start(quick, queued, soonDead, through(proxy), func(s *setup) {
				if test.vendor != nil {
					s.wrap = func(v consumer.Vendor) consumer.Vendor {
						return test.vendor(v, func() { close(crash) })
					}
				}
			})
			b.publish("billing", body("a"))
			b.wait("the first worker comes to the step", here)
			if test.action == natstest.Deafen {
				b.eventually("what was sent has arrived", func() bool {
					return len(b.stored(publisher.EventsStream, test.op[len("HPUB "):]+">")) > 0 || len(b.events("backup.event.job-started.>")) > 0
				})
			}
			first.kill()
			b.publish("billing", body("b"))
			b.start(quick, queued, owner("two"))
			b.start(quick, queued, owner("three"))
			b.settled()
			b.neverOverlapped(2)
		})
	}
}
