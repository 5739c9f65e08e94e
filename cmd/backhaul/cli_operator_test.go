package main

import (
	"strings"
	"testing"
)

// endless is an input without a line's end. It fails the test if more is read than a yes
// may take.
type endless struct {
	t    *testing.T
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.read += len(p); e.read > maxYes {
		e.t.Fatalf("%d bytes were read", e.read)
	}
	copy(p, strings.Repeat("y", len(p)))
	return len(p), nil
}

func TestIsYes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"y\n": true, "YES\r\n": true, " y": true, "": false, "\n": false, "n\n": false, "yes please\n": false, "n\ny\n": false,
		strings.Repeat(" ", maxYes) + "y\n": false,
	} {
		if got := isYes(strings.NewReader(text)); got != want {
			t.Errorf("%.20q: %v", text, got)
		}
	}
	if isYes(&endless{t: t}) {
		t.Error("a line without an end is a yes")
	}
}
