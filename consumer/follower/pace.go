package follower

import (
	"sync"
	"time"
)

// pace decides when the vendor is asked, and counts what was asked. It outlives the sessions
// of a process, so that a session that fails and begins again reads no more than the budget.
// It is safe for concurrent use.
type pace struct {
	least, most time.Duration
	budget      int // reads an hour

	mu       sync.Mutex
	lists    window
	others   window // reads of one job or of its events
	interval time.Duration
	listed   time.Time // when the last list was begun, zero if the next one is due at once
	rest     rest
}

// rest is a time without reads, after the vendor asked for it or a read has failed.
type rest struct {
	until    time.Time
	failures int // in a row
}

// The lists have this share of the budget for themselves: an end is recorded in time even if a
// thousand jobs fail together, each of which costs a read for its reason.
const (
	listShare = 3
	allShares = 5
)

// calm is the interval between two lists of the finished jobs when the active jobs fill pages of
// their own: half of the lists' share is left for those pages.
const calm = time.Minute

// leastActive is how many pages of active jobs are read in an hour, whatever the finished ones need.
const leastActive = 12

func newPace(least, most time.Duration, budget int) *pace {
	return &pace{least: least, most: max(least, most), budget: max(budget, allShares), interval: least}
}

func (p *pace) forLists() int  { return p.budget * listShare / allShares }
func (p *pace) forOthers() int { return p.budget - p.forLists() }

// every returns the interval between two lists of so many pages. split reports that the pages
// of active jobs are read separately.
func (p *pace) every(pages int, split bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.everyLocked(pages, split)
}

func (p *pace) everyLocked(pages int, split bool) time.Duration {
	least := time.Duration(max(pages, 1)) * time.Hour / time.Duration(p.forLists())
	if split {
		least = max(least, min(calm, 2*least))
	}
	return max(p.interval, least)
}

// everyActive returns the interval between two readings of all pages of active jobs.
func (p *pace) everyActive(pages, finishedPages int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := int(time.Duration(max(finishedPages, 1)) * time.Hour / p.everyLocked(finishedPages, true))
	return max(p.interval, time.Duration(max(pages, 1))*time.Hour/time.Duration(max(p.forLists()-taken, leastActive)))
}

// adapt shortens the interval after a change, and lengthens it when nothing changes.
func (p *pace) adapt(changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if changed {
		p.interval = p.least
		return
	}
	p.interval = min(p.interval*3/2, p.most)
}

// quicken shortens the interval, because a new job is followed.
func (p *pace) quicken() { p.adapt(true) }

// listDue reports whether a list is due, and notes that it begins.
func (p *pace) listDue(now time.Time, every time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.listed.IsZero() && now.Sub(p.listed) < every {
		return false
	}
	p.listed = now
	return true
}

// listAgain makes the next list due at once.
func (p *pace) listAgain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listed = time.Time{}
}

// takeList takes a read of a list from the budget. It returns how long to wait first, 0 if the
// read was taken.
func (p *pace) takeList(now time.Time) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.rest.until.Sub(now); wait > 0 {
		return wait
	}
	if spent := p.lists.count(now) + p.others.count(now); spent >= p.budget {
		return p.wait(now)
	}
	p.lists.add(now)
	return 0
}

// takeOther takes a read of one job from the budget, and reports whether there was one.
func (p *pace) takeOther(now time.Time) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.rest.until.Sub(now); wait > 0 {
		return wait
	}
	others := p.others.count(now)
	if others >= p.forOthers() || others+p.lists.count(now) >= p.budget {
		return p.wait(now)
	}
	p.others.add(now)
	return 0
}

// wait returns how long no read slides out of the hour.
func (p *pace) wait(now time.Time) time.Duration {
	first := now
	for _, w := range []*window{&p.lists, &p.others} {
		if len(w.times) > 0 && w.times[0].Before(first) {
			first = w.times[0]
		}
	}
	return max(first.Add(time.Hour).Sub(now), time.Second)
}

// answered notes that the vendor answers reads.
func (p *pace) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest.failures = 0
}

// failed holds all reads, for at least as long as the vendor asked for. It returns until when.
func (p *pace) failed(now time.Time, asked time.Duration) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := min(max(p.least/8, 100*time.Millisecond)<<min(p.rest.failures, 8), p.most)
	p.rest.failures++
	if until := now.Add(max(wait, asked)); until.After(p.rest.until) {
		p.rest.until = until
	}
	return p.rest.until
}

// spent returns how many reads were made in the last hour, and until when none are made.
func (p *pace) spent(now time.Time) (reads int, held time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rest.until.After(now) {
		held = p.rest.until
	}
	return p.lists.count(now) + p.others.count(now), held
}

// window has the times of the reads of the last hour.
type window struct{ times []time.Time }

func (w *window) add(t time.Time) { w.times = append(w.times, t) }

func (w *window) count(now time.Time) int {
	old := 0
	for old < len(w.times) && now.Sub(w.times[old]) >= time.Hour {
		old++
	}
	w.times = append(w.times[:0], w.times[old:]...)
	return len(w.times)
}
