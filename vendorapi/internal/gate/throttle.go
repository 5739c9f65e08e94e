package gate

import (
	"sync"
	"time"
)

// patient is how many pauses in a row are as long as the vendor asks for.
const patient = 2

// Throttle is the pause that the vendor asks for. While it asks again after each pause and answers
// nothing else, only one attempt is made after a pause, and the pauses grow: requests that all wait
// for the same answer would be claimed and released in vain once in each pause.
type Throttle struct {
	Pause
	mu sync.Mutex
	// inRow counts the pauses since the last other answer.
	inRow int
}

// Ask makes the pause last for at least d from now. An answer during a pause does not begin another.
func (t *Throttle) Ask(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Left() <= 0 {
		t.inRow++
	}
	if longer := t.inRow - patient - 1; longer >= 0 {
		d = max(d, min(FirstBreak<<min(longer, 10), longestBreak))
	}
	t.Extend(d)
}

// Answered notes an answer that asks for no pause.
func (t *Throttle) Answered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inRow = 0
}

// Trial reports whether only one attempt is made after the pause.
func (t *Throttle) Trial() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inRow >= patient
}
