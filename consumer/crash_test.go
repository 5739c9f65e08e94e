package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

var errCrashed = errors.New("the process is dead")

// A crash at every step. The first worker's connection is cut, or its vendor call is stopped,
// at that step. Then it is killed, and another worker must bring the request to its one true
// outcome.
func TestACrashAtEveryStep(t *testing.T) {
	t.Parallel()
	crashAtEveryStep(t, "PUB $JS.ACK", ample, ample)
}

// The same where starts are scarce: the first worker picks, and so does the other one, or it
// pulls because its starts are not scarce. A message that was picked is deleted instead of
// acknowledged.
func TestACrashAtEveryStepOfPicking(t *testing.T) {
	t.Parallel()
	crashAtEveryStep(t, "PUB $JS.API.STREAM.MSG.DELETE", (&starts{left: 1000}).limited, (&starts{left: 1000}).limited)
}

func TestACrashOfAPickerAmongOthers(t *testing.T) {
	t.Parallel()
	crashAtEveryStep(t, "PUB $JS.API.STREAM.MSG.DELETE", (&starts{left: 1000}).limited, ample)
}

func ample(*setup) {}

// crashAtEveryStep ends the first worker at each step and lets the next one go on. ack is how
// the first settles a message.
func crashAtEveryStep(t *testing.T, ack string, firstStarts, nextStarts func(*setup)) {
	var (
		claim      = "HPUB backup.event.job-submitting"
		started    = "HPUB backup.event.job-started"
		failed     = "HPUB backup.event.job-failed"
		deadLetter = "HPUB backup.dlq"
		sound      = body("id")
		unsound    = body("id", refused)
		invalid    = body("id", `"typo":1`)
		denied     = body("id", `"backupLevel":"FULL"`)
	)
	noFull := policy(func(_ publisher.Key, r *schemas.BackupRequest, _ time.Time) error {
		if r.BackupLevel == schemas.LevelFull {
			return errDenied
		}
		return nil
	})
	// beforeSubmit and afterSubmit stop at the call of the vendor.
	beforeSubmit := func(v consumer.Vendor, here func()) consumer.Vendor {
		return vendorFuncs{Vendor: v, submit: func(ctx, _ context.Context, _ vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
			_, err := permit(ctx)
			here()
			<-ctx.Done()
			return vendorapi.Job{}, 0, errors.Join(errCrashed, err)
		}}
	}
	afterSubmit := func(v consumer.Vendor, here func()) consumer.Vendor {
		return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, t vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
			_, n, _ := v.Submit(ctx, waits, t, permit)
			here()
			<-ctx.Done()
			return vendorapi.Job{}, n, errCrashed
		}}
	}
	for name, test := range map[string]struct {
		data    string
		op      string
		action  natstest.Action
		vendor  func(v consumer.Vendor, here func()) consumer.Vendor
		want    schemas.Kind
		adopted bool
		calls   int // of CreateTask in all
	}{
		"decode":                     {sound, claim, natstest.Swallow, nil, schemas.KindJobStarted, false, 1},
		"claim, unacknowledged":      {sound, claim, natstest.Deafen, nil, schemas.KindJobStarted, false, 1},
		"claim":                      {sound, "", 0, beforeSubmit, schemas.KindJobStarted, false, 1},
		"submit":                     {sound, "", 0, afterSubmit, schemas.KindJobStarted, true, 1},
		"submit, before the record":  {sound, started, natstest.Swallow, nil, schemas.KindJobStarted, true, 1},
		"record, unacknowledged":     {sound, started, natstest.Deafen, nil, schemas.KindJobStarted, false, 1},
		"record":                     {sound, ack, natstest.Swallow, nil, schemas.KindJobStarted, false, 1},
		"ack, unseen":                {sound, ack, natstest.Deafen, nil, schemas.KindJobStarted, false, 1},
		"refusal":                    {unsound, "", 0, afterSubmit, schemas.KindJobFailed, false, 2},
		"refusal, before the record": {unsound, failed, natstest.Swallow, nil, schemas.KindJobFailed, false, 2},
		"refusal recorded, unseen":   {unsound, failed, natstest.Deafen, nil, schemas.KindJobFailed, false, 1},
		"refusal recorded":           {unsound, deadLetter, natstest.Swallow, nil, schemas.KindJobFailed, false, 1},
		"dead letter, unseen":        {unsound, deadLetter, natstest.Deafen, nil, schemas.KindJobFailed, false, 1},
		"dead letter":                {unsound, ack, natstest.Swallow, nil, schemas.KindJobFailed, false, 1},
		"invalid":                    {invalid, failed, natstest.Swallow, nil, schemas.KindJobFailed, false, 0},
		"invalid recorded, unseen":   {invalid, failed, natstest.Deafen, nil, schemas.KindJobFailed, false, 0},
		"invalid recorded":           {invalid, deadLetter, natstest.Swallow, nil, schemas.KindJobFailed, false, 0},
		"invalid dead letter":        {invalid, ack, natstest.Swallow, nil, schemas.KindJobFailed, false, 0},
		"denied":                     {denied, failed, natstest.Swallow, nil, schemas.KindJobFailed, false, 0},
		"denial, unacknowledged":     {denied, failed, natstest.Deafen, nil, schemas.KindJobFailed, false, 0},
		"denial":                     {denied, deadLetter, natstest.Swallow, nil, schemas.KindJobFailed, false, 0},
		"denial dead letter":         {denied, ack, natstest.Swallow, nil, schemas.KindJobFailed, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{}, natstest.AckWait(3*time.Second))
			proxy := natstest.StartProxy(t, b.nats)
			crash := make(chan struct{})
			var here <-chan struct{} = crash
			if test.op != "" {
				here = proxy.Once(test.op, test.action)
			}
			b.publish("billing", test.data) // before: a picker waits for the first of an empty queue as ever
			first := b.start(quick, noFull, soonDead, through(proxy), firstStarts, func(s *setup) {
				if limited := s.wrap; test.vendor != nil {
					s.wrap = func(v consumer.Vendor) consumer.Vendor {
						return test.vendor(limited(v), func() { close(crash) })
					}
				}
			})
			b.wait("the first worker comes to the step", here)
			if test.action == natstest.Deafen {
				b.eventually("what was sent has arrived", func() bool {
					switch test.op {
					case deadLetter:
						return len(b.deadLetters()) == 1
					case ack:
						return b.queued() == 0
					}
					return len(b.events(test.op[len("HPUB "):]+".>")) == 1
				})
			}
			first.kill()
			if got := b.delivered(); (got == 0) != strings.Contains(ack, "DELETE") {
				t.Errorf("the consumer has delivered %d messages to the first worker", got)
			}

			b.start(quick, noFull, owner("two"), nextStarts)
			b.settled()
			outcome := b.outcome(billing("id"))
			if outcome.Kind() != test.want {
				t.Fatalf("the outcome is %+v, want %s", outcome, test.want)
			}
			deadLetters := 0
			if e, ok := outcome.(*schemas.JobStarted); ok {
				if e.Adopted != test.adopted {
					t.Errorf("job-started is %+v, want adopted %t", e, test.adopted)
				}
				b.checkPromise(1)
			} else {
				deadLetters = 1
				b.checkPromise(0)
			}
			if got := len(b.deadLetters()); got != deadLetters {
				t.Errorf("%d dead letters, want %d", got, deadLetters)
			}
			if got := b.sim.Account().CreateTaskCalls; got != test.calls {
				t.Errorf("%d calls of CreateTask, want %d", got, test.calls)
			}
		})
	}
}

