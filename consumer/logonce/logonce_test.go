package logonce

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestLast_Changed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last Last
		one, other := errors.New("one"), errors.New("other")
		for i, step := range []struct {
			after time.Duration
			err   error
			want  bool
		}{
			{0, nil, false}, // nothing was ever wrong
			{0, one, true},
			{time.Second, one, false},
			{time.Second, other, true},
			{time.Second, one, true},
			{repeatAfter, one, true},
			{0, nil, true},
			{2 * repeatAfter, nil, false},
		} {
			<-time.After(step.after)
			if got := last.Changed(step.err); got != step.want {
				t.Errorf("step %d: %v after %s: news is %t, want %t", i, step.err, step.after, got, step.want)
			}
		}
	})
}

// Each reason is new once a minute. Their number is limited.
func TestReasons_New(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reasons Reasons
		said := func() (n int) {
			for range 2 {
				for i := range 2 * maxReasons {
					if reasons.New(fmt.Errorf("reason %d", i/2)) {
						n++
					}
				}
				if reasons.New(errors.New("one more")) {
					n++
				}
			}
			return n
		}
		for minute := range 3 {
			if got := said(); got != maxReasons {
				t.Errorf("%d reasons are said in minute %d, want %d", got, minute, maxReasons)
			}
			<-time.After(repeatAfter)
		}
	})
}
