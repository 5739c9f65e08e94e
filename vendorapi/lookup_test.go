package vendorapi

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// withLookup is a policy that looks after 5 s.
var withLookup = Policy{LookupAfter: 5 * time.Second}

// TestLookup_whileWaiting: while an answer is late, its job is looked up.
func TestLookup_whileWaiting(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cfg     simulator.Config
		fault   simulator.Fault
		policy  Policy
		verdict Verdict
		found   bool
		took    time.Duration
		looks   int
	}{
		{"answered", simulator.Config{}, simulator.Fault{Kind: simulator.Slow, For: 4 * time.Second}, withLookup,
			started, false, 4 * time.Second, 0},
		{"found at once", simulator.Config{}, simulator.Fault{Kind: simulator.HangAfterStart}, withLookup,
			started, true, 5 * time.Second, 1},
		{"found later", simulator.Config{VisibleAfter: 8 * time.Second}, simulator.Fault{Kind: simulator.HangAfterStart}, withLookup,
			started, true, 8500 * time.Millisecond, 4}, // at 5, 5.5, 6.5, 8.5 s
		{"answered, not found", simulator.Config{}, simulator.Fault{Kind: simulator.LateStart, For: 12 * time.Second}, withLookup,
			started, false, 12 * time.Second, 4},
		{"neither", simulator.Config{}, simulator.Fault{Kind: simulator.Delay, For: 10 * time.Minute}, withLookup,
			Unknown, false, 30 * time.Second, 8}, // and at 12.5, 17.5, 22.5, 27.5 s
		{"descriptions hidden", simulator.Config{HideDescriptions: true}, simulator.Fault{Kind: simulator.HangAfterStart}, withLookup,
			Unknown, false, 30 * time.Second, 8},
		{"never", simulator.Config{}, simulator.Fault{Kind: simulator.HangAfterStart}, Policy{},
			Unknown, false, 30 * time.Second, 0},
		{"not before the timeout", simulator.Config{}, simulator.Fault{Kind: simulator.HangAfterStart},
			Policy{LookupAfter: 10 * time.Second, AttemptTimeout: 10 * time.Second}, Unknown, false, 10 * time.Second, 0},
		{"too late", simulator.Config{}, simulator.Fault{Kind: simulator.LateStart, For: 12 * time.Second},
			Policy{LookupAfter: 5 * time.Second, AttemptTimeout: 10 * time.Second}, Unknown, false, 10 * time.Second, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim, r := onPipeRetrying(t, tt.cfg, tt.policy)
				sim.Script(tt.fault)
				begin := time.Now()
				job, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
				took := time.Since(begin)
				if tt.verdict == started {
					wantJob(t, job, err)
				} else {
					wantVerdict(t, err, tt.verdict)
				}
				a := sim.Account()
				if job.Found != tt.found || took != tt.took || attempts != 1 || a.CreateTaskCalls != 1 {
					t.Errorf("found %t after %s, %d attempts, %d calls, want %t, %s and one", job.Found, took, attempts, a.CreateTaskCalls, tt.found, tt.took)
				}
				if a.Calls["JobList"] != tt.looks {
					t.Errorf("%d looks, want %d", a.Calls["JobList"], tt.looks)
				}
				if tt.verdict == started && !slices.Equal(job.IDs, a.JobsByMarker[testMarker]) {
					t.Errorf("jobs %q, the vendor has %q", job.IDs, a.JobsByMarker)
				}
			})
		})
	}
}

// TestLookup_failureChangesNothing.
func TestLookup_failureChangesNothing(t *testing.T) {
	for _, kind := range []simulator.Kind{
		simulator.Crash, simulator.CutBeforeStart, simulator.Malformed, simulator.HTML, simulator.HangAfterStart,
	} {
		synctest.Test(t, func(t *testing.T) {
			sim, r := onPipeRetrying(t, simulator.Config{}, withLookup)
			sim.SetFaults([]simulator.Chance{{Fault: simulator.Fault{Kind: kind}, Endpoint: "JobList", Probability: 1}})
			sim.Script(simulator.Fault{Kind: simulator.Slow, For: 20 * time.Second})
			begin := time.Now()
			job, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
			wantJob(t, job, err)
			if job.Found || attempts != 1 || time.Since(begin) != 20*time.Second {
				t.Errorf("%s: %+v after %s and %d attempts", kind, job, time.Since(begin), attempts)
			}
			if sim.Account().Calls["JobList"] == 0 {
				t.Errorf("%s: nobody looked", kind)
			}
			wantCapacity(t, r.Client, 64, Cooldown{})
		})
	}
}

