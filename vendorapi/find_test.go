package vendorapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/internal/http1"
	"backhaul/vendorapi/simulator"
)

// begin starts a job for a task and returns its id. The client forgets what it
// knows of it, as after a crash.
func begin(t *testing.T, c *Client, task Task) string {
	t.Helper()
	job, err := c.CreateTask(t.Context(), task)
	wantJob(t, job, err)
	c.forget()
	return job.ID
}

func (c *Client) forget() {
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	c.known.byID = nil
}

// mustFind is Find without an error.
func mustFind(t *testing.T, c *Client, task Task, since time.Time) Found {
	t.Helper()
	found, err := c.Find(t.Context(), task, since)
	if err != nil {
		noSecrets(t, err)
		t.Fatal(err)
	}
	return found
}

func wantFound(t *testing.T, got Found, ids, candidates []string) {
	t.Helper()
	if !slices.Equal(got.Job.IDs, ids) || !slices.Equal(got.Candidates, candidates) {
		t.Errorf("found %+v, want jobs %q and candidates %q", got, ids, candidates)
	}
	if len(ids) > 0 != (got.Job.ID != "") || len(ids) > 0 && got.Job.ID != ids[0] {
		t.Errorf("found id %q among %q", got.Job.ID, got.Job.IDs)
	}
}

func TestFindByMarker(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	since := time.Now()
	wantFound(t, mustFind(t, c, testTask(), since), nil, nil)

	// Jobs of the same content group with other descriptions, or another one's prefix.
	for _, marker := range []string{"backhaul:billing/inv-2026-11-23-000", testMarker + "1", "somebody's backup", "Backhaul:billing/inv-2026-11-23-0007"} {
		other := testTask()
		other.Marker = marker
		begin(t, c, other)
	}
	// Our marker in a job of another content group proves nothing about this one.
	elsewhere := loadTask(1)
	elsewhere.Marker = testMarker
	begin(t, c, elsewhere)
	wantFound(t, mustFind(t, c, testTask(), since), nil, nil)

	id := begin(t, c, testTask())
	wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)

	// The vendor's names are not case-sensitive, and a job may be listed in its own spelling.
	shouting := testTask()
	shouting.ClientName, shouting.InstanceName = strings.ToUpper(shouting.ClientName), strings.ToUpper(shouting.InstanceName)
	shouting.SubclientName, shouting.BackupsetName = "STestGroup", "DEFAULTBACKUPSET"
	wantFound(t, mustFind(t, c, shouting, since), ids(id), nil)

	// A double start is reported whole, the first job first.
	second := begin(t, c, testTask())
	wantFound(t, mustFind(t, c, testTask(), since), ids(id, second), nil)
	if n := sim.Account().Unauthorised; n != 0 {
		t.Errorf("%d calls without a session", n)
	}
}

func TestFindWithoutProof(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{HideDescriptions: true, Conflict: simulator.ConflictIgnore})
	since := time.Now()
	other := begin(t, c, loadTask(1))
	wantFound(t, mustFind(t, c, testTask(), since), nil, nil)
	first := begin(t, c, testTask())
	second := begin(t, c, testTask())
	got := mustFind(t, c, testTask(), since)
	slices.Sort(got.Candidates)
	wantFound(t, got, nil, ids(first, second))
	wantFound(t, mustFind(t, c, loadTask(1), since), nil, ids(other))

	// What we started ourselves is known without the vendor's help.
	job, err := c.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	got = mustFind(t, c, testTask(), since)
	slices.Sort(got.Candidates)
	wantFound(t, got, ids(job.ID), ids(first, second))
	if n := sim.Account().JobsStarted; n != 4 {
		t.Errorf("looking started jobs: %d", n)
	}
}

func TestFindNotYetVisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := onPipe(t, simulator.Config{VisibleAfter: 20 * time.Second})
		since := time.Now()
		id := begin(t, c, testTask())
		wantFound(t, mustFind(t, c, testTask(), since), nil, nil)
		<-time.After(20*time.Second - 1)
		wantFound(t, mustFind(t, c, testTask(), since), nil, nil)
		<-time.After(1)
		wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
	})
}

// TestFindLongAfter: a job that has ended long ago is found as well, since it is
// looked for from the time it was sent.
func TestFindLongAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := onPipe(t, simulator.Config{JobDuration: time.Second})
		since := time.Now()
		id := begin(t, c, testTask())
		<-time.After(23 * time.Hour)
		wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
		wantFound(t, mustFind(t, c, testTask(), since.Add(22*time.Hour)), nil, nil)
	})
}

// cappedPages makes the vendor send at most 100 jobs a page, whatever it is asked
// for.
func cappedPages(c *Client) {
	c.send = func(ctx context.Context, r *http1.Request) (http1.Answer, error) {
		for i := range r.Header {
			if r.Header[i].Name == "limit" {
				r.Header[i].Value = "100"
			}
		}
		return c.transport.Do(ctx, r)
	}
}

// TestFindOverPages: more jobs than one page, ours the oldest, whatever the
// vendor makes of the page size.
func TestFindOverPages(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	since := time.Now()
	id := begin(t, c, testTask())
	for i := range 250 {
		begin(t, c, loadTask(i))
	}
	for _, pages := range []int{1, 3} {
		if pages > 1 {
			cappedPages(c)
		}
		c.forget()
		before := sim.Account().Calls
		wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
		a := sim.Account()
		if n := a.Calls[opJobList] - before[opJobList]; n != pages {
			t.Errorf("%d pages, want %d", n, pages)
		}
		// Only a job with the task's names is asked for its description.
		if n := a.Calls["TaskDetails"] - before["TaskDetails"]; n != 1 {
			t.Errorf("%d descriptions were read", n)
		}
	}
}

