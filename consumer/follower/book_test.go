package follower

import (
	"strings"
	"testing"
	"time"

	"backhaul/schemas"
	"backhaul/vendorapi"
)

// A state is told when two looks running have shown it, and once that the job runs again.
func TestBook_toldStates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ seen, want string }{
		"it runs":                         {"running running running", ""},
		"it waits for one look":           {"waiting running waiting running", ""},
		"it waits":                        {"waiting waiting waiting running running", "waiting running"},
		"another state":                   {"waiting waiting pending pending running", "waiting pending running"},
		"flapping":                        {"pending running pending running pending pending", "pending"},
		"running is told once":            {"suspended suspended running running suspended running", "suspended running"},
		"on its way to a state":           {"suspending suspending suspended suspended", "suspended"},
		"stopping and unknown":            {"stopping stopping unknown unknown", ""},
		"an unknown state between":        {"queued unknown queued queued", "queued"},
		"queued and interrupted, resumed": {"queued queued interrupted interrupted running", "queued interrupted running"},
	} {
		j := &job{of: &message{}}
		var told []string
		for i, state := range strings.Fields(c.seen) {
			n, ok := j.read(vendorapi.JobInfo{State: vendorapi.JobState(state)}, false, time.Unix(int64(i+1), 0))
			if ok {
				told = append(told, string(n.state))
				j.told = n.state
			}
			if n.outcome != "" {
				t.Errorf("%s: it has ended: %q", name, n.outcome)
			}
		}
		if got := strings.Join(told, " "); got != c.want {
			t.Errorf("%s: told %q, want %q", name, got, c.want)
		}
	}
}

// The same look twice, as two pages may show one job, is one look.
func TestBook_oneLookTwice(t *testing.T) {
	t.Parallel()
	j := &job{of: &message{}}
	for range 3 {
		if _, ok := j.read(vendorapi.JobInfo{State: vendorapi.StatePending}, false, time.Unix(1, 0)); ok {
			t.Error("told after one look")
		}
	}
}

// Only an end that was seen is one: an unknown status is an end if the job is among the finished
// ones and has an end time.
func TestBook_ends(t *testing.T) {
	t.Parallel()
	end := time.Unix(1_700_000_000, 0)
	for name, c := range map[string]struct {
		info     vendorapi.JobInfo
		finished bool
		want     schemas.Outcome
	}{
		"a known end":                       {vendorapi.JobInfo{State: vendorapi.StateFinished, Outcome: schemas.OutcomeCommitted}, false, schemas.OutcomeCommitted},
		"unknown and among the finished":    {vendorapi.JobInfo{State: vendorapi.StateUnknown, Ended: end}, true, schemas.OutcomeEnded},
		"unknown, without an end":           {vendorapi.JobInfo{State: vendorapi.StateUnknown}, true, ""},
		"unknown, not among the finished":   {vendorapi.JobInfo{State: vendorapi.StateUnknown, Ended: end}, false, ""},
		"active with an end time":           {vendorapi.JobInfo{State: vendorapi.StateRunning, Ended: end}, true, ""},
		"suspended for days":                {vendorapi.JobInfo{State: vendorapi.StateSuspended}, false, ""},
		"a kill that is pending is no kill": {vendorapi.JobInfo{State: vendorapi.StateStopping}, false, ""},
	} {
		j := &job{of: &message{}}
		n, _ := j.read(c.info, c.finished, end)
		if n.outcome != c.want {
			t.Errorf("%s: %q, want %q", name, n.outcome, c.want)
		}
	}
}

// A job that no list shows is read by itself: not at once, and less and less often.
func TestBook_readsByThemselves(t *testing.T) {
	t.Parallel()
	b := newBook()
	start := time.Unix(1_700_000_000, 0)
	j := &job{id: "1", of: &message{sequence: 1}, started: start}
	b.add(j)
	now := start.Add(10 * time.Second)
	b.miss(now)
	if b.toRead(now, now, DefaultFor) != nil {
		t.Error("read after one list")
	}
	if b.toRead(now.Add(time.Minute), now.Add(time.Minute), DefaultFor) != nil {
		t.Error("read although it is young")
	}
	var reads []time.Duration
	for now = start.Add(time.Minute); now.Before(start.Add(6 * time.Hour)); now = now.Add(time.Minute) {
		b.miss(now)
		if b.toRead(now, now, DefaultFor) == j {
			reads = append(reads, now.Sub(start))
			j.alone(nil, now)
		}
	}
	if len(reads) != 10 || reads[0] != 2*time.Minute || reads[9]-reads[8] != time.Hour {
		t.Errorf("it is read after %v", reads)
	}
	// A list that shows it again ends that.
	j.read(vendorapi.JobInfo{State: vendorapi.StateRunning}, false, now)
	if later := now.Add(2 * time.Hour); b.toRead(later, later, DefaultFor) != nil {
		t.Error("it is read although a list shows it")
	}
}

