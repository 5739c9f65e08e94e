// Package logonce suppresses repeated log lines, so that an outage is one line and not one for
// each attempt.
package logonce

import (
	"sync"
	"time"
)

// repeatAfter is how long a repeated error is suppressed.
const repeatAfter = time.Minute

// Reasons suppresses each of several alternating errors for a minute. Its zero value is ready
// to use, by many goroutines at once.
type Reasons struct {
	mu    sync.Mutex
	since time.Time // the beginning of the current minute
	said  map[string]bool
}

// maxReasons limits the different errors of a minute.
const maxReasons = 100

// New reports whether an error is worth a log line: it was not reported in the current minute.
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

// Last suppresses repetitions of the last error. Its zero value is ready to use, by many
// goroutines at once.
type Last struct {
	mu   sync.Mutex
	last string
	said time.Time
}

// Changed reports whether an error is worth a log line: it differs from the last one, or a
// minute has passed. A nil error is reported once.
func (l *Last) Changed(err error) bool {
	if err == nil {
		return l.ChangedTo("")
	}
	return l.ChangedTo(err.Error())
}

// ChangedTo is Changed for errors whose texts differ each time, such as by an address: text
// says which errors are alike, "" that there is none.
func (l *Last) ChangedTo(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text == l.last && (text == "" || time.Since(l.said) < repeatAfter) {
		return false
	}
	l.last, l.said = text, time.Now()
	return true
}
