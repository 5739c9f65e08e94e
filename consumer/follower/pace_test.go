package follower

import (
	"testing"
	"time"
)

// The interval is short after a change and long while nothing changes, within its bounds.
func TestPace_adapts(t *testing.T) {
	t.Parallel()
	p := newPace(30*time.Second, 5*time.Minute, 200)
	if got := p.every(1, false); got != 30*time.Second {
		t.Errorf("it begins with %s", got)
	}
	last := time.Duration(0)
	for range 20 {
		p.adapt(false)
		got := p.every(1, false)
		if got < last || got > 5*time.Minute {
			t.Errorf("%s after %s", got, last)
		}
		last = got
	}
	if last != 5*time.Minute {
		t.Errorf("it ends with %s", last)
	}
	p.adapt(true)
	if got := p.every(1, false); got != 30*time.Second {
		t.Errorf("after a change %s", got)
	}
}

// An hour of lists costs what the budget allows, whatever the number of pages and of changes.
func TestPace_budget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		budget, pages, active int
		split                 bool
		most                  int           // lists in an hour
		latest                time.Duration // between two lists of the finished jobs
	}{
		"one page":                 {200, 1, 0, false, 120, 30 * time.Second},
		"10,000 jobs":              {200, 1, 10, true, 121, time.Minute},
		"10,000 jobs, many ends":   {200, 2, 10, true, 140, time.Minute},
		"100,000 jobs":             {200, 10, maxPages, true, 180, 10 * time.Minute},
		"a small budget":           {20, 1, 0, false, 12, 5 * time.Minute},
		"10,000 jobs, 60 s, small": {120, 1, 10, true, 84, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPace(30*time.Second, 5*time.Minute, c.budget)
			now := time.Unix(1_700_000_000, 0)
			var active, last time.Time
			var all []time.Time
			var longest time.Duration
			for end := now.Add(3 * time.Hour); now.Before(end); now = now.Add(time.Second) {
				switch {
				case p.listDue(now, p.every(c.pages, c.split)):
					if !last.IsZero() {
						longest = max(longest, now.Sub(last))
					}
					last = now
					for range c.pages {
						if wait := p.takeList(now); wait > 0 {
							t.Fatalf("a list has to wait %s", wait)
						}
						all = append(all, now)
					}
					p.adapt(true)
				case c.split && now.Sub(active) >= p.everyActive(c.active, c.pages):
					active = now
					for range c.active {
						if p.takeList(now) == 0 {
							all = append(all, now)
						}
					}
				}
			}
			worst := 0
			for i, from := range all {
				n := 0
				for _, at := range all[i:] {
					if at.Sub(from) < time.Hour {
						n++
					}
				}
				worst = max(worst, n)
			}
			t.Logf("%d reads in the worst hour, %s between two lists", worst, longest)
			if worst > max(c.most, 0) {
				t.Errorf("%d reads in an hour, want at most %d", worst, c.most)
			}
			if longest > c.latest {
				t.Errorf("%s between two lists, want at most %s", longest, c.latest)
			}
		})
	}
}

// The reads of single jobs and of events have a share of their own: they delay no list.
func TestPace_shares(t *testing.T) {
	t.Parallel()
	p := newPace(time.Minute, time.Minute, 100)
	now := time.Unix(1_700_000_000, 0)
	taken := 0
	for range 1000 {
		if p.takeOther(now) == 0 {
			taken++
		}
	}
	if taken != 40 {
		t.Errorf("%d other reads, want 40", taken)
	}
	for i := range 60 {
		if wait := p.takeList(now); wait > 0 {
			t.Fatalf("list %d has to wait %s", i, wait)
		}
	}
	if wait := p.takeList(now); wait != time.Hour {
		t.Errorf("the next list waits %s, want an hour", wait)
	}
	if reads, _ := p.spent(now); reads != 100 {
		t.Errorf("%d reads", reads)
	}
	if wait := p.takeOther(now.Add(time.Hour)); wait > 0 {
		t.Errorf("after an hour it waits %s", wait)
	}
}

// A vendor that asks for a pause, or that does not answer, is left alone for longer and longer.
func TestPace_holds(t *testing.T) {
	t.Parallel()
	p := newPace(time.Minute, 5*time.Minute, 1000)
	now := time.Unix(1_700_000_000, 0)
	if until := p.failed(now, 90*time.Second); until.Sub(now) != 90*time.Second {
		t.Errorf("held for %s, the vendor asked for 90 s", until.Sub(now))
	}
	for _, take := range []func(time.Time) time.Duration{p.takeList, p.takeOther} {
		if wait := take(now.Add(time.Minute)); wait != 30*time.Second {
			t.Errorf("a read waits %s, want 30 s", wait)
		}
	}
	now = now.Add(2 * time.Minute)
	last := time.Duration(0)
	for range 10 {
		wait := p.failed(now, 0).Sub(now)
		if wait < last || wait > 5*time.Minute {
			t.Errorf("%s after %s", wait, last)
		}
		last, now = wait, now.Add(wait)
	}
	if last != 5*time.Minute {
		t.Errorf("the longest pause is %s", last)
	}
	p.answered()
	if wait := p.failed(now, 0).Sub(now); wait >= time.Minute {
		t.Errorf("after an answer the first pause is %s", wait)
	}
}
