package consumer_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

// The vendor starts the job and its answer is lost: the job is found by its marker and
// announced, and nothing is sent again.
func TestALostAnswerIsFoundAgain(t *testing.T) {
	t.Parallel()
	for _, fault := range []simulator.Fault{
		{Kind: simulator.CutAfterStart},
		{Kind: simulator.ResetAfterStart},
		{Kind: simulator.HangAfterStart},
		{Kind: simulator.HalfBody},
		{Kind: simulator.Empty},
		{Kind: simulator.Malformed},
		{Kind: simulator.PlainText},
		{Kind: simulator.Slow, For: 3 * time.Second},
		{Kind: simulator.LateStart, For: 2500 * time.Millisecond},
		{Kind: simulator.Crash, AfterStart: true},
		{Kind: simulator.HTML, AfterStart: true},
		{Kind: simulator.Unavailable, AfterStart: true},
		{Kind: simulator.Status, Status: 504, AfterStart: true},
		{Kind: simulator.Status, Status: 303, Header: map[string]string{"Location": "/elsewhere"}, AfterStart: true},
	} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			b.sim.Script(simulator.Fault{Kind: simulator.None}, fault)
			b.work("other", hastyFor(fault))
			b.publish("billing", body("lost"))
			b.settled()
			e := b.started(billing("lost"))
			if !e.Adopted || e.JobID != "5977" || e.JobID == b.started(billing("other")).JobID {
				t.Errorf("job-started is %+v", e)
			}
			if want := 1; fault.Kind != simulator.Unavailable && e.Attempts != want { // what is throttled does not count
				t.Errorf("%d attempts, want %d", e.Attempts, want)
			}
			b.checkPromise(2)
			b.checkCalls(2)
			if got := len(b.deadLetters()); got != 0 {
				t.Errorf("%d dead letters", got)
			}
		})
	}
}

// hastyFor shortens the attempt if the fault is a missing answer.
func hastyFor(fault simulator.Fault) func(*setup) {
	switch fault.Kind {
	case simulator.HangAfterStart, simulator.LateStart, simulator.Slow, simulator.Delay:
		return func(s *setup) {
			hasty(s)
			s.cfg.VisibilityWindow = 5 * time.Second
		}
	}
	return func(*setup) {}
}

// The vendor does not start the job, and its answer is lost: the job is looked up, and then
// the request is sent again.
func TestARequestThatNeverArrivedIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, fault := range []simulator.Fault{
		{Kind: simulator.CutBeforeStart},
		{Kind: simulator.Crash},
		{Kind: simulator.HTML},
		{Kind: simulator.Delay, For: 3 * time.Second},
		{Kind: simulator.Status, Status: 502},
	} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{})
			b.sim.Script(fault)
			b.work("lost", hastyFor(fault))
			e := b.started(billing("lost"))
			if e.Adopted || e.Attempts != 2 {
				t.Errorf("job-started is %+v, want 2 attempts and nothing adopted", e)
			}
			account := b.sim.Account()
			if account.CreateTaskCalls != 2 || account.Calls["JobList"] < 1 || account.Calls["Jobs"] != 0 {
				t.Errorf("the vendor was called %v, want looks between two attempts", account.Calls)
			}
			b.checkPromise(1)
		})
	}
}

// The vendor makes a task and names no job. That task may start a job at any time, so the
// request is never sent again, by any owner.
func TestATaskWithoutAJob(t *testing.T) {
	t.Parallel()
	t.Run("its job comes late", func(t *testing.T) {
		t.Parallel()
		b := newRig(t, simulator.Config{})
		b.sim.Script(simulator.Fault{Kind: simulator.TaskOnly, For: 300 * time.Millisecond})
		b.publish("billing", body("late"))
		var atLook atomic.Pointer[schemas.JobSubmitting]
		b.start(unhurried, func(s *setup) {
			s.cfg.VisibilityWindow = patience
			s.wrap = func(v consumer.Vendor) consumer.Vendor {
				return vendorFuncs{Vendor: v, find: func(ctx context.Context, task vendorapi.Task, since time.Time) (vendorapi.Found, error) {
					history := b.history(billing("late"))
					atLook.CompareAndSwap(nil, history[len(history)-1].data.(*schemas.JobSubmitting))
					return v.Find(ctx, task, since)
				}}
			}
		})
		b.settled()
		b.adopted(billing("late"))
		if c := atLook.Load(); c == nil || c.DoubtSequence == 0 || c.DoubtTaskID == "" {
			t.Errorf("at the first look the claim is %+v, want the doubt and its task on record", c)
		}
		b.checkPromise(1)
	})
	t.Run("no job comes", func(t *testing.T) {
		t.Parallel()
		b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
		b.sim.Script(simulator.Fault{Kind: simulator.TaskOnly})
		b.publish("billing", body("none"))
		first := b.start(soonDead, quick, func(s *setup) { s.cfg.VisibilityWindow = patience })
		b.eventually("the doubt is on record", func() bool {
			history := b.history(billing("none"))
			return len(history) > 1 && history[len(history)-1].data.(*schemas.JobSubmitting).DoubtTaskID != ""
		})
		first.kill()
		b.start(quick, owner("two"))
		b.settled()
		e := b.failed(billing("none"))
		if e.ErrorCode != schemas.CodeOutcomeUnknown || !strings.Contains(e.ErrorMessage, "task 4038") {
			t.Errorf("job-failed is %+v", e)
		}
		b.checkCalls(1)
	})
}

