package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"backhaul/cmd/internal/telemetry"
	"backhaul/consumer"
	"backhaul/vendorapi"
)

// watchedVendor remembers how the vendor fares, from the calls that are made
// anyway: to ask it only to know would use up its rate limits.
type watchedVendor struct {
	consumer.Vendor
	observer *telemetry.Vendor

	mu    sync.Mutex
	since time.Time // of the trouble
	err   error     // the last call's, nil when it was answered
}

func (v *watchedVendor) Submit(ctx, waits context.Context, t vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
	job, attempts, err := v.Vendor.Submit(ctx, waits, t, permit)
	v.note(ctx, err)
	return job, attempts, err
}

func (v *watchedVendor) Find(ctx context.Context, t vendorapi.Task, since time.Time) (vendorapi.Found, error) {
	ctx, end := v.observer.FindJob(ctx)
	found, err := v.Vendor.Find(ctx, t, since)
	end(found, err)
	v.note(ctx, err)
	return found, err
}

// note keeps what a call says about the vendor. A call that we ended, or that was
// never made, says nothing; one that was refused was answered.
func (v *watchedVendor) note(ctx context.Context, err error) {
	e, ofVendor := errors.AsType[*vendorapi.Error](err)
	switch {
	case ctx.Err() != nil, err != nil && !ofVendor:
		return
	case ofVendor && (e.Verdict == vendorapi.Refused || e.Verdict == vendorapi.AuthRefused):
		err = nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		v.since = time.Now()
	}
	v.err = err
}

// trouble is why the vendor is of no use at the moment, nil if it is.
func (v *watchedVendor) trouble() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		return nil
	}
	return fmt.Errorf("since %s: %w", v.since.UTC().Format(time.RFC3339), v.err)
}
