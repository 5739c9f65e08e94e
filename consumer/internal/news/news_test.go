package news

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var teller Teller
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
			if got := teller.Changed(step.err); got != step.want {
				t.Errorf("step %d: %v after %s: news is %t, want %t", i, step.err, step.after, got, step.want)
			}
		}
	})
}
