package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backhaul/consumer/scope"
	"backhaul/schemas"
)

// pausedError is returned for a request of a scope that an operator has paused.
type pausedError struct{ scope.Pause }

func (e *pausedError) Error() string { return e.String() }

func isPaused(err error) bool {
	_, is := errors.AsType[*pausedError](err)
	return is
}

// hold settles a request of a paused scope. It waits unclaimed, until it is too old. A request that
// may have a job goes on.
func (h *handler) hold(ctx context.Context, d *delivery, req *request) (s settlement, paused bool) {
	p := h.scopes.Of(req.key.Source, &req.BackupRequest)
	if p == nil {
		return settlement{}, false
	}
	after, unsent, err := h.ledger.unsent(ctx, req)
	switch {
	case err != nil:
		return redeliver(d, err), true
	case !unsent:
		return settlement{}, false
	case h.tooOld(req) || req.expired():
		return h.record(ctx, d, req, after, h.tooLate(req, p.String(), 0)), true
	}
	s = redeliver(d, &pausedError{*p})
	s.delay = min(s.delay, max(time.Until(h.lastStart(req)), firstLookup))
	return s, true
}

// lastStart returns when a request that waits becomes too old.
func (h *handler) lastStart(req *request) time.Time {
	end := req.message.RequestedAt.Add(h.cfg.GiveUpAfter)
	if !req.NotAfter.IsZero() && req.NotAfter.Before(end) {
		end = req.NotAfter
	}
	return end
}

// pausedDelay returns when a request of a paused scope is looked at again. The picker keeps few of
// them, so they can be looked at more often.
func pausedDelay(d *delivery) time.Duration {
	if d.picked() {
		return pausedAgain
	}
	return turnDelay(time.Since(d.stored))
}

// pausedAgain is how long after a change of the pauses what the picker knows is read again.
const pausedAgain = 5 * time.Second

// waitsPaused returns when the request of a message of a paused scope becomes too old to wait. The
// result is zero if it does not wait: its scope is not paused, it may have a job, or it is invalid.
func (h *handler) waitsPaused(ctx context.Context, d *delivery) (time.Time, error) {
	req, invalid := decode(d)
	if invalid != nil || h.scopes.Of(d.source, &req.BackupRequest) == nil {
		return time.Time{}, nil
	}
	if err := h.ledger.place(ctx, d, req); err != nil {
		return time.Time{}, err
	}
	_, unsent, err := h.ledger.unsent(ctx, req)
	if err != nil || !unsent {
		return time.Time{}, err
	}
	return h.lastStart(req), nil
}

// unsent reports whether nothing was sent for a request: it has no event, or a claim that was
// released without a doubt. after is the sequence of that claim, 0 without one.
func (l *ledger) unsent(ctx context.Context, req *request) (after uint64, unsent bool, err error) {
	own, _, err := l.lastOwn(ctx, req.key.Filter())
	if err != nil || own == nil {
		return 0, err == nil, err
	}
	last, err := recordOf(own)
	if err != nil {
		return 0, false, nil // the claim says what is wrong
	}
	c, isClaim := last.event.(*schemas.JobSubmitting)
	if !isClaim || !req.is(c.Requested()) || c.LeaseMillis > 0 || c.DoubtSequence != 0 || c.DoubtTaskID != "" {
		return 0, false, nil
	}
	return last.sequence, true, nil
}

// Paused returns the scopes that are paused, as this process knows them.
func (c *Consumer) Paused() []scope.Pause { return c.scopes.Pauses() }

// PausedNote returns which scopes are paused in a few words, "" if none is.
func (c *Consumer) PausedNote() string {
	switch all := c.Paused(); len(all) {
	case 0:
		return ""
	case 1:
		return all[0].String()
	default:
		return fmt.Sprintf("%d scopes are paused, the first: %s", len(all), all[0])
	}
}

// Scopes returns why it is not known which scopes are paused, nil if it is.
func (c *Consumer) Scopes() error { return c.scopes.Trouble() }
