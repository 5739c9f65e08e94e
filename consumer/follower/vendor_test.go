package follower

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// A job that is not visible yet is not called failed: it is followed until it is seen.
func TestAJobThatIsNotVisibleYet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.put("1", "Running")
	b.vendor.hide("1", true)
	w := b.run()
	b.started("r", "1")
	b.eventually("several looks", func() bool { return b.vendor.asked("list All") >= 4 })
	if w.State().Followed != 1 || len(b.told()) > 0 || b.vendor.asked("job") > 0 {
		t.Errorf("%d followed, events %v, %d reads of the job", w.State().Followed, b.told(), b.vendor.asked("job"))
	}
	b.vendor.hide("1", false)
	b.vendor.put("1", "Completed")
	b.tells("finished 1 completed")
}

// A job that was pruned, or goes on under a new id, has no end that was seen: it is given up, not
// called failed.
func TestAJobThatIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.startedAt(time.Now().Add(-2*time.Hour), "r", "1")
	b.vendor.put("2", "Completed") // its successor
	b.run(func(c *Config) { c.For = time.Hour })
	b.tells("unfollowed 1")
	b.settled()
	if n := b.vendor.asked("job"); n != 1 {
		t.Errorf("the job was read by itself %d times, want once", n)
	}
	e := b.stored()[0].(*schemas.JobUnfollowed)
	if e.LastStatus != "" || !strings.Contains(e.Reason, "does not show the job") {
		t.Errorf("the event says %q, %q", e.LastStatus, e.Reason)
	}
}

// A vendor that was installed again gives ids again. Another job's state and end are not ours.
func TestAnIDThatIsGivenAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.startedAt(time.Now().Add(-30*time.Minute), "r", "1")
	other := func(i *vendorapi.JobInfo) { i.Names = vendorapi.JobNames{Client: "c", Subclient: "other"} }
	b.vendor.put("1", "Pending", other)
	w := b.run()
	const said = "the vendor shows another job under the id"
	b.eventually("a line about it", func() bool { return strings.Contains(b.log.String(), said) })
	b.vendor.put("1", "Completed", other)
	reads := b.vendor.total()
	b.eventually("its end is seen", func() bool { return b.vendor.total() > reads+3 })
	w.drain()
	b.tells()
	b.run(func(c *Config) { c.For = 10 * time.Minute })
	b.tells("unfollowed 1")
	b.settled()
	if e := b.stored()[0].(*schemas.JobUnfollowed); !strings.Contains(e.Reason, `of client "c" and content group "other"`) || e.LastStatus != "" {
		t.Errorf("the event says %q, %q", e.LastStatus, e.Reason)
	}
}

// The vendor's names are not case-sensitive, and some are left out.
func TestNamesAreComparedAsTheVendorDoes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.started("r", "1")
	b.vendor.put("1", "Completed", func(i *vendorapi.JobInfo) { i.Names = vendorapi.JobNames{Client: "C", Instance: "any"} })
	b.run()
	b.tells("finished 1 completed")
	b.settled()
}

// An end that lies behind the longest list, after an outage of days, is found by a read of the job.
func TestAnOutageOfDays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	at := time.Now().Add(-50 * time.Hour)
	for id, ago := range map[string]time.Duration{"1": 49 * time.Hour, "2": 23 * time.Hour, "3": time.Minute} {
		b.startedAt(at, "r"+id, id)
		b.vendor.put(id, "Completed", func(i *vendorapi.JobInfo) { i.Ended = time.Now().Add(-ago) })
	}
	b.run()
	b.tells("finished 1 completed", "finished 2 completed", "finished 3 completed")
	b.settled()
	if n := b.vendor.asked("job"); n != 1 {
		t.Errorf("%d jobs were read by themselves, want the one that ended two days ago", n)
	}
}

// Lists that fail are due again at once, and leave single jobs their turn.
func TestListsThatFail_leaveSingleJobsTheirTurn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.startedAt(time.Now().Add(-50*time.Hour), "r", "1")
	b.vendor.put("1", "Completed", func(i *vendorapi.JobInfo) { i.Ended = time.Now().Add(-49 * time.Hour) })
	lists := 0
	b.vendor.breaks(func(call string) error {
		if strings.HasPrefix(call, "list") {
			if lists++; lists > 2 { // enough to know that no list shows the job
				return &vendorapi.Error{Status: 500}
			}
		}
		return nil
	})
	b.run()
	b.tells("finished 1 completed")
	b.settled()
}

