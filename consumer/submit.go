package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backhaul/schemas"
	"backhaul/vendorapi"
)

// submit brings a claimed request to an outcome. An error means that there is none yet and
// that the request has to be tried again later.
func (h *handler) submit(ctx, stop context.Context, c *claim) (schemas.Event, error) {
	task := taskOf(c.req)
	began, attempts := time.Now(), 0
	var last error
	for round := 1; ; round++ {
		if c.inDoubt() {
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
		attempts += n
		switch {
		case err == nil:
			return h.started(c.req, job, attempts), nil
		case errors.Is(denied, errExpired):
			return h.expired(c.req, attempts), nil
		case denied != nil: // nothing was sent
			return nil, denied
		}
		outcome, left := h.judge(c, err, attempts)
		switch {
		case outcome != nil:
			return outcome, nil
		case !left.inDoubt():
			return nil, err
		}
		// There may be a job. From here on the claim says so, whoever owns it.
		c.doubt, last = left, err
		if left.unlikely && time.Until(left.until) > CapacityWait {
			return nil, last // the next owner looks for it
		}
		if err := h.ledger.renew(ctx, c); err != nil {
			return nil, err
		}
	}
}

// attempt submits the task while the claim holds. denied is why no attempt was permitted, or
// none more; then nothing is known to have been sent by it.
func (h *handler) attempt(ctx, stop context.Context, c *claim, task vendorapi.Task) (job vendorapi.Job, attempts int, err, denied error) {
	if !h.enterVendor(stop) {
		return vendorapi.Job{}, 0, errStopping, errStopping
	}
	defer h.leaveVendor()
	job, attempts, err = h.vendor.Submit(ctx, stop, task, func(ctx context.Context) (until time.Time, _ error) {
		until, denied = h.permit(ctx, stop, c)
		return until, denied
	})
	return job, attempts, err, denied
}

// enterVendor waits for a place at the vendor; it is false when the process
// stops first.
func (h *handler) enterVendor(stop context.Context) bool {
	select {
	case h.atVendor <- struct{}{}:
		return true
	case <-stop.Done():
		return false
	}
}

func (h *handler) leaveVendor() { <-h.atVendor }

// judge returns what a failed submission means: an outcome, or none yet and the doubt that the
// failure leaves.
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
		// It says that there is no job; one lookup after the wait makes sure of it.
		wait := max(e.RetryAfter, firstDelay)
		if h.tooOld(c.req) {
			wait = 0 // it will not be sent again
		}
		mayBe.until, mayBe.unlikely = time.Now().Add(wait), true
		return nil, mayBe
	case e.Verdict == vendorapi.Refused:
		return h.failed(c.req, schemas.JobFailed{
			ErrorCode: e.Code, ErrorLogCode: vendorapi.LogCode(e.Code), ErrorMessage: e.Message,
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

func (h *handler) tooOld(req *request) bool {
	return time.Since(req.message.RequestedAt) >= h.cfg.GiveUpAfter
}

// errExpired says that the request's notAfter has passed.
var errExpired = errors.New("the request's notAfter has passed")

// permit allows one attempt, until the end of the lease. A lease that would end
// before a whole attempt is renewed first.
func (h *handler) permit(ctx, stop context.Context, c *claim) (time.Time, error) {
	switch {
	case stop.Err() != nil:
		return time.Time{}, errStopping
	case c.req.expired():
		return time.Time{}, errExpired
	}
	// Half of what the lease has beyond an attempt is for the way of the last
	// byte to the vendor.
	lease := h.cfg.lease()
	margin := (lease - h.cfg.AttemptTimeout) / 2
	if time.Since(c.taken) > margin {
		if err := h.ledger.renew(ctx, c); err != nil {
			return time.Time{}, err
		}
	}
	return c.taken.Add(lease - margin), nil
}

// Pauses between two looks for a job that may exist.
const (
	firstLookup = 250 * time.Millisecond
	lastLookup  = 10 * time.Second
)

// reconcile looks for the job of a request in doubt until it is found or cannot exist any
// more. It returns the outcome, or that there is no job and the request may be sent again, or
// the error for which to try again later.
func (h *handler) reconcile(ctx, stop context.Context, c *claim, task vendorapi.Task, attempts int) (outcome schemas.Event, sendAgain bool, err error) {
	for pause := firstLookup; ; pause = min(pause+pause/2, lastLookup) {
		// Said before the look: what was not to be seen when it began may be seen at
		// its end.
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
				fmt.Sprintf("the vendor made the task %s and named no job; none is to be seen, but the task may start one later", c.task)), false, nil
		case err == nil && over && h.cfg.InDoubt == InDoubtFail && !c.unlikely:
			return h.unknown(c.req, attempts, nil, "the vendor's answer was lost and no job is to be seen"), false, nil
		case err == nil && over:
			c.doubt = doubt{}
			// The lease begins again without the doubt, before anything is sent.
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

// hold waits for d and keeps the claim meanwhile.
func (h *handler) keepClaim(ctx, stop context.Context, c *claim, d time.Duration) error {
	lease := h.cfg.lease()
	for end := time.Now().Add(d); ; {
		rest := min(time.Until(end), lease/4)
		if rest <= 0 {
			return nil
		}
		if !sleep(stop, rest) {
			return errStopping
		}
		if time.Since(c.taken) > lease/2 {
			if err := h.ledger.renew(ctx, c); err != nil {
				return err
			}
		}
	}
}

// reconcileHeld deals with another owner's claim. If the vendor shows the job, it is ours to
// announce, whether the owner is alive or not: claimFound. Otherwise the claim is taken over
// once its lease and the visibility window have passed, by the server's clock: claimMine.
// Before that it is claimHeld.
func (h *handler) reconcileHeld(ctx context.Context, req *request, last record) (claiming, error) {
	d, err := h.ledger.doubtOf(ctx, last)
	if err != nil {
		return claiming{}, err
	}
	// Read before the lookup, as in reconcile.
	over := !time.Now().Before(d.until)
	found, lookupErr := h.vendor.Find(ctx, taskOf(req), d.since)
	if lookupErr == nil && found.Job.ID != "" {
		return claiming{result: claimFound, last: last, outcome: h.started(req, found.Job, 0)}, nil
	}
	if rest := time.Until(d.until); rest > 0 {
		return claiming{result: claimHeld, last: last, wait: min(max(rest/2, firstLookup), rest, lastLookup)}, nil
	}
	if lookupErr == nil && over && len(found.Candidates) == 0 && d.task == "" && h.cfg.InDoubt == InDoubtReconcile {
		d = doubt{} // there is no job; need not be found out again
	}
	return h.ledger.takeOver(ctx, req, last, d)
}

func taskOf(req *request) vendorapi.Task {
	return vendorapi.Task{BackupRequest: req.BackupRequest, Marker: req.key.Marker()}
}

func (h *handler) started(req *request, job vendorapi.Job, attempts int) schemas.Event {
	return &schemas.JobStarted{
		Naming: req.Naming(req.key.Source), Message: req.message,
		JobID: job.ID, JobIDs: job.IDs, TaskID: job.TaskID,
		Attempts: attempts, StartedAt: time.Now().UTC(), Adopted: job.Found,
	}
}

// failed completes a failure with what it is about.
func (h *handler) failed(req *request, e schemas.JobFailed) schemas.Event {
	e.Naming, e.Message, e.FailedAt = req.Naming(req.key.Source), req.message, time.Now().UTC()
	return &e
}

// gaveUp ends a request that is too old, for the reason that kept it so long.
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

func (h *handler) expired(req *request, attempts int) schemas.Event {
	return h.failed(req, schemas.JobFailed{
		ErrorCode: schemas.CodeExpired, ErrorMessage: fmt.Sprintf("not started by %s", req.NotAfter.Format(time.RFC3339)),
		ErrorSource: schemas.ErrorSourceBackhaul, Attempts: attempts,
	})
}

func (h *handler) unknown(req *request, attempts int, candidates []string, text string) schemas.Event {
	return h.failed(req, schemas.JobFailed{
		ErrorCode: schemas.CodeOutcomeUnknown, ErrorMessage: text,
		ErrorSource: schemas.ErrorSourceBackhaul, Attempts: attempts, Candidates: candidates,
	})
}
