package service

import (
	"context"
	"errors"
	"testing"
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
		if got := v.remark(); v.since.IsZero() && got != notAsked {
			t.Errorf("before the first call: %q", got)
		}
		v.note(t.Context(), call.err)
		if got := v.remark(); got != call.want || (v.trouble() != nil) != call.hasTrouble {
			t.Errorf("after %v: %q, trouble %v", call.err, got, v.trouble())
		}
	}
}

// An attempt that is repeated is known before the last one ends, unless the vendor only throttles.
func TestWatchedVendor_attempts(t *testing.T) {
	t.Parallel()
	v := &watchedVendor{}
	observer := attempts{Vendor: &telemetry.Vendor{Metrics: telemetry.NewMetrics(telemetry.Build{})}, note: v.note}
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