// The owner dies during its call, and the job becomes visible after the lease but within the
// window: the next owner waits for it.
func TestACrashAndAJobThatIsVisibleLate(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{VisibleAfter: 3300 * time.Millisecond}, natstest.AckWait(time.Second))
	b.sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
	late := func(s *setup) {
		hasty(s) // the lease has 2.5 s
		s.cfg.VisibilityWindow = 2 * time.Second
	}
	first := b.start(late, soonDead)
	b.publish("billing", body("id"))
	b.eventually("there is a job", func() bool { return b.sim.Account().JobsStarted == 1 })
	first.kill()
	b.start(late, owner("two"))
	b.settled()
	b.adopted(billing("id"))
	b.checkPromise(1)
}

// The acknowledgement of a claim is lost but the process lives: it recognises its own write
// and goes on at once. It does not wait for its own lease.
func TestALostAcknowledgementOfAClaim(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]string{"claim": "HPUB backup.event.job-submitting", "record": "HPUB backup.event.job-started"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			proxy := natstest.StartProxy(t, b.nats)
			lost := proxy.Once(op, natstest.Deafen)
			b.start(through(proxy), func(s *setup) { s.cfg.AttemptTimeout = 30 * time.Second })
			b.publish("billing", body("id"))
			b.wait("the write is on its way", lost)
			b.eventually("it is stored", func() bool { return len(b.events(op[len("HPUB "):]+".>")) == 1 })
			proxy.Cut(false)
			b.settled()
			for _, e := range b.events("backup.event.job-submitting.>") { // its owner may have renewed it
				if c := e.data.(*schemas.JobSubmitting); c.Epoch != 1 || c.DoubtSequence != 0 {
					t.Errorf("the claim was taken for somebody else's: %+v", c.Claim)
				}
			}
			if e := b.started(billing("id")); e.Adopted || e.Attempts != 1 {
				t.Errorf("job-started is %+v", e)
			}
			b.checkPromise(1)
		})
	}
}

// The owner dies after the answer, and nothing visible proves which job is the request's: the
// next owner must not send the request again.
func TestACrashWhereNothingProvesTheJob(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{HideDescriptions: true}, natstest.AckWait(time.Second))
	b.sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
	first := b.start(quick, soonDead)
	b.publish("billing", body("id"))
	b.eventually("there is a job", func() bool { return b.sim.Account().JobsStarted == 1 })
	first.kill()
	b.start(quick, owner("two"))
	b.settled()
	if e := b.failed(billing("id")); e.ErrorCode != schemas.CodeOutcomeUnknown || len(e.Candidates) != 1 {
		t.Errorf("job-failed is %+v", e)
	}
	b.checkCalls(1)
}

// The owner dies, and the vendor lists no jobs until long after the take-over: a failed lookup
// does not count as "not found".
func TestACrashWhileLooksFail(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
	b.sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
	b.sim.SetFaults([]simulator.Chance{{Fault: simulator.Fault{Kind: simulator.Crash}, Endpoint: "JobList", Probability: 1}})
	first := b.start(quick, soonDead)
	b.publish("billing", body("id"))
	b.eventually("there is a job", func() bool { return b.sim.Account().JobsStarted == 1 })
	first.kill()
	b.start(quick, owner("two"))
	b.eventually("it is taken over", func() bool {
		history := b.history(billing("id"))
		return history[len(history)-1].data.(*schemas.JobSubmitting).Epoch > 1
	})
	looks := b.sim.Account().Calls["JobList"]
	b.eventually("it is looked for again", func() bool { return b.sim.Account().Calls["JobList"] > looks })
	b.sim.SetFaults(nil)
	b.settled()
	b.adopted(billing("id"))
	b.checkPromise(1)
}