// A status that is unknown is an end only for a job that the vendor has among the finished ones,
// with an end time.
func TestAnUnknownStatus(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.put("1", "Ruminating")
	b.vendor.put("2", "Done with flying colours", func(i *vendorapi.JobInfo) { i.Ended = time.Now() })
	w := b.run()
	b.started("r", "1")
	b.started("s", "2")
	b.tells("finished 2 ended")
	e := b.stored()[0].(*schemas.JobFinished)
	if e.VendorStatus != "Done with flying colours" || e.EndedAt.IsZero() {
		t.Errorf("the event says %q, ended at %s", e.VendorStatus, e.EndedAt)
	}
	if b.vendor.asked("list Finished") == 0 {
		t.Error("the finished jobs were not listed")
	}
	b.eventually("the other one is followed", func() bool { return w.State().Followed == 1 })
}

// Lists of several pages, each shorter than asked for, show every job.
func TestListsOfSeveralPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.page = 400
	var want []string
	for i := range 2500 {
		b.vendor.put(fmt.Sprint(i+1), "Running")
	}
	for i := range 1200 {
		id := fmt.Sprint(2*i + 1)
		b.started("r"+id, id)
		want = append(want, "finished "+id+" completed")
	}
	w := b.run()
	b.eventually("the active jobs are read", func() bool { return b.vendor.asked("list Active") >= 7 })
	for i := range 2400 {
		b.vendor.put(fmt.Sprint(i+1), "Completed")
	}
	b.eventually("every end", func() bool { return w.State().Followed == 0 })
	b.tells(want...)
	b.settled()
	if n := b.vendor.asked("job"); n > 0 {
		t.Errorf("%d jobs were read by themselves", n)
	}
}

// A pause that the vendor asks for holds all reads, and is not counted as an end or a lost job.
func TestAThrottledVendor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.put("1", "Failed")
	b.vendor.breaks(func(string) error {
		return &vendorapi.Error{Verdict: vendorapi.Throttled, Op: "Job", Status: 429, RetryAfter: time.Hour}
	})
	w := b.run()
	b.started("r", "1")
	b.eventually("the follower says so", func() bool { return w.Ready() != nil && !w.State().HeldUntil.IsZero() })
	if err := w.Ready(); !strings.Contains(err.Error(), "429") {
		t.Errorf("it says %v", err)
	}
	if n := b.vendor.asked("list All"); n != 1 {
		t.Errorf("%d reads during the pause, want the first", n)
	}
	if held := time.Until(w.State().HeldUntil); held < 59*time.Minute {
		t.Errorf("held for %s", held)
	}
}

// Reads that fail for a while delay the end, and change nothing else.
func TestReadsThatFail(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := 0
	b.vendor.breaks(func(call string) error {
		if n++; n%2 == 1 {
			return &vendorapi.Error{Op: call, Status: 503}
		}
		return nil
	})
	b.vendor.events["1"] = []vendorapi.JobEvent{{Code: "19:857", Severity: 6, Text: "items failed"}}
	b.vendor.put("1", "Failed")
	w := b.run()
	b.started("r", "1")
	b.tells("finished 1 failed")
	b.eventually("it is well again", func() bool { return w.Ready() == nil })
}

// The reason of a bad end costs one read; that of a good one none. A writing call is made only if
// there is no reason otherwise and the tenant can spare it.
func TestReasons(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status          string
		spare           bool
		events, details int
	}{
		"completed":            {"Completed", true, 0, 0},
		"failed, a write left": {"Failed", true, 1, 1},
		"failed, none left":    {"Failed", false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.vendor.put("1", c.status)
			b.run(func(cfg *Config) { cfg.SpareWrite = func() bool { return c.spare } })
			b.started("r", "1")
			b.settledEnd()
			if events, details := b.vendor.asked("events"), b.vendor.asked("details"); events != c.events || details != c.details {
				t.Errorf("%d reads of events and %d writing calls, want %d and %d", events, details, c.events, c.details)
			}
		})
	}
}

// settledEnd waits for the first end.
func (b *bench) settledEnd() {
	b.Helper()
	b.eventually("an end", func() bool { return len(b.told()) == 1 })
	b.settled()
}

