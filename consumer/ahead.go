package consumer

import (
	"context"
	"math"
	"sync"
	"time"
)

// leastAhead is how many requests are claimed ahead if nothing is known about times yet, or if the
// vendor takes much longer than the ledger.
const leastAhead = 2

// ahead limits how many requests are claimed and still to be sent. If the process dies, each of
// these waits for the end of its lease, although nothing was sent for it. So only as many are
// claimed ahead as the vendor takes while one claim is written. The others wait unclaimed: if the
// process dies, they are redelivered after their acknowledgement wait.
type ahead struct {
	atVendor chan struct{} // limits the requests at the vendor
	most     int           // requests ahead at most

	mu sync.Mutex
	// open counts the requests from before their claim to the end of their first attempt.
	open    int
	waiting []*ticket // in the order in which they came
	// claim and attempt are moving averages of what these take.
	claim, attempt time.Duration
}

// ticket permits one request to be claimed. Its fields are guarded by of.mu.
type ticket struct {
	of      *ahead
	granted bool
	over    bool
	wake    chan struct{} // closed when the ticket is granted; nil if that was at once
}

// enterVendor waits until another request may be at the vendor. It returns false if the
// process stops first.
func (a *ahead) enterVendor(stop context.Context) bool {
	select {
	case a.atVendor <- struct{}{}:
		return true
	case <-stop.Done():
		return false
	}
}

func (a *ahead) leaveVendor() { <-a.atVendor }

// enter waits until a request may be claimed. It returns nil if stop ends first.
func (a *ahead) enter(stop context.Context) *ticket {
	t := &ticket{of: a}
	if !a.queue(t) {
		select {
		case <-t.wake:
		case <-stop.Done():
			t.leave()
			return nil
		}
	}
	return t
}

// queue reports whether the ticket is granted at once.
func (a *ahead) queue(t *ticket) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, t)
	a.grant()
	if !t.granted {
		t.wake = make(chan struct{})
	}
	return t.granted
}

// leave says that the request is no longer ahead of the vendor: its first attempt is over, or it
// waits for something else than the vendor. It may be called more than once.
func (t *ticket) leave() {
	a := t.of
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.over {
		return
	}
	t.over = true
	if t.granted {
		a.open--
	}
	a.grant()
}

// took records how long a claim or an attempt took.
func (a *ahead) took(average *time.Duration, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if *average == 0 {
		*average = d
	}
	*average += (d - *average) / 16
	a.grant()
}

// grant grants the tickets that there is capacity for; mu is held.
func (a *ahead) grant() {
	for len(a.waiting) > 0 && (a.waiting[0].over || a.open < cap(a.atVendor)+a.limit()) {
		if t := a.waiting[0]; !t.over {
			a.open++
			t.granted = true
			if t.wake != nil {
				close(t.wake)
			}
		}
		a.waiting[0] = nil
		a.waiting = a.waiting[1:]
	}
}

// limit returns how many requests may be claimed ahead: twice as many as the vendor finishes
// during a claim; mu is held.
func (a *ahead) limit() int {
	if a.attempt <= 0 {
		return min(leastAhead, a.most)
	}
	finished := float64(cap(a.atVendor)) * float64(a.claim) / float64(a.attempt)
	return int(min(leastAhead+math.Ceil(2*finished), float64(a.most)))
}