// A list must reach back to the start of the oldest job that was added while it was read.
func TestBook_covered(t *testing.T) {
	t.Parallel()
	b := newBook()
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	m := &message{sequence: 1}
	b.add(&job{id: "1", of: m, started: at(100)})
	b.begin(at(200))
	b.add(&job{id: "2", of: m, started: at(150)})
	if b.covers(); !b.covered.Equal(at(150)) {
		t.Errorf("covered up to %s", b.covered)
	}
	b.begin(at(300))
	if b.covers(); !b.covered.Equal(at(300)) {
		t.Errorf("covered up to %s", b.covered)
	}
	b.add(&job{id: "3", of: m, started: at(400)})
	if !b.covered.Equal(at(300)) {
		t.Errorf("covered up to %s after a later job", b.covered)
	}
	b.add(&job{id: "4", of: m, started: at(50)})
	if !b.covered.Equal(at(50)) {
		t.Errorf("covered up to %s after an earlier job", b.covered)
	}
}

// A job is given up when it is too old and was looked for.
func TestBook_expired(t *testing.T) {
	t.Parallel()
	b := newBook()
	start := time.Unix(1_700_000_000, 0)
	seen := &job{id: "1", of: &message{sequence: 1}, started: start}
	missing := &job{id: "2", of: &message{sequence: 2}, started: start}
	b.add(seen)
	b.add(missing)
	now := start.Add(time.Hour)
	if got := b.expired(now, time.Hour); len(got) != 0 {
		t.Errorf("%d jobs are given up that were never looked for", len(got))
	}
	seen.read(vendorapi.JobInfo{State: vendorapi.StateSuspended}, false, now)
	if got := b.expired(now, time.Hour); len(got) != 1 || got[0] != seen {
		t.Errorf("%d jobs are given up, want the one that was seen", len(got))
	}
	missing.alone(nil, now)
	if got := b.expired(now, time.Hour); len(got) != 2 {
		t.Errorf("%d jobs are given up, want both", len(got))
	}
	vanished := &job{id: "3", of: &message{sequence: 3}, started: start}
	b.add(vanished)
	vanished.read(vendorapi.JobInfo{State: vendorapi.StateRunning}, false, now)
	b.miss(now.Add(time.Second))
	if got := b.expired(now, time.Hour); len(got) != 1 || got[0] != missing {
		t.Errorf("%d jobs are given up, want the one that was read by itself", len(got))
	}
	seen.read(vendorapi.JobInfo{State: vendorapi.StateSuspended}, false, now.Add(time.Second))
	b.remove(vanished)
	seen.busy = true
	if got := b.expired(now, time.Hour); len(got) != 1 {
		t.Errorf("%d jobs are given up while one is being written", len(got))
	}
	b.remove(missing)
	if got := b.expired(now.Add(48*time.Hour), time.Hour); len(got) != 0 {
		t.Errorf("%d jobs are given up", len(got))
	}
}

// What was seen of a job before its time was over does not show what became of it, so there is a
// last look before the job is given up: a list that shows it, or a read of its own.
func TestBook_expiredAfterALastLook(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	end := start.Add(time.Hour)
	for name, missed := range map[string]bool{"lists fail": false, "no list shows it": true} {
		b := newBook()
		j := &job{id: "1", of: &message{sequence: 1}, started: start}
		b.add(j)
		j.read(vendorapi.JobInfo{State: vendorapi.StateRunning}, false, start.Add(time.Minute))
		if missed {
			b.miss(start.Add(2 * time.Minute))
			j.alone(nil, start.Add(59*time.Minute))
		}
		if got := b.expired(end, time.Hour); len(got) != 0 {
			t.Errorf("%s: it is given up without a last look", name)
		}
		if b.toRead(end.Add(-time.Second), end.Add(-time.Second), time.Hour) != nil {
			t.Errorf("%s: it has its last look before its time is over", name)
		}
		if last := b.toRead(end, end, time.Hour); (last == j) != missed {
			t.Errorf("%s: the last look is at %v", name, last)
		}
		if missed {
			j.alone(nil, end)
		} else {
			j.read(vendorapi.JobInfo{State: vendorapi.StateRunning}, false, end)
		}
		if got := b.expired(end, time.Hour); len(got) != 1 {
			t.Errorf("%s: after the last look %d jobs are given up", name, len(got))
		}
	}
}
