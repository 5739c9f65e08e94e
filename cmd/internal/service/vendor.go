package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console/page"
	"backhaul/cmd/internal/logins"
	"backhaul/cmd/internal/telemetry"
	"backhaul/consumer"
	"backhaul/consumer/budget"
	"backhaul/vendorapi"
)

// watchedVendor is the vendor's client with its retries. It remembers whether the vendor
// answers, from the calls that are made anyway: extra calls would use up its rate limits.
type watchedVendor struct {
	consumer.Vendor
	client   *vendorapi.Client
	observer *telemetry.Vendor
	budget   *budget.Budget // nil for none

	mu    sync.Mutex
	asked bool      // whether a call was answered or failed
	since time.Time // of the trouble
	err   error     // the last call's, nil when it was answered
}

// newVendor returns a client that shares refused logins in store, and its writing calls in allowance
// unless that is nil.
func newVendor(cfg *config.Config, owner string, store *logins.Store, allowance *budget.Budget, observer *telemetry.Vendor) (*watchedVendor, error) {
	settings := cfg.Vendor.Client(cfg.Work.MaxInFlight)
	v := &watchedVendor{observer: observer, budget: allowance}
	settings.Observer = attempts{Vendor: observer, note: v.note}
	settings.Auth.Logins, settings.Auth.Process = store, owner
	if allowance != nil {
		settings.Pace.Budget = allowance
	}
	client, err := vendorapi.New(settings)
	if err != nil {
		return nil, &config.Error{Problems: []string{err.Error()}}
	}
	v.client, v.Vendor = client, &vendorapi.Retrier{Client: client, Policy: vendorapi.Policy{
		Budget: cfg.Vendor.RetryBudget, AttemptTimeout: cfg.Vendor.Timeout, CapacityWait: consumer.CapacityWait, LookupAfter: cfg.Vendor.LookAfter,
	}}
	return v, nil
}

// attempts notes what an attempt says of the vendor while it is repeated, which may take minutes.
type attempts struct {
	*telemetry.Vendor
	note func(context.Context, error)
}

func (a attempts) Wait(ctx context.Context, w vendorapi.Wait) {
	a.Vendor.Wait(ctx, w)
	if e, ok := errors.AsType[*vendorapi.Error](w.Err); ok && e.Verdict != vendorapi.Throttled {
		a.note(ctx, e)
	}
}

// close ends the session at the vendor.
func (v *watchedVendor) close(ctx context.Context) error {
	v.client.Close(ctx)
	return nil
}

// forPage returns what the console page shows of the vendor. startsPerHour is the limit of
// starts, 0 for none.
func (v *watchedVendor) forPage(startsPerHour int) page.Vendor {
	shown := page.Vendor{Trouble: v.trouble, Remark: v.remark, Cooldown: func() vendorapi.Cooldown {
		_, cooldown := v.client.Capacity(1)
		return cooldown
	}, StartsPerHour: startsPerHour}
	if v.budget != nil {
		shown.Budget = func() (budget.View, error) {
			view, _ := v.budget.View()
			return view, v.budget.Trouble()
		}
	}
	return shown
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
	case isLogin(err): // no call was accepted
	case ofVendor && (e.Verdict == vendorapi.Refused || e.Verdict == vendorapi.AuthRefused):
		err = nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = true
	if v.err == nil {
		v.since = time.Now()
	}
	v.err = err
}

func isLogin(err error) bool {
	_, ok := errors.AsType[*vendorapi.LoginError](err)
	return ok
}

// trouble returns why the vendor cannot be used at the moment, nil if it can. While the vendor
// refuses the credentials no call is made, so what the last call said is out of date.
func (v *watchedVendor) trouble() error {
	var login error
	if v.client != nil {
		login = v.client.LoginTrouble()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case login != nil && v.err == nil:
		return login
	case v.err == nil:
		return nil
	}
	return fmt.Errorf("since %s: %w", v.since.UTC().Format(time.RFC3339), v.err)
}

// notAsked is the state of a vendor before the first call.
const notAsked = "not asked yet"

// remark returns [notAsked] before the first call, else "".
func (v *watchedVendor) remark() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.asked {
		return ""
	}
	return notAsked
}

// Logout closes a client in bounded time, also after the end of ctx.
func Logout(ctx context.Context, client *vendorapi.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTimeout)
	defer cancel()
	client.Close(ctx)
}
