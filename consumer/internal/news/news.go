// Package news tells news from repetition, so that an outage is one line in a log
// and not one for each try.
package news

import (
	"sync"
	"time"
)

// repeatAfter is when a repetition is news again.
const repeatAfter = time.Minute

// Reasons remembers every reason that was said within the last minute: several may
// alternate. Its zero value has said nothing; it may be used by many goroutines.
type Reasons struct {
	mu    sync.Mutex
	since time.Time // the current minute's beginning
	said  map[string]bool
}

// maxReasons bounds what is said in a minute.
const maxReasons = 100

// New reports whether a reason was not said within the last minute.
func (r *Reasons) New(err error) bool {
	text := err.Error()
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.since) >= repeatAfter {
		r.since, r.said = time.Now(), make(map[string]bool)
	}
	if r.said[text] || len(r.said) >= maxReasons {
		return false
	}
	r.said[text] = true
	return true
}

// Teller remembers what was said last. Its zero value has said nothing; it may be
// used by many goroutines.
type Teller struct {
	mu   sync.Mutex
	last string
	said time.Time
}

// Changed tells whether an error is worth a line: it is another one than last
// time, or the same after a minute. That there is none is said once.
func (t *Teller) Changed(err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if text == t.last && (text == "" || time.Since(t.said) < repeatAfter) {
		return false
	}
	t.last, t.said = text, time.Now()
	return true
}