// What the vendor did not say is left out, and an end without a time has that of the last update.
func TestFinished(t *testing.T) {
	t.Parallel()
	n := func(n int64) *int64 { return &n }
	started := &schemas.JobStarted{Naming: schemas.Naming{RequestID: "r", BackupLevel: "INCREMENTAL"}, TaskID: "7"}
	now := time.Unix(1_700_000_100, 0)
	updated := time.Unix(1_700_000_000, 0)
	bare := finished(started, "5", vendorapi.JobInfo{Status: "Completed", Updated: updated}, schemas.OutcomeCompleted, now)
	if bare.Files != nil || bare.Bytes != nil || bare.Empty != nil || !bare.StartedAt.IsZero() || !bare.EndedAt.Equal(updated) || bare.EndedFrom != schemas.EndedFromUpdate {
		t.Errorf("%+v", bare)
	}
	for name, c := range map[string]struct {
		files, bytes *int64
		want         string
	}{
		"unknown":              {nil, nil, "unknown"},
		"no files":             {n(0), nil, "unknown"},
		"nothing":              {n(0), n(0), "true"},
		"files":                {n(1), nil, "false"},
		"bytes without a file": {n(0), n(5), "false"},
	} {
		info := vendorapi.JobInfo{Status: "Completed", Ended: updated, Started: updated, Level: "Full", Sizes: schemas.JobSizes{Files: c.files, Bytes: c.bytes}}
		e := finished(started, "5", info, schemas.OutcomeCompleted, now)
		got := "unknown"
		if e.Empty != nil {
			got = fmt.Sprint(*e.Empty)
		}
		if got != c.want || e.EndedFrom != "" || e.VendorBackupLevel != "Full" || e.BackupLevel != "INCREMENTAL" {
			t.Errorf("%s: empty is %s, want %s: %+v", name, got, c.want, e)
		}
		if e := finished(started, "5", info, schemas.OutcomeFailed, now); e.Empty != nil {
			t.Errorf("%s: empty is told of a failed job", name)
		}
	}
}

// A server that is too old has following off, with one warning.
func TestAnOldServer(t *testing.T) {
	t.Parallel()
	for v, off := range map[string]bool{"2.9.1": true, "2.13.4": true, "2.14.0": false, "2.15.2": false, "3.0.0": false, "dev": false} {
		err := Possible(v)
		if _, is := errors.AsType[*offError](err); is != off {
			t.Errorf("%s: %v", v, err)
		}
	}
}

// A vendor that cannot list jobs has following off: one warning, one read an hour, a condition.
func TestAVendorWithoutLists(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.breaks(func(call string) error {
		return &vendorapi.Error{Verdict: vendorapi.Refused, Op: call, Status: 404}
	})
	w := b.run()
	b.started("r", "1")
	b.eventually("it says so", func() bool {
		return w.Ready() != nil && strings.Contains(w.Ready().Error(), "following is off: the vendor cannot list jobs: ")
	})
	b.eventually("it says when it asks again", func() bool { return strings.HasSuffix(w.Ready().Error(), "; asked again after 1m0s") })
	b.started("s", "2")
	b.eventually("both are followed", func() bool { return w.State().Followed == 2 })
	if n := b.vendor.total(); n != 1 {
		t.Errorf("%d reads, want one", n)
	}
	if n := strings.Count(b.log.String(), "started jobs are not followed"); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
}

// A web server that starts answers 404 as well, so the vendor is asked again soon at first.
func TestUnsupportedWait(t *testing.T) {
	t.Parallel()
	for before, want := range map[int]time.Duration{0: time.Minute, 1: 2 * time.Minute, 5: 32 * time.Minute, 6: time.Hour, 1000: time.Hour} {
		if got := unsupportedWait(before); got != want {
			t.Errorf("after %d such answers: %s, want %s", before, got, want)
		}
	}
}

// Without its consumer the follower says what is missing, and begins when it is there.
func TestWithoutTheConsumer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	durable, err := b.js.Consumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer)
	if err != nil {
		t.Fatal(err)
	}
	cfg := durable.CachedInfo().Config
	if err := b.js.DeleteConsumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer); err != nil {
		t.Fatal(err)
	}
	w := b.run()
	b.eventually("it says so", func() bool {
		return w.Ready() != nil && strings.Contains(w.Ready().Error(), "BACKUP_EVENTS has no consumer follower; `backhaul setup` makes it")
	})
	if _, err := b.js.CreateConsumer(t.Context(), publisher.EventsStream, cfg); err != nil {
		t.Fatal(err)
	}
	b.vendor.put("1", "Completed")
	b.started("r", "1")
	b.tells("finished 1 completed")
	b.settled()
}

// Any process hears what the replica that follows is doing.
func TestListen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if state, err := Listen(t.Context(), b.nc); state != nil || err != nil {
		t.Errorf("nobody follows: %+v, %v", state, err)
	}
	b.run(func(c *Config) { c.Owner = "host/7" })
	b.vendor.put("1", "Running")
	b.started("r", "1")
	b.eventually("the state of a followed job", func() bool {
		state, err := Listen(t.Context(), b.nc)
		return err == nil && state != nil && state.Reading && state.Owner == "host/7" && state.Followed == 1 && !state.Oldest.IsZero() && state.Budget > 0
	})
}