// TestFindWindow: which clock is wrong must not matter to whether the job is
// found, only to how many others are looked at.
func TestFindWindow(t *testing.T) {
	for _, tt := range []struct {
		name  string
		skew  time.Duration // the vendor's clock minus ours
		age   time.Duration // of the job before we look from
		found bool
	}{
		{"same clock", 0, 0, true},
		{"just before", 0, clockMargin - time.Second, true},
		{"long before", 0, clockMargin + 2*time.Second, false},
		{"vendor behind", -time.Hour, 0, true},
		{"vendor behind, long before", -time.Hour, clockMargin + 2*time.Second, false},
		{"vendor ten minutes behind", -10 * time.Minute, 0, true},
		{"vendor ten minutes behind, just before", -10 * time.Minute, clockMargin - time.Second, true},
		{"vendor ten minutes behind, long before", -10 * time.Minute, clockMargin + 2*time.Second, false},
		{"vendor ten minutes ahead", 10 * time.Minute, 0, true},
		{"vendor ten minutes ahead, just before", 10 * time.Minute, clockMargin - time.Second, true},
		{"vendor ahead", time.Hour, 0, true},
		{"vendor ahead, before", time.Hour, 2 * time.Minute, true}, // one more to look at is no harm
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := func() time.Time { return time.Now().Add(tt.skew) }
				_, c := onPipe(t, simulator.Config{Now: clock, JobDuration: time.Hour})
				id := begin(t, c, testTask())
				if !tt.found {
					id = ""
				}
				<-time.After(tt.age)
				got := mustFind(t, c, testTask(), time.Now())
				if got.Job.ID != id || len(got.Candidates) > 0 {
					t.Errorf("found %+v, want %q", got, id)
				}
			})
		})
	}
}

// TestFindEndedUnderSkew: how far back the vendor looks for ended jobs does not
// depend on what the clocks say.
func TestFindEndedUnderSkew(t *testing.T) {
	for _, skew := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			_, c := onPipe(t, simulator.Config{Now: func() time.Time { return time.Now().Add(skew) }, JobDuration: time.Second})
			since := time.Now()
			id := begin(t, c, testTask())
			<-time.After(3 * time.Hour)
			wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
		})
	}
}

// TestFindFromTheFuture: a clock that was set back since then does no harm.
func TestFindFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := onPipe(t, simulator.Config{JobDuration: time.Second})
		id := begin(t, c, testTask())
		<-time.After(10 * time.Second)
		found := mustFind(t, c, testTask(), time.Now().Add(clockMargin-11*time.Second))
		wantFound(t, found, ids(id), nil)
		wantFound(t, mustFind(t, c, testTask(), time.Now().Add(time.Hour)), nil, nil)
	})
}

// TestFindQueued: a job that waits is found.
func TestFindQueued(t *testing.T) {
	_, c := onLoopback(t, simulator.Config{Blackout: true})
	since := time.Now()
	id := begin(t, c, testTask())
	wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
	synthetic := loadTask(1)
	synthetic.BackupLevel = "SYNTHETIC_FULL"
	id = begin(t, c, synthetic)
	wantFound(t, mustFind(t, c, synthetic, since), ids(id), nil)
}

// TestDateOfAnother: a Date header that is not the vendor's own, from a proxy's
// error page, must not hide the job.
func TestDateOfAnother(t *testing.T) {
	for _, wrong := range []time.Duration{-24 * time.Hour, -time.Minute, time.Minute, 24 * time.Hour} {
		sim, c := onLoopback(t, simulator.Config{})
		since := time.Now()
		id := begin(t, c, testTask())
		sim.Script(simulator.Fault{
			Kind: simulator.Status, Status: http.StatusBadGateway,
			Header: map[string]string{"Date": time.Now().Add(wrong).UTC().Format(http.TimeFormat)},
		})
		_, err := c.CreateTask(t.Context(), testTask())
		wantVerdict(t, err, Unknown)
		wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
		c.skew.Store(int64(wrong)) // as if the Jobs answer had passed there as well
		if from := c.earliest(since); from.After(since) {
			t.Errorf("%s: looks from %s after the job was sent", wrong, from.Sub(since))
		}
	}
}

// TestFind_whileThrottled: a write that the gateway limits makes starts wait too, a read does not.
func TestFind_whileThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{})
		since := time.Now()
		begin(t, c, testTask())
		for i, op := range []string{opJobList, opTaskDetails} {
			sim.ScriptFor(op, simulator.Fault{Kind: simulator.TooManyRequests, For: 20 * time.Second})
			_, err := c.Find(t.Context(), testTask(), since)
			if e := wantVerdict(t, err, Throttled); e.RetryAfter != 20*time.Second || e.Op != op {
				t.Errorf("%+v", e)
			}
			job, err := c.CreateTask(t.Context(), loadTask(i))
			wantJob(t, job, err)
			<-time.After(listPause)
		}

		sim.ScriptFor(opJobList, simulator.Fault{Kind: simulator.Status, Status: http.StatusNotFound})
		sim.ScriptFor(opJobs, simulator.Fault{Kind: simulator.TooManyRequests, For: 20 * time.Second})
		_, err := c.Find(t.Context(), testTask(), since)
		if e := wantVerdict(t, err, Throttled); e.RetryAfter != 20*time.Second || e.Op != opJobs {
			t.Errorf("%+v", e)
		}
		_, err = c.CreateTask(t.Context(), loadTask(2))
		if e := wantVerdict(t, err, Throttled); e.RetryAfter != 20*time.Second {
			t.Errorf("%+v", e)
		}
		if a := sim.Account(); a.RetryAfterViolations != 0 || a.JobsStarted != 3 {
			t.Errorf("%d too early, %d jobs", a.RetryAfterViolations, a.JobsStarted)
		}
	})
}
