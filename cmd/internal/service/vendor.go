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
	tried time.Time // when the last attempt that failed is repeated, as far as it is known
	// starts are the attempts at CreateTask, lookups those at finding a job.
	starts, lookups attemptsOf
}

// attemptsOf is what came of the last attempts of a kind.
type attemptsOf struct {
	since time.Time // of the trouble
	at    time.Time // of the last attempt
	err   error     // the last attempt's, nil when it was answered
}

func (a *attemptsOf) note(err error) {
	a.at = time.Now()
	if a.err == nil {
		a.since = a.at
	}
	a.err = err
}

// startsKept is how long a failed start outweighs the lookups that are answered after it: a vendor
// may answer those and start nothing.
const startsKept = 2 * time.Minute

// newVendor returns a client that shares refused logins in store, and its writing calls in allowance
// unless that is nil.
func newVendor(cfg *config.Config, owner string, store *logins.Store, allowance *budget.Budget, observer *telemetry.Vendor) (*watchedVendor, error) {
	settings := cfg.Vendor.Client(cfg.Work.MaxInFlight)
	v := &watchedVendor{observer: observer, budget: allowance}
	settings.Observer = attempts{Vendor: observer, wait: v.repeated}
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
	wait func(context.Context, vendorapi.Wait)
}

func (a attempts) Wait(ctx context.Context, w vendorapi.Wait) {
	a.Vendor.Wait(ctx, w)
	a.wait(ctx, w)
}

// repeated notes an attempt at CreateTask that is repeated. A vendor that only throttles answers.
func (v *watchedVendor) repeated(ctx context.Context, w vendorapi.Wait) {
	if e, ok := errors.AsType[*vendorapi.Error](w.Err); ok && e.Verdict != vendorapi.Throttled {
		v.note(ctx, &v.starts, e)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.tried = time.Now().Add(w.For)
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
	shown := page.Vendor{Trouble: v.trouble, Remark: v.remark, Cooldown: v.cooldown, Next: v.next, StartsPerHour: startsPerHour}
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
	v.note(ctx, &v.starts, err)
	return job, attempts, err
}

func (v *watchedVendor) Find(ctx context.Context, t vendorapi.Task, since time.Time) (vendorapi.Found, error) {
	ctx, end := v.observer.FindJob(ctx)
	found, err := v.Vendor.Find(ctx, t, since)
	end(found, err)
	v.note(ctx, &v.lookups, err)
	return found, err
}

// note keeps what a call says about the vendor. A call that we ended, or that was
// never made, says nothing; one that was refused was answered.
func (v *watchedVendor) note(ctx context.Context, kind *attemptsOf, err error) {
	e, ofVendor := errors.AsType[*vendorapi.Error](err)
	switch {
	case ctx.Err() != nil, err != nil && !ofVendor:
		return
	case isLogin(err): // no call was accepted
	case ofVendor && e.NotAsked():
		return
	case ofVendor && (e.Verdict == vendorapi.Refused || e.Verdict == vendorapi.AuthRefused):
		err = nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = true
	kind.note(err)
	if err != nil {
		return
	}
	v.lookups.note(nil)
	if kind == &v.lookups && time.Since(v.starts.at) > startsKept && v.cooldown().For <= 0 {
		v.starts.note(nil)
	}
}

// cooldown returns how long no job may be started.
func (v *watchedVendor) cooldown() vendorapi.Cooldown {
	if v.client == nil {
		return vendorapi.Cooldown{}
	}
	_, cooldown := v.client.Capacity(1)
	return cooldown
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
	last := v.starts
	if last.err == nil {
		last = v.lookups
	}
	switch {
	case last.err != nil:
		return fmt.Errorf("since %s: %w", last.since.UTC().Format(time.RFC3339), last.err)
	case login != nil:
		return login
	}
	return nil
}

// next returns when a job may be started again, or when an attempt that failed is repeated. It is
// zero if that is now, or not known.
func (v *watchedVendor) next() time.Time {
	cooldown := v.cooldown()
	if cooldown.Reason == vendorapi.CooldownLogin {
		// The wait is that for looking whether the credentials were replaced.
		refused, _ := errors.AsType[*vendorapi.LoginError](v.client.LoginTrouble())
		if refused == nil || refused.Until.IsZero() {
			return time.Time{}
		}
		return refused.Until.UTC().Truncate(time.Second)
	}
	now := time.Now()
	next := now.Add(cooldown.For)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.starts.err != nil && v.tried.After(next) {
		next = v.tried
	}
	if !next.After(now) {
		return time.Time{}
	}
	return next.UTC().Truncate(time.Second)
}

// waits returns why no job may be started although the vendor answers, and [notAsked] before the
// first call; else "".
func (v *watchedVendor) waits() string {
	if cooldown := v.cooldown(); cooldown.For > 0 {
		return cooldown.Reason.Text()
	}
	return v.remark()
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
