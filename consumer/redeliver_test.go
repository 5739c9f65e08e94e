package consumer

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"backhaul/vendorapi"
)

func TestRedeliver_delay(t *testing.T) {
	t.Parallel()
	const wait = 20 * time.Second
	refused := &vendorapi.LoginError{Code: "1116"}
	d := &delivery{stored: time.Now().Add(-time.Hour)}
	for name, c := range map[string]struct {
		err  error
		want time.Duration
	}{
		"any error of an old request":           {errors.New("x"), lastDelay},
		"a pause that the vendor asked for":     {&vendorapi.Error{Verdict: vendorapi.Throttled, RetryAfter: wait}, wait - claimLead},
		"credentials of this replica":           {&vendorapi.Error{Verdict: vendorapi.NotSent, RetryAfter: wait, Err: refused}, shortestCooldown},
		"the same, with the claim not released": {fmt.Errorf("%w; release the claim: x", &vendorapi.Error{RetryAfter: wait, Err: refused}), shortestCooldown},
		"another owner":                         {errTakenOver, firstLookup},
		"a stop":                                {errStopping, 0},
	} {
		if s := redeliver(d, c.err); s.verb != nak || s.delay != c.want {
			t.Errorf("%s: verb %v after %s, want %s", name, s.verb, s.delay, c.want)
		}
	}
}
