package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// looks starts a number of searches at the same time and returns what waits for
// their results.
func looks(ctx context.Context, c *Client, since time.Time, tasks ...Task) (wait func() ([]Found, []error)) {
	found, errs := make([]Found, len(tasks)), make([]error, len(tasks))
	var group sync.WaitGroup
	for i, task := range tasks {
		group.Go(func() { found[i], errs[i] = c.Find(ctx, task, since) })
	}
	return func() ([]Found, []error) {
		group.Wait()
		return found, errs
	}
}

// slowly delays the next answers of an operation by a second each.
func slowly(sim *simulator.Simulator, op string, n int) {
	for range n {
		sim.ScriptFor(op, simulator.Fault{Kind: simulator.Delay, For: time.Second})
	}
}

// TestListings_areShared: the first caller has a list of its own, all who come while
// it is read share the next.
func TestListings_areShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{JobDuration: time.Hour})
		since := time.Now()
		var tasks []Task
		var want []string
		for i := range 64 {
			tasks = append(tasks, loadTask(i))
			want = append(want, begin(t, c, loadTask(i)))
		}
		slowly(sim, opJobList, 2)
		first := looks(t.Context(), c, since, tasks[0])
		synctest.Wait()
		rest := looks(t.Context(), c, since, tasks...)
		synctest.Wait()
		got, errs := first()
		more, moreErrs := rest()
		want = append([]string{want[0]}, want...)
		for i, found := range append(got, more...) {
			if err := append(errs, moreErrs...)[i]; err != nil {
				t.Fatal(err)
			}
			wantFound(t, found, ids(want[i]), nil)
		}
		calls := sim.Account().Calls
		if calls[opJobList] != 2 || calls[opTaskDetails] != 64 {
			t.Errorf("%d lists and %d descriptions", calls[opJobList], calls[opTaskDetails])
		}
		// One after the other, they are some time apart.
		<-time.After(listPause)
		began := time.Now()
		mustFind(t, c, tasks[0], since)
		mustFind(t, c, tasks[0], since)
		if took := time.Since(began); took != listPause {
			t.Errorf("two lists in %s", took)
		}
	})
}

// TestListings_beginAfterTheCall: a list that was asked for before a job was to be
// seen is no use to a caller who came after that.
func TestListings_beginAfterTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{})
		since := time.Now()
		// The list is as it was before the job, and its answer is late.
		sim.ScriptFor(opJobList, simulator.Fault{Kind: simulator.Slow, For: time.Second})
		early := looks(t.Context(), c, since, testTask())
		synctest.Wait()
		id := begin(t, c, testTask())
		late := looks(t.Context(), c, since, testTask())
		found, errs := early()
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		wantFound(t, found[0], nil, nil)
		if found, errs = late(); errs[0] != nil {
			t.Fatal(errs[0])
		}
		wantFound(t, found[0], ids(id), nil)
	})
}

// TestListings_aFailureIsShared: all callers get the same error, and the next ones a
// list that has nothing to do with it.
func TestListings_aFailureIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{})
		since := time.Now()
		id := begin(t, c, testTask())
		slowly(sim, opJobList, 1)
		sim.ScriptFor(opJobList, simulator.Fault{Kind: simulator.TooManyRequests, For: 7 * time.Second})
		first := looks(t.Context(), c, since, testTask())
		synctest.Wait()
		second := looks(t.Context(), c, since, testTask(), loadTask(1), loadTask(2))
		found, errs := first()
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		wantFound(t, found[0], ids(id), nil)
		_, errs = second()
		for _, err := range errs {
			if e := wantVerdict(t, err, Throttled); e.RetryAfter != 7*time.Second {
				t.Errorf("%+v", e)
			}
		}
		wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
		if n := sim.Account().Calls[opJobList]; n != 3 {
			t.Errorf("%d lists", n)
		}
	})
}

