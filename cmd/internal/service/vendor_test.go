package service

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/cmd/internal/telemetry"
	"backhaul/vendorapi"
)

// Before the first call it is not known whether the vendor answers.
func TestWatchedVendor_remark(t *testing.T) {
	t.Parallel()
	v := &watchedVendor{}
	for _, call := range []struct {
		err        error
		want       string
		hasTrouble bool
	}{
		{errors.New("the policy does not allow it"), notAsked, false}, // not a call
		{&vendorapi.Error{Verdict: vendorapi.NotSent}, "", true},
		{nil, "", false},
		{&vendorapi.Error{Verdict: vendorapi.AuthRefused, Err: &vendorapi.LoginError{Code: "5"}}, "", true},
		{&vendorapi.Error{Verdict: vendorapi.AuthRefused}, "", false}, // answered: this job only
	} {
		if got := v.remark(); !v.asked && got != notAsked {
			t.Errorf("before the first call: %q", got)
		}
		v.note(t.Context(), &v.starts, call.err)
		if got := v.remark(); got != call.want || (v.trouble() != nil) != call.hasTrouble {
			t.Errorf("after %v: %q, trouble %v", call.err, got, v.trouble())
		}
	}
}

// An attempt that is repeated is known before the last one ends, unless the vendor only throttles.
func TestWatchedVendor_attempts(t *testing.T) {
	t.Parallel()
	v := &watchedVendor{}
	observer := attempts{Vendor: &telemetry.Vendor{Metrics: telemetry.NewMetrics(telemetry.Build{})}, wait: v.repeated}
	wait := func(err error) { observer.Wait(t.Context(), vendorapi.Wait{For: time.Second, Err: err}) }
	wait(nil)
	wait(&vendorapi.Error{Verdict: vendorapi.Throttled})
	if got := v.remark(); got != notAsked || v.trouble() != nil {
		t.Errorf("throttled: %q, trouble %v", got, v.trouble())
	}
	ended, end := context.WithCancel(t.Context())
	end()
	observer.Wait(ended, vendorapi.Wait{Err: &vendorapi.Error{Verdict: vendorapi.NotSent}})
	if v.trouble() != nil {
		t.Errorf("a call that we ended: %v", v.trouble())
	}
	wait(&vendorapi.Error{Verdict: vendorapi.NotSent})
	if got := v.remark(); got != "" || v.trouble() == nil {
		t.Errorf("not sent: %q, trouble %v", got, v.trouble())
	}
}

// A vendor that answers lookups and starts nothing is in trouble since its first failure.
func TestWatchedVendor_startsFailLookupsDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &watchedVendor{}
		start := &vendorapi.Error{Verdict: vendorapi.Throttled, Status: 503}
		v.note(t.Context(), &v.starts, start)
		first := v.trouble().Error()
		for range 3 {
			time.Sleep(startsKept / 2) //nolint:forbidigo // the bubble's time
			v.note(t.Context(), &v.lookups, nil)
			v.note(t.Context(), &v.starts, start)
		}
		if got := v.trouble(); got == nil || got.Error() != first {
			t.Errorf("after lookups that were answered: %v, want %s", got, first)
		}
		time.Sleep(startsKept) //nolint:forbidigo // the bubble's time
		v.note(t.Context(), &v.lookups, nil)
		if got := v.trouble(); got == nil {
			t.Error("the failure is forgotten too soon")
		}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		v.note(t.Context(), &v.lookups, nil)
		if got := v.trouble(); got != nil {
			t.Errorf("nothing was started for long, and lookups are answered: %v", got)
		}
		v.note(t.Context(), &v.lookups, &vendorapi.Error{Verdict: vendorapi.Unknown, Status: 500})
		if got := v.trouble(); got == nil || !strings.Contains(got.Error(), "HTTP 500") {
			t.Errorf("a lookup that failed: %v", got)
		}
		v.note(t.Context(), &v.starts, nil)
		if got := v.trouble(); got != nil {
			t.Errorf("a start that was answered: %v", got)
		}
	})
}

// A failed attempt says when it is repeated, until it succeeds.
func TestWatchedVendor_next(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &watchedVendor{}
		if next := v.next(); !next.IsZero() {
			t.Errorf("before the first call: %s", next)
		}
		v.repeated(t.Context(), vendorapi.Wait{For: 10 * time.Second, Err: &vendorapi.Error{Verdict: vendorapi.NotSent}})
		if next := v.next(); !next.Equal(time.Now().Add(10 * time.Second)) {
			t.Errorf("the next try is at %s", next)
		}
		time.Sleep(10 * time.Second) //nolint:forbidigo // the bubble's time
		if next := v.next(); !next.IsZero() {
			t.Errorf("a try that is due: %s", next)
		}
		v.repeated(t.Context(), vendorapi.Wait{For: 10 * time.Second, Err: &vendorapi.Error{Verdict: vendorapi.NotSent}})
		v.note(t.Context(), &v.starts, nil)
		if next := v.next(); !next.IsZero() {
			t.Errorf("after an answer: %s", next)
		}
	})
}
