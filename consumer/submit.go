package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backhaul/consumer/internal/sleep"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// submit starts the job of a claimed request and returns its outcome. After an error there is
// none yet, and the request must be redelivered. The ticket is given back with the first attempt.
func (h *handler) submit(ctx, stop context.Context, c *claim, t *ticket) (schemas.Event, error) {
	task := taskOf(c.req)
	began, attempts := time.Now(), 0
	var last error
	for round := 1; ; round++ {
		if c.inDoubt() {
			t.leave()
			outcome, sendAgain, err := h.reconcile(ctx, stop, c, task, attempts)
			if !sendAgain {
				return outcome, err
			}
		}
		if round > 2 {
			h.unclear.note(c.req, attempts, last)
		}
		switch {
		case last == nil:
		case h.tooOld(c.req):
			return h.gaveUp(c.req, last, attempts), nil
		case round > 2 && time.Since(began) > lastDelay:
			return nil, last
		}
		job, n, err, denied := h.attempt(ctx, stop, c, task)
		t.leave()
		attempts += n
		switch {
		case err == nil:
			return h.started(c.req, job, attempts), nil
		case errors.Is(denied, errExpired):
			return h.expired(c.req, attempts), nil
		case denied != nil: // nothing was sent
			if waiting, ok := errors.AsType[*waitError](denied); ok && h.tooOld(c.req) {
				return h.tooLate(c.req, waiting.waited(), attempts), nil
			}
			return nil, denied
		}
		outcome, left := h.judge(c, err, attempts)
		switch {
		case outcome != nil:
			return outcome, nil
		case !left.inDoubt():
			return nil, err
		}
		// There may be a job. The renewed claim carries this doubt to the next owner.
		c.doubt, last, c.trouble = left, err, trouble{err: err}
		if left.unlikely && time.Until(left.until) > CapacityWait {
			return nil, last // the next owner looks for it
		}
		if err := h.ledger.renew(ctx, c); err != nil {
			return nil, err
		}
	}
}

// attempt submits the task during the lease of the claim. denied is why permit refused the last
// attempt: then that attempt sent nothing.
func (h *handler) attempt(ctx, stop context.Context, c *claim, task vendorapi.Task) (job vendorapi.Job, attempts int, err, denied error) {
	if !h.ahead.enterVendor(stop) {
		return vendorapi.Job{}, 0, errStopping, errStopping
	}
	defer h.ahead.leaveVendor()
	began := time.Now()
	job, attempts, err = h.vendor.Submit(ctx, stop, task, func(ctx context.Context) (until time.Time, _ error) {
		until, denied = h.permit(ctx, stop, c)
		return until, denied
	})
	h.ahead.took(&h.ahead.attempt, time.Since(began))
	return job, attempts, err, denied
}

// judge returns the outcome of a failed submission, or nil and the doubt that the failure
// leaves.
func (h *handler) judge(c *claim, err error, attempts int) (schemas.Event, doubt) {
	e, ok := errors.AsType[*vendorapi.Error](err)
	mayBe := doubt{under: c.sequence, since: c.taken}
	switch {
	case !ok, e.Verdict == vendorapi.Unknown:
		mayBe.until = time.Now().Add(h.cfg.VisibilityWindow)
		if ok {
			mayBe.task = e.TaskID
		}
		return nil, mayBe
	case e.LookupFirst():
		// The answer says that there is no job. One lookup after the wait verifies that.
		wait := max(e.RetryAfter, firstDelay)
		if h.tooOld(c.req) {
			wait = 0 // it will not be sent again
		}
		mayBe.until, mayBe.unlikely = time.Now().Add(wait), true
		return nil, mayBe
	case e.Verdict == vendorapi.Refused:
		return h.failed(c.req, schemas.JobFailed{
			ErrorCode: e.Code, ErrorLogCode: schemas.LogCode(e.Code), ErrorMessage: e.Message,
			ErrorSource: schemas.ErrorSourceVendor, Attempts: attempts,
		}), doubt{}
	case e.Verdict == vendorapi.AuthRefused:
		return h.failed(c.req, schemas.JobFailed{
			ErrorCode: schemas.CodeAuthFailed, ErrorMessage: "the vendor's user may not start this job: " + err.Error(),
			ErrorSource: schemas.ErrorSourceVendor, Attempts: attempts,
		}), doubt{}
	case h.tooOld(c.req):
		return h.gaveUp(c.req, err, attempts), doubt{}
	}
	return nil, doubt{}
}

