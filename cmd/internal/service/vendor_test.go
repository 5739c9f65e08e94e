package service

import (
	"errors"
	"testing"

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
