package gate

import (
	"sync"
	"time"
)

// Pause is a time until which nothing is sent. One answer sets it for all callers.
type Pause struct {
	mu    sync.Mutex
	until time.Time
}

// Left returns the rest of the pause, 0 or less if it is over.
func (p *Pause) Left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until.IsZero() {
		return 0
	}
	return time.Until(p.until)
}

// Extend makes the pause last for d from now, unless it lasts longer already.
func (p *Pause) Extend(d time.Duration) {
	until := time.Now().Add(d)
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.until) {
		p.until = until
	}
}
