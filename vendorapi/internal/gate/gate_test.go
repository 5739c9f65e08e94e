package gate

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPause_isNeverShortened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pause
		if p.Left() > 0 {
			t.Error("it begins with a pause")
		}
		p.Extend(time.Minute)
		p.Extend(time.Second)
		p.Extend(-time.Second)
		if left := p.Left(); left != time.Minute {
			t.Errorf("%s left", left)
		}
	})
}

// TestLimits_holdInEveryPeriod makes calls as early as they may be made: never more than the limit
// in any hour or second, and about the limit in the first.
func TestLimits_holdInEveryPeriod(t *testing.T) {
	for _, tt := range []struct {
		perHour, perSecond, n int
		in                    time.Duration
		atLeast               int
	}{
		{perHour: 100, n: 100, in: time.Hour, atLeast: 99},
		{perHour: 1, n: 1, in: time.Hour, atLeast: 1},
		{perHour: 15, n: 15, in: time.Hour, atLeast: 15},
		{perSecond: 20, n: 20, in: time.Second, atLeast: 19},
		{perHour: 30, perSecond: 1, n: 30, in: time.Hour, atLeast: 29},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := NewLimits(tt.perHour, tt.perSecond)
			begin := time.Now()
			var calls []time.Time
			for range 3 * tt.n {
				_, wait := l.Reserve(24 * time.Hour)
				calls = append(calls, time.Now().Add(wait))
			}
			slices.SortFunc(calls, time.Time.Compare)
			first := 0
			for i, at := range calls {
				if at.Sub(begin) < tt.in {
					first++
				}
				if i >= tt.n && at.Sub(calls[i-tt.n]) < tt.in {
					t.Errorf("%+v: call %d is %s after call %d", tt, i, at.Sub(calls[i-tt.n]), i-tt.n)
				}
			}
			if first < tt.atLeast {
				t.Errorf("%+v: %d calls in the first period, want %d", tt, first, tt.atLeast)
			}
		})
	}
}

// TestLimits_cancelledIsReturned: a reservation beyond the longest wait, and one that is cancelled
// before or after its time, leave the limit as it was.
func TestLimits_cancelledIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(1, 0)
		for _, after := range []time.Duration{0, 3 * time.Second} {
			for range 10 {
				r, wait := l.Reserve(0)
				if wait != 0 {
					t.Fatalf("a wait of %s", wait)
				}
				<-time.After(after)
				r.Cancel()
				if n, wait := l.Capacity(5); n != 1 || wait != 0 {
					t.Fatalf("capacity %d, wait %s", n, wait)
				}
			}
		}
		l.Reserve(0)
		for range 10 {
			if r, wait := l.Reserve(time.Minute); r != nil || wait.Round(time.Second) != time.Hour {
				t.Fatalf("reserved %v, wait %s", r, wait)
			}
		}
	})
}

var (
	errOutage  = errors.New("outage")
	errAnswer  = errors.New("refused")
	errNothing = errors.New("the caller left")
)

func newTestBreaker() *Breaker {
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	return NewBreaker(is(errOutage), func(err error) bool { return errors.Is(err, errNothing) || errors.Is(err, ErrNotTried) })
}

// attempt makes one attempt, which has to be possible.
func attempt(t *testing.T, b *Breaker, result error) {
	t.Helper()
	done, wait := b.Enter()
	if done == nil {
		t.Fatalf("no attempt may be made for %s", wait)
	}
	done(result)
}

// TestBreaker_opensForLonger: each outage in a row doubles the rest, up to a bound. An answer,
// and only an answer, ends it.
func TestBreaker_opensForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		for range 2 {
			for range 2 * BreakAfter {
				attempt(t, b, errAnswer)
			}
			for range BreakAfter {
				if n, _ := b.Capacity(64); n != 64 || b.State() != "closed" {
					t.Fatalf("capacity %d, state %s", n, b.State())
				}
				attempt(t, b, errOutage)
			}
			for rest := FirstBreak; ; rest = min(2*rest, longestBreak) {
				if n, wait := b.Capacity(64); n != 0 || wait != rest || b.State() != "open" {
					t.Fatalf("capacity %d for %s, state %s, want 0 for %s", n, wait, b.State(), rest)
				}
				if done, wait := b.Enter(); done != nil || wait != rest {
					t.Fatalf("an attempt may be made, or the wait is %s, want %s", wait, rest)
				}
				<-time.After(rest)
				if n, _ := b.Capacity(64); n != 1 || b.State() != "half-open" {
					t.Fatalf("capacity %d, state %s", n, b.State())
				}
				attempt(t, b, errNothing)
				attempt(t, b, ErrNotTried)
				if rest == longestBreak {
					break
				}
				attempt(t, b, errOutage)
			}
			attempt(t, b, errAnswer)
		}
		if cause := b.Cause(); !errors.Is(cause, errOutage) {
			t.Errorf("the cause is %v", cause)
		}
	})
}

// TestBreaker_oneTrial: while the trial is in flight, there is no capacity for a second one.
func TestBreaker_oneTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		for range BreakAfter {
			attempt(t, b, errOutage)
		}
		<-time.After(FirstBreak)
		done, _ := b.Enter()
		if n, wait := b.Capacity(64); n != 0 || wait != ProbeWait {
			t.Errorf("capacity %d for %s during the trial", n, wait)
		}
		if second, wait := b.Enter(); second != nil || wait != ProbeWait {
			t.Errorf("a second trial may be made, or the wait is %s", wait)
		}
		done(nil)
		if n, _ := b.Capacity(64); n != 64 {
			t.Errorf("capacity %d after the outage", n)
		}
	})
}