// A job that the vendor shows late, but within the window, is found.
func TestAJobThatIsVisibleLate(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{VisibleAfter: 700 * time.Millisecond})
	b.sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
	b.work("late", func(s *setup) { s.cfg.VisibilityWindow = 1500 * time.Millisecond })
	b.adopted(billing("late"))
	b.checkPromise(1)
}

// A lookup that began before the end of the window and was answered after it does not prove
// that there is no job.
func TestASlowLookIsNotTheLastOne(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{VisibleAfter: 1800 * time.Millisecond})
	b.sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
	b.sim.SetFaults([]simulator.Chance{{
		Fault: simulator.Fault{Kind: simulator.Slow, For: 900 * time.Millisecond}, Endpoint: "JobList", Probability: 1,
	}})
	b.publish("billing", body("late"))
	var submitted atomic.Pointer[time.Time]
	b.start(func(s *setup) {
		s.cfg.VisibilityWindow = 2 * time.Second
		s.wrap = func(v consumer.Vendor) consumer.Vendor {
			return vendorFuncs{Vendor: v, submit: func(ctx, waits context.Context, task vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
				now := time.Now()
				submitted.Store(&now)
				return v.Submit(ctx, waits, task, permit)
			}, find: func(ctx context.Context, task vendorapi.Task, since time.Time) (vendorapi.Found, error) {
				if since.After(*submitted.Load()) {
					t.Errorf("looked for since %s, sent at %s", since, submitted.Load())
				}
				return v.Find(ctx, task, since)
			}}
		}
	})
	b.settled()
	b.adopted(billing("late"))
	b.checkPromise(1)
}

// If the vendor does not show descriptions, nothing proves which job is whose.
func TestJobsWithoutDescriptions(t *testing.T) {
	t.Parallel()
	t.Run("a job that may be the one", func(t *testing.T) {
		t.Parallel()
		b := newRig(t, simulator.Config{HideDescriptions: true})
		b.sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
		b.work("lost")
		e := b.failed(billing("lost"))
		if e.ErrorCode != schemas.CodeOutcomeUnknown || !slices.Equal(e.Candidates, []string{"5976"}) ||
			e.ErrorSource != schemas.ErrorSourceBackhaul || e.Retryable || e.Attempts != 1 {
			t.Errorf("job-failed is %+v", e)
		}
		if deadLetters := b.deadLetters(); len(deadLetters) != 1 || deadLetters[0].Header.Get(publisher.HeaderDeadLetterCode) != schemas.CodeOutcomeUnknown {
			t.Errorf("the dead letters are %v", deadLetters)
		}
		// A copy of the message does not start it either.
		b.publish("billing", body("lost"))
		b.settled()
		if account := b.sim.Account(); account.JobsStarted != 1 || account.CreateTaskCalls != 1 {
			t.Errorf("%d jobs, %d calls of CreateTask, want 1 of both", account.JobsStarted, account.CreateTaskCalls)
		}
	})
	t.Run("somebody else's job that may be the one", func(t *testing.T) {
		t.Parallel()
		b := newRig(t, simulator.Config{HideDescriptions: true})
		b.sim.Script(simulator.Fault{Kind: simulator.CutBeforeStart}, simulator.Fault{Kind: simulator.CutBeforeStart})
		b.publish("billing", body("lost"))
		b.start(func(s *setup) { s.cfg.VisibilityWindow = 2 * time.Second })
		b.eventually("the first attempt is lost", func() bool { return b.sim.Account().Faults["cut-before-start"] == 1 })
		b.startJobByHand()
		b.settled()
		if e := b.failed(billing("lost")); e.ErrorCode != schemas.CodeOutcomeUnknown || len(e.Candidates) != 1 {
			t.Errorf("job-failed is %+v", e)
		}
	})
	t.Run("no job of that shape", func(t *testing.T) {
		t.Parallel()
		b := newRig(t, simulator.Config{HideDescriptions: true})
		b.publish("billing", `{"requestId":"other","clientName":"s-adhoc-object-storage","subclientName":"load-1"}`)
		w := b.start()
		b.settled()
		b.sim.Script(simulator.Fault{Kind: simulator.CutBeforeStart})
		b.publish("billing", body("lost"))
		b.settled()
		if e := b.started(billing("lost")); e.Adopted || e.Attempts != 2 {
			t.Errorf("job-started is %+v", e)
		}
		b.checkPromise(2)
		w.drain()
	})
}