// tooOld reports whether the request has reached the age at which it is given up.
func (h *handler) tooOld(req *request) bool {
	return time.Since(req.message.RequestedAt) >= h.cfg.GiveUpAfter
}

// errExpired is returned if the request's notAfter has passed.
var errExpired = errors.New("the request's notAfter has passed")

// permit permits one attempt and returns when it must end. A lease that could end before the
// attempt does is renewed first.
func (h *handler) permit(ctx, stop context.Context, c *claim) (time.Time, error) {
	switch {
	case stop.Err() != nil:
		return time.Time{}, errStopping
	case c.req.expired():
		return time.Time{}, errExpired
	}
	if p := h.scopes.Of(c.req.key.Source, &c.req.BackupRequest); p != nil {
		return time.Time{}, &pausedError{*p} // and there is no doubt now, so it waits in the pause
	}
	if err := h.takeTurn(ctx, c); err != nil {
		return time.Time{}, err
	}
	// Half of the lease beyond an attempt is reserved for the last byte's way to the
	// vendor.
	lease := h.cfg.lease()
	margin := (lease - h.cfg.AttemptTimeout) / 2
	if time.Since(c.taken) > margin {
		if err := h.ledger.renew(ctx, c); err != nil {
			return time.Time{}, err
		}
	}
	if err := c.entry.Sent(); err != nil {
		return time.Time{}, err
	}
	return c.taken.Add(lease - margin), nil
}

// Bounds of the pause between two lookups of a job.
const (
	firstLookup = 250 * time.Millisecond
	lastLookup  = 10 * time.Second
)

// reconcile looks up the job of a request in doubt until the job is found or cannot exist. It
// returns the outcome, or sendAgain if there is no job, or an error if the request must be
// redelivered.
func (h *handler) reconcile(ctx, stop context.Context, c *claim, task vendorapi.Task, attempts int) (outcome schemas.Event, sendAgain bool, err error) {
	for pause := firstLookup; ; pause = min(pause+pause/2, lastLookup) {
		// The time is read before the lookup: a job may become visible while it runs.
		over := !time.Now().Before(c.until)
		found, err := h.vendor.Find(ctx, task, c.since)
		wait := pause
		if rest := time.Until(c.until); rest > 0 {
			wait = min(wait, rest)
		}
		switch {
		case err == nil && found.Job.ID != "":
			return h.started(c.req, found.Job, attempts), false, nil
		case err == nil && over && len(found.Candidates) > 0:
			return h.unknown(c.req, attempts, found.Candidates,
				"the vendor's answer was lost; it lists jobs that may be this one and does not show their descriptions"), false, nil
		case err == nil && over && c.task != "":
			return h.unknown(c.req, attempts, nil,
				fmt.Sprintf("the vendor made the task %s and named no job; no job was found, but the task may still start one", c.task)), false, nil
		case err == nil && over && h.cfg.InDoubt == InDoubtFail && !c.unlikely:
			return h.unknown(c.req, attempts, nil, "the vendor's answer was lost and no job was found"), false, nil
		case err == nil && over:
			c.doubt = doubt{}
			// The claim is renewed without the doubt before anything is sent.
			err := h.ledger.renew(ctx, c)
			return nil, err == nil, err
		case err != nil && over && h.tooOld(c.req):
			return h.unknown(c.req, attempts, nil, fmt.Sprintf("gave up looking for the job after %s: %v", h.cfg.GiveUpAfter, err)), false, nil
		case err != nil && time.Since(c.until) > lastDelay:
			return nil, false, fmt.Errorf("look for the job: %w", err)
		case err != nil:
			if e, ok := errors.AsType[*vendorapi.Error](err); ok {
				wait = max(wait, e.RetryAfter)
			}
			if wait > lastDelay {
				return nil, false, fmt.Errorf("look for the job: %w", err)
			}
		}
		if err := h.keepClaim(ctx, stop, c, wait); err != nil {
			return nil, false, err
		}
	}
}

