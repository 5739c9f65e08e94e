package consumer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
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

func TestNextTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(time.Minute)
		refused := &vendorapi.Error{Verdict: vendorapi.NotSent, Err: &vendorapi.LoginError{Until: until}}
		for name, c := range map[string]struct {
			cooldown time.Duration // 0: there is capacity
			err      error
			want     time.Duration
		}{
			"the delay of the redelivery": {0, errors.New("x"), time.Second},
			"an outage lasts longer":      {20 * time.Second, errors.New("x"), 20 * time.Second},
			"an outage ends before":       {time.Millisecond, errors.New("x"), time.Second},
			"refused credentials":         {30 * time.Second, refused, time.Minute},
		} {
			h := &handler{ledger: &ledger{}, vendor: cooling(c.cooldown)}
			if got := time.Until(h.nextTry(c.err, time.Second)); got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	})
}

// cooling is a vendor without capacity for a time.
type cooling time.Duration

func (c cooling) Capacity(n int) (int, vendorapi.Cooldown) {
	if c == 0 {
		return n, vendorapi.Cooldown{}
	}
	return 0, vendorapi.Cooldown{For: time.Duration(c), Reason: vendorapi.CooldownOutage}
}

func (cooling) Submit(context.Context, context.Context, vendorapi.Task, vendorapi.Permit) (vendorapi.Job, int, error) {
	panic("not asked")
}

func (cooling) Find(context.Context, vendorapi.Task, time.Time) (vendorapi.Found, error) {
	panic("not asked")
}