// TestListings_aCallerLeaves: others keep the list that one of them has left. Without
// any caller left it ends, during the call or before it, without an effect on later callers.
func TestListings_aCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{})
		since := time.Now()
		id := begin(t, c, testTask())
		reason := errors.New("no more interest")
		wantLeft := func(wait func() ([]Found, []error)) {
			t.Helper()
			_, errs := wait()
			if e := wantVerdict(t, errs[0], Unknown); !errors.Is(e, reason) || e.Op != opJobList {
				t.Errorf("%+v", e)
			}
		}
		stays := func(wait func() ([]Found, []error)) {
			t.Helper()
			found, errs := wait()
			if errs[0] != nil {
				t.Fatal(errs[0])
			}
			wantFound(t, found[0], ids(id), nil)
		}

		// One leaves the list under way, another the one to come; others stay in both.
		slowly(sim, opJobList, 2)
		ctx, leave := context.WithCancelCause(t.Context())
		holds := looks(t.Context(), c, since, testTask())
		synctest.Wait()
		gone := looks(ctx, c, since, testTask())
		synctest.Wait() // the list is begun by who leaves
		waits := looks(t.Context(), c, since, testTask())
		<-time.After(1500 * time.Millisecond) // the second list is under way
		late := looks(ctx, c, since, testTask())
		synctest.Wait()
		last := looks(t.Context(), c, since, testTask())
		synctest.Wait()
		leave(reason)
		wantLeft(gone)
		wantLeft(late)
		stays(holds)
		stays(waits)
		stays(last)

		// All who wait for a list leave before it begins.
		<-time.After(listPause)
		slowly(sim, opJobList, 1)
		before := sim.Account().Calls[opJobList]
		ctx, leave = context.WithCancelCause(t.Context())
		holds = looks(t.Context(), c, since, testTask())
		synctest.Wait()
		gone = looks(ctx, c, since, testTask(), testTask())
		synctest.Wait()
		leave(reason)
		wantLeft(gone)
		late = looks(t.Context(), c, since, testTask())
		stays(holds)
		stays(late)
		if n := sim.Account().Calls[opJobList] - before; n != 2 {
			t.Errorf("%d lists", n)
		}

		// The only caller leaves while its list is read: the connection is given up.
		<-time.After(listPause)
		sim.ScriptFor(opJobList, simulator.Fault{Kind: simulator.HangAfterStart})
		ctx, leave = context.WithCancelCause(t.Context())
		gone = looks(ctx, c, since, testTask())
		synctest.Wait()
		began := time.Now()
		leave(reason)
		wantLeft(gone)
		stays(looks(t.Context(), c, since, testTask()))
		if waited := time.Since(began); waited > listPause {
			t.Errorf("the next one waited for %s", waited)
		}
		before = sim.Account().Calls[opJobList]
		wantLeft(looks(ctx, c, since, testTask()))
		if n := sim.Account().Calls[opJobList] - before; n != 0 {
			t.Errorf("%d lists for nobody", n)
		}
	})
}

// TestListings_aListHangs: a list that hangs keeps the next one waiting for a while only.
func TestListings_aListHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{})
		since := time.Now()
		id := begin(t, c, testTask())
		sim.ScriptFor(opJobList, simulator.Fault{Kind: simulator.HangAfterStart})
		hangs := looks(t.Context(), c, since, testTask())
		synctest.Wait()
		began := time.Now()
		wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
		if waited := time.Since(began); waited != listPatience {
			t.Errorf("waited for %s", waited)
		}
		// The list that hangs does not block other calls, and its end changes nothing.
		wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
		<-time.After(time.Until(began.Add(c.timeout - time.Second/2)))
		slowly(sim, opJobList, 1)
		second := looks(t.Context(), c, since, testTask())
		synctest.Wait()
		third := looks(t.Context(), c, since, testTask())
		synctest.Wait()
		before := sim.Account().Calls[opJobList]
		_, errs := hangs()
		wantVerdict(t, errs[0], Unknown)
		if waited := time.Since(began); waited != c.timeout {
			t.Errorf("waited for %s", waited)
		}
		synctest.Wait()
		if n := sim.Account().Calls[opJobList]; n != before {
			t.Error("a list begins before the one before it has ended")
		}
		for _, wait := range []func() ([]Found, []error){second, third} {
			found, errs := wait()
			if errs[0] != nil {
				t.Fatal(errs[0])
			}
			wantFound(t, found[0], ids(id), nil)
		}
		wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
	})
}

