package gate

import (
	"testing"
	"testing/synctest"
	"time"
)

// The first pauses are as long as the vendor asks for. If it answers nothing else, they grow up to a
// bound, and one attempt is made after each. Another answer ends that.
func TestThrottle_growsWithoutAnotherAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var throttle Throttle
		asks := func(d, want time.Duration, trial bool) {
			t.Helper()
			throttle.Ask(d)
			if left := throttle.Left(); left != want || throttle.Trial() != trial {
				t.Errorf("a pause of %s, trial %t; want %s, %t", left, throttle.Trial(), want, trial)
			}
		}
		for range 2 {
			asks(time.Second, time.Second, false)
			asks(time.Second, time.Second, false) // during the pause: the same one
			time.Sleep(time.Second)
			asks(time.Second, time.Second, true)
			for _, want := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, longestBreak, longestBreak} {
				time.Sleep(throttle.Left())
				asks(time.Second, want, true)
			}
			time.Sleep(throttle.Left())
			asks(time.Hour, time.Hour, true)
			throttle.Answered()
			if left := throttle.Left(); left != time.Hour || throttle.Trial() {
				t.Errorf("another answer leaves a pause of %s, trial %t", left, throttle.Trial())
			}
			time.Sleep(throttle.Left())
		}
	})
}
