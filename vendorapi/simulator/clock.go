package simulator

import (
	"sync"
	"time"
)

// clock is Config.Now, moved on by Advance and stopped by StopClock.
type clock struct {
	mu      sync.Mutex
	base    func() time.Time
	ahead   time.Duration
	stopped time.Time // zero while it runs
}

// now returns the time without its monotonic reading, so that times are compared as they
// are shown.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped.IsZero() {
		return c.stopped
	}
	return c.base().Round(0).Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	if !c.stopped.IsZero() {
		c.stopped = c.stopped.Add(d)
	}
}

func (c *clock) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead, c.stopped = 0, time.Time{}
}

// stop stops the clock, or lets it run on from where it stopped.
func (c *clock) stop(on bool) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case on:
		c.stopped = now
	case !c.stopped.IsZero():
		c.ahead, c.stopped = c.stopped.Sub(c.base().Round(0)), time.Time{}
	}
}

// Advance moves the simulator's clock on. Job states, tokens and the Date header follow it;
// the waits of faults do not.
func (s *Simulator) Advance(d time.Duration) { s.clock.advance(max(d, 0)) }

// StopClock stops the simulator's clock, or lets it run on from where it stopped.
func (s *Simulator) StopClock(on bool) { s.clock.stop(on) }

// now returns the time of a call.
func (s *Simulator) now() time.Time { return s.clock.now() }