// TestListings_reachBack: as far as the caller needs who needs most, though no
// caller finds a job that is older than its own request.
func TestListings_reachBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{JobDuration: time.Second})
		long := time.Now()
		id := begin(t, c, testTask())
		<-time.After(5 * time.Hour)
		short := time.Now()
		slowly(sim, opJobList, 1)
		first := looks(t.Context(), c, short, testTask())
		synctest.Wait()
		a := looks(t.Context(), c, short, testTask())
		synctest.Wait()
		b := looks(t.Context(), c, long, testTask())
		synctest.Wait()
		d := looks(t.Context(), c, short, testTask())
		for i, want := range [][]string{nil, nil, ids(id), nil} {
			found, errs := []func() ([]Found, []error){first, a, b, d}[i]()
			if errs[0] != nil {
				t.Fatal(errs[0])
			}
			wantFound(t, found[0], want, nil)
		}
		if n := sim.Account().Calls[opJobList]; n != 2 {
			t.Errorf("%d lists", n)
		}
	})
}

// TestListings_tooLongForAnotherCaller: a list that is too long for the caller who needs most
// is read again for the others.
func TestListings_tooLongForAnotherCaller(t *testing.T) {
	now := time.Now()
	release := make(chan struct{})
	var once sync.Once
	v := startVendor(t, map[string]http.HandlerFunc{
		"TaskDetails": always(200, detailsOf(testMarker)),
		"Job": func(w http.ResponseWriter, r *http.Request) {
			once.Do(func() { <-release })
			asked := pageOf(t, r)
			if asked.back < 3600 {
				reply(w, 200, listOf(1, summaryOf(7, now)))
				return
			}
			var page []string
			for i := range pageSize {
				page = append(page, fmt.Sprintf(`{"jobSummary":{"jobId":%d,"subclient":{"subclientName":"other"}}}`, 1_000_000-asked.offset-i))
			}
			reply(w, 200, listOf(1<<30, page...))
		},
	})
	c := newTestClient(t, v.url)
	first := looks(t.Context(), c, now, testTask())
	eventually(t, func() bool { return v.count("Job") == 1 })
	short := looks(t.Context(), c, now, testTask())
	long := looks(t.Context(), c, now.Add(-24*time.Hour), testTask())
	eventually(t, func() bool {
		c.listings.mu.Lock()
		defer c.listings.mu.Unlock()
		return c.listings.next != nil && c.listings.next.callers == 2
	})
	close(release)
	for _, wait := range []func() ([]Found, []error){first, short} {
		found, errs := wait()
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		wantFound(t, found[0], ids("7"), nil)
	}
	if _, errs := long(); !errors.Is(errs[0], errManyJobs) {
		t.Errorf("error %v", errs[0])
	}
}

// TestFind_manySharedLists: whatever the order of callers, failures and leavers, a caller
// who stays finds its job or gets an error, and everything ends.
func TestFind_manySharedLists(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{})
	since := time.Now()
	var want []string
	for i := range 50 {
		want = append(want, begin(t, c, loadTask(i)))
	}
	c.forget()
	chances, err := simulator.ParseFaults("JobList/500=0.2,JobList/slow=0.2:2ms,TaskDetails/500=0.1,TaskDetails/slow=0.2:1ms")
	if err != nil {
		t.Fatal(err)
	}
	sim.SetFaults(chances)
	var group sync.WaitGroup
	for i := range 400 {
		group.Go(func() {
			ctx := t.Context()
			if i%3 == 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(i%7)*time.Millisecond)
				defer cancel()
			}
			found, err := c.Find(ctx, loadTask(i%50), since)
			switch {
			case err != nil:
				noSecrets(t, err)
				if _, ok := errors.AsType[*Error](err); !ok || found.Job.ID != "" {
					t.Errorf("found %+v, error %v", found, err)
				}
			case found.Job.ID != want[i%50]:
				t.Errorf("found %+v, want %s", found, want[i%50])
			}
		})
	}
	group.Wait()
	sim.SetFaults(nil)
	wantFound(t, mustFind(t, c, loadTask(49), since), ids(want[49]), nil)
	if n := sim.Account().Calls[opJobList]; n >= 400 {
		t.Errorf("%d lists for 400 looks: none was shared", n)
	}
}

// eventually returns when a condition is true of which there is no event.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	end := time.After(30 * time.Second)
	for tick := time.Tick(time.Millisecond); !holds(); {
		select {
		case <-tick:
		case <-end:
			t.Fatal("it never came to that")
		}
	}
}
