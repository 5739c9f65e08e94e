package consumer

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Only a release that was written is remembered, and only until it is used.
func TestLedgerRelease_remembered(t *testing.T) {
	t.Parallel()
	l := newLedger(t, time.Minute)
	l.visibility = time.Hour
	l.released, l.guard = newReleases(), &guard{}
	two := l.of("two")

	req := testRequest("taken")
	c := l.claimed(t, req)
	last, _ := l.lastClaim(t, req)
	if _, err := two.takeOver(t.Context(), req, last, doubt{}); err != nil {
		t.Fatal(err)
	}
	if err := l.release(t.Context(), c); !errors.Is(err, errTakenOver) {
		t.Errorf("got %v, want an error", err)
	}
	if n := len(l.released.all); n != 0 {
		t.Errorf("%d releases are remembered that were not written", n)
	}

	// The end of the window that the owner knows is not put off.
	req = testRequest("in-doubt")
	c = l.claimed(t, req)
	until := time.Now().Add(7 * time.Minute)
	c.doubt = doubt{under: 7, until: until}
	if err := l.release(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := l.claimed(t, req); got.under != 7 || !got.until.Equal(until) {
		t.Errorf("the doubt is %+v, want its end at %s", got.doubt, until)
	}
	if n := len(l.released.all); n != 0 {
		t.Errorf("%d releases are remembered that were used", n)
	}

	// A write that fails is no claim: the caller would send.
	req = testRequest("failed")
	if err := l.release(t.Context(), l.claimed(t, req)); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.claimAgain(ended, req); err == nil {
		t.Error("a claim that was not written is the process's own")
	}
}