// keepClaim waits for d and renews the claim meanwhile.
func (h *handler) keepClaim(ctx, stop context.Context, c *claim, d time.Duration) error {
	lease := h.cfg.lease()
	for end := time.Now().Add(d); ; {
		rest := min(time.Until(end), lease/4)
		if rest <= 0 {
			return nil
		}
		if !sleep.For(stop, rest) {
			return errStopping
		}
		if time.Since(c.taken) > c.lease-lease/2 {
			if err := h.ledger.renew(ctx, c); err != nil {
				return err
			}
		}
	}
}

// reconcileHeld looks up the job of another owner's claim. If the vendor shows it, the result is
// claimFound: this process announces the job, whether the owner is alive or not. Otherwise
// the claim is taken over after its lease and the visibility window, by the server's clock,
// and the result is claimMine. Before that it is claimHeld.
func (h *handler) reconcileHeld(ctx context.Context, req *request, last record) (claiming, error) {
	d, err := h.ledger.doubtOf(ctx, last)
	if err != nil {
		return claiming{}, err
	}
	// The time is read before the lookup, as in reconcile.
	over := !time.Now().Before(d.until)
	found, lookupErr := h.vendor.Find(ctx, taskOf(req), d.since)
	if lookupErr == nil && found.Job.ID != "" {
		return claiming{result: claimFound, last: last, outcome: h.started(req, found.Job, 0)}, nil
	}
	if rest := time.Until(d.until); rest > 0 {
		return claiming{result: claimHeld, last: last, wait: min(max(rest/2, firstLookup), rest, lastLookup)}, nil
	}
	if lookupErr == nil && over && len(found.Candidates) == 0 && d.task == "" && h.cfg.InDoubt == InDoubtReconcile {
		d = doubt{} // there is no job, and the new claim says so
	}
	return h.ledger.takeOver(ctx, req, last, d)
}

func taskOf(req *request) vendorapi.Task {
	return vendorapi.Task{BackupRequest: req.BackupRequest, Marker: req.key.Marker()}
}

// started returns the event of a started or found job.
func (h *handler) started(req *request, job vendorapi.Job, attempts int) schemas.Event {
	return &schemas.JobStarted{
		Naming: req.Naming(req.key.Source), Message: req.message,
		JobID: job.ID, JobIDs: job.IDs, TaskID: job.TaskID,
		Attempts: attempts, StartedAt: time.Now().UTC(), Adopted: job.Found,
	}
}

// failed returns the failure with the request's names and message.
func (h *handler) failed(req *request, e schemas.JobFailed) schemas.Event {
	e.Naming, e.Message, e.FailedAt = req.Naming(req.key.Source), req.message, time.Now().UTC()
	return &e
}

// gaveUp returns the failure of a request that is too old. err is why it was not started.
func (h *handler) gaveUp(req *request, err error, attempts int) schemas.Event {
	code := schemas.CodeVendorUnavailable
	if _, ok := errors.AsType[*vendorapi.LoginError](err); ok {
		code = schemas.CodeAuthFailed
	}
	return h.failed(req, schemas.JobFailed{
		ErrorCode: code, ErrorMessage: fmt.Sprintf("gave up after %s: %v", h.cfg.GiveUpAfter, err),
		ErrorSource: schemas.ErrorSourceBackhaul, Retryable: true, Attempts: attempts,
	})
}

// expired returns the failure of a request whose notAfter has passed.
func (h *handler) expired(req *request, attempts int) schemas.Event {
	return h.failed(req, schemas.JobFailed{
		ErrorCode: schemas.CodeExpired, ErrorMessage: fmt.Sprintf("not started by %s", req.NotAfter.Format(time.RFC3339)),
		ErrorSource: schemas.ErrorSourceBackhaul, Attempts: attempts,
	})
}

// unknown returns the failure of a request whose outcome cannot be known.
func (h *handler) unknown(req *request, attempts int, candidates []string, text string) schemas.Event {
	return h.failed(req, schemas.JobFailed{
		ErrorCode: schemas.CodeOutcomeUnknown, ErrorMessage: text,
		ErrorSource: schemas.ErrorSourceBackhaul, Attempts: attempts, Candidates: candidates,
	})
}
