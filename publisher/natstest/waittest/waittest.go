// Package waittest helps tests of concurrent code: [Eventually] waits for a condition, and
// [Log] collects output that is read while it is written.
package waittest

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

// Eventually waits until a condition is true. It fails the test after a minute, which is
// more than a busy machine needs. what completes the failure's text "no … within a minute".
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no %s within a minute", what)
		}
	}
}

// Log collects what is written to it. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