// TestLookup_waitsDuringAPause: the vendor throttles calls.
func TestLookup_waitsDuringAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, r := onPipeRetrying(t, simulator.Config{}, withLookup)
		sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
		begin := time.Now()
		time.AfterFunc(4*time.Second, func() { r.Client.throttled.Extend(10 * time.Second) })
		time.AfterFunc(13*time.Second, func() {
			if n := sim.Account().Calls["JobList"]; n != 0 {
				t.Errorf("%d looks during the pause", n)
			}
		})
		job, _, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
		wantJob(t, job, err)
		if took := time.Since(begin); !job.Found || took != 14*time.Second {
			t.Errorf("%+v after %s", job, took)
		}
	})
	// The lookup itself is throttled.
	synctest.Test(t, func(t *testing.T) {
		sim, r := onPipeRetrying(t, simulator.Config{}, withLookup)
		sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
		sim.ScriptFor("JobList", simulator.Fault{Kind: simulator.Unavailable, For: 10 * time.Second})
		begin := time.Now()
		job, _, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
		wantJob(t, job, err)
		if took := time.Since(begin); !job.Found || took != 15*time.Second {
			t.Errorf("%+v after %s", job, took)
		}
	})
}

// TestLookup_aVendorThatHangsForAll: each job is found, looks are few at a time and do
// not need the connections that hang. It is not an outage.
func TestLookup_aVendorThatHangsForAll(t *testing.T) {
	const workers = 32
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{Conflict: simulator.ConflictIgnore}, func(cfg *Config) { cfg.MaxConns = workers })
		if _, err := c.session.token(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := &Retrier{Client: c, Policy: withLookup}
		sim.SetFaults(append(everyCall(simulator.Fault{Kind: simulator.HangAfterStart}),
			simulator.Chance{Fault: simulator.Fault{Kind: simulator.Slow, For: 100 * time.Millisecond}, Endpoint: "JobList", Probability: 1}))
		var all sync.WaitGroup
		for i := range workers {
			all.Go(func() {
				task := loadTask(i)
				job, _, err := r.Submit(t.Context(), t.Context(), task, permitted)
				wantJob(t, job, err)
				if want := sim.Account().JobsByMarker[task.Marker]; !job.Found || !slices.Equal(job.IDs, want) {
					t.Errorf("%+v, the vendor has %q", job, want)
				}
			})
		}
		<-time.After(5*time.Second + 50*time.Millisecond)
		synctest.Wait()
		if n := sim.Account().Calls["JobList"]; n != 1 {
			t.Errorf("%d lists at once, want one for all", n)
		}
		all.Wait()
		wantCapacity(t, c, 64, Cooldown{})
	})
}

// TestLookup_endsWithTheCaller: the lookup ends with the context of its attempt.
func TestLookup_endsWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, r := onPipeRetrying(t, simulator.Config{}, withLookup)
		sim.Script(simulator.Fault{Kind: simulator.HangAfterStart})
		sim.ScriptFor("JobList", simulator.Fault{Kind: simulator.HangAfterStart})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(6*time.Second, cancel)
		begin := time.Now()
		_, _, err := r.Submit(ctx, ctx, testTask(), permitted)
		wantVerdict(t, err, Unknown)
		if took := time.Since(begin); took != 6*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// TestLookup_andAnswerTogether: at the same instant, whichever is first, the job is
// the one that the vendor has.
func TestLookup_andAnswerTogether(t *testing.T) {
	const workers, each = 3, 15
	const answer = 5 * time.Second
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{Conflict: simulator.ConflictIgnore})
		if _, err := c.session.token(t.Context()); err != nil {
			t.Fatal(err)
		}
		sim.SetFaults([]simulator.Chance{
			{Fault: simulator.Fault{Kind: simulator.Slow, For: answer}, Probability: 1},
			{Fault: simulator.Fault{Kind: simulator.Crash, AfterStart: true}, Probability: 0.3},
		})
		var mu sync.Mutex
		count := make(map[string]int)
		var all sync.WaitGroup
		for worker := range workers {
			// One looks before the answer, one just then, one never.
			r := &Retrier{Client: c, Policy: Policy{LookupAfter: answer + time.Duration(worker-1)}}
			all.Go(func() {
				for i := range each {
					task := loadTask(worker*each + i)
					job, attempts, err := r.Submit(t.Context(), t.Context(), task, permitted)
					end := "answered"
					switch {
					case err != nil:
						wantVerdict(t, err, Unknown)
						end = "unknown"
					case job.Found:
						end = "found"
					}
					mu.Lock()
					count[end]++
					mu.Unlock()
					has := sim.Account().JobsByMarker[task.Marker]
					if len(has) != 1 || attempts != 1 || err == nil && !slices.Equal(job.IDs, has) {
						t.Errorf("job %+v, error %v after %d attempts, the vendor has %q", job, err, attempts, has)
					}
					if end != "found" && worker == 0 || end == "found" && worker == 2 {
						t.Errorf("worker %d: %s", worker, end)
					}
				}
			})
		}
		all.Wait()
		t.Logf("%v", count)
	})
}