func TestInDoubtFail(t *testing.T) {
	t.Parallel()
	fail := func(s *setup) { s.cfg.InDoubt = consumer.InDoubtFail }
	t.Run("no job is to be seen", func(t *testing.T) {
		t.Parallel()
		b := newRig(t, simulator.Config{})
		b.sim.Script(simulator.Fault{Kind: simulator.CutBeforeStart})
		b.work("lost", fail)
		if e := b.failed(billing("lost")); e.ErrorCode != schemas.CodeOutcomeUnknown || len(e.Candidates) != 0 || e.Attempts != 1 {
			t.Errorf("job-failed is %+v", e)
		}
		b.checkCalls(1)
	})
	t.Run("no job is to be seen after a take-over", func(t *testing.T) {
		t.Parallel()
		b := newRig(t, simulator.Config{}, natstest.AckWait(time.Second))
		b.sim.Script(simulator.Fault{Kind: simulator.CutBeforeStart})
		first := b.start(fail, soonDead, func(s *setup) { s.cfg.VisibilityWindow = time.Hour })
		b.publish("billing", body("lost"))
		b.eventually("it is sent", func() bool { return b.sim.Account().CreateTaskCalls == 1 })
		first.kill()
		b.start(quick, fail, owner("two"))
		b.settled()
		if e := b.failed(billing("lost")); e.ErrorCode != schemas.CodeOutcomeUnknown {
			t.Errorf("job-failed is %+v", e)
		}
		b.checkCalls(1)
	})
	t.Run("the job is found", func(t *testing.T) {
		t.Parallel()
		b := newRig(t, simulator.Config{})
		b.sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
		b.work("lost", fail)
		b.adopted(billing("lost"))
	})
	// The vendor has answered that there is no job, and when to try again: no answer is lost.
	t.Run("the vendor was unavailable", func(t *testing.T) {
		t.Parallel()
		b := newRig(t, simulator.Config{})
		b.sim.Script(simulator.Fault{Kind: simulator.Unavailable})
		b.work("later", fail)
		if e := b.started(billing("later")); e.Adopted {
			t.Errorf("job-started is %+v", e)
		}
		b.checkPromise(1)
	})
}

// A failed lookup does not count as "not found".
func TestLooksThatFail(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
	b.sim.ScriptFor("JobList", simulator.Fault{Kind: simulator.TooManyRequests}, simulator.Fault{Kind: simulator.Malformed})
	b.sim.ScriptFor("TaskDetails", simulator.Fault{Kind: simulator.Crash})
	b.work("lost")
	b.adopted(billing("lost"))
	b.checkPromise(1)
}

// One failed lookup is not the last one, however old the request is.
func TestAnOldRequestIsLookedForAsWell(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
	b.sim.ScriptFor("JobList", simulator.Fault{Kind: simulator.Crash})
	b.publish("billing", body("old"))
	b.start(func(s *setup) {
		s.cfg.GiveUpAfter, s.cfg.VisibilityWindow = time.Nanosecond, time.Minute // the job is found at the second lookup
	})
	b.settled()
	b.adopted(billing("old"))
	b.checkPromise(1)
}

func TestLooksThatAlwaysFailAreGivenUp(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
	b.sim.SetFaults([]simulator.Chance{{Fault: simulator.Fault{Kind: simulator.Crash}, Endpoint: "JobList", Probability: 1}})
	b.work("lost", func(s *setup) { s.cfg.GiveUpAfter = 2 * time.Second })
	if e := b.failed(billing("lost")); e.ErrorCode != schemas.CodeOutcomeUnknown || !strings.Contains(e.ErrorMessage, "gave up looking") {
		t.Errorf("job-failed is %+v", e)
	}
	b.checkCalls(1)
}

// A request that repeatedly gets unclear answers is reported until it has its outcome.
func TestConsumerUnclear_namesARequestThatGoesRound(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.sim.Script(simulator.Fault{Kind: simulator.Crash}, simulator.Fault{Kind: simulator.HTML}, simulator.Fault{Kind: simulator.Delay, For: 3 * time.Second})
	b.publish("billing", body("round"))
	w := b.start(func(s *setup) { s.cfg.VisibilityWindow = 300 * time.Millisecond })
	b.eventually("the condition", func() bool { return w.consumer.Unclear() != nil })
	err := w.consumer.Unclear()
	if text := err.Error(); !strings.Contains(text, "billing/round") || !strings.Contains(text, "CreateTask: unknown") {
		t.Errorf("%v", err)
	}
	if log := w.log.String(); !strings.Contains(log, `"level":"warn"`) || !strings.Contains(log, "unclear again and again") || !strings.Contains(log, `"sent":2`) {
		t.Errorf("not logged:\n%s", log)
	}
	b.settled()
	if e := b.started(billing("round")); e.Attempts < 3 {
		t.Errorf("%d attempts", e.Attempts)
	}
	if err := w.consumer.Unclear(); err != nil {
		t.Errorf("after its outcome: %v", err)
	}
	b.checkPromise(1)
}

// One lost answer is not reported.
func TestConsumerUnclear_isNilAfterOneLostAnswer(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.sim.Script(simulator.Fault{Kind: simulator.Crash})
	w := b.work("once", func(s *setup) { s.cfg.VisibilityWindow = 300 * time.Millisecond })
	if log := w.log.String(); strings.Contains(log, "unclear") || w.consumer.Unclear() != nil {
		t.Errorf("said: %v\n%s", w.consumer.Unclear(), log)
	}
}
