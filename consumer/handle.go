package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backhaul/consumer/scope"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// Vendor is the part of vendorapi that a request needs.
type Vendor interface {
	// Submit starts the job, repeating what certainly started none.
	Submit(ctx, waits context.Context, t vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error)
	// Find looks for a job that was started with the task's marker.
	Find(ctx context.Context, t vendorapi.Task, since time.Time) (vendorapi.Found, error)
	// Capacity returns how many jobs may be started now, n at most. If none, cooldown is
	// why and for how long.
	Capacity(n int) (capacity int, cooldown vendorapi.Cooldown)
}

// handler processes requests from their delivery to an outcome on record.
type handler struct {
	cfg      Config
	ledger   *ledger
	vendor   Vendor
	pub      *publisher.Publisher
	inFlight *inFlight
	scopes   *scope.Watch
	turns    turns
	// unclear has the last request that was sent repeatedly.
	unclear unclear
	// ahead limits the requests at the vendor, and those that are claimed before.
	ahead *ahead
}

// errStopping ends work because the process stops. It does not count as a failed attempt.
var errStopping = errors.New("the process is stopping")

// handle processes one delivery and returns its settlement. The order of the steps is the
// guarantee: the package documentation lists what happens after a crash at each. Work in
// flight ends with ctx. Once stop has ended, no new attempt begins.
func (h *handler) handle(ctx, stop context.Context, d *delivery) settlement {
	req, decodeErr := h.decode(ctx, d)
	return h.once(ctx, d, req, func(ctx context.Context) settlement {
		ticket := h.ahead.enter(stop)
		if ticket == nil {
			return redeliver(d, errStopping)
		}
		defer ticket.leave()
		if s, admitted := h.admit(ctx, d, req, decodeErr); !admitted {
			return s
		}
		ctx, end, s, reserved := h.reserve(ctx, d, req)
		if !reserved {
			return s
		}
		defer end()
		got, err := h.claim(ctx, d, req, ticket)
		defer got.claim.end()
		if err != nil || got.result != claimMine {
			return h.unclaimed(ctx, d, req, got, err)
		}
		outcome, err := h.submit(ctx, stop, got.claim, ticket)
		if err != nil {
			return h.releaseClaim(ctx, d, got.claim, err)
		}
		return h.announce(ctx, d, got.claim, outcome)
	})
}

// decode reads a delivery. With any error the request has a key, and what could be read. The
// error is a [*schemas.InvalidError] if it is not a valid request.
func (h *handler) decode(ctx context.Context, d *delivery) (*request, error) {
	defer h.inFlight.read(d)()
	req, invalid := decode(d)
	if err := h.ledger.place(ctx, d, req); err != nil {
		return req, err
	}
	return req, invalid
}

// once calls work, unless the request is in flight already: then the delivery attaches to it
// and is settled with it. The observer sees both.
func (h *handler) once(ctx context.Context, d *delivery, req *request, work func(context.Context) settlement) settlement {
	if !h.inFlight.enter(req, d) {
		s := settlement{verb: attached, req: req}
		h.end(ctx, d, s)
		return s
	}
	ctx = h.begin(ctx, d, req)
	s := work(ctx)
	s.req = req
	h.settleAttached(ctx, req, d, s)
	h.end(ctx, d, s)
	return s
}

// admit reports whether the request may be claimed; if not, s settles it. A request is not
// claimed while the vendor takes none: a claim whose owner dies makes the next one wait.
func (h *handler) admit(ctx context.Context, d *delivery, req *request, decodeErr error) (s settlement, admitted bool) {
	if err := h.ledger.guard.err(); err != nil {
		return redeliverAfter(guardWait(err), err), false
	}
	if invalid, ok := errors.AsType[*schemas.InvalidError](decodeErr); ok {
		return h.refuse(ctx, d, req, invalid), false
	}
	if decodeErr != nil {
		return h.stuck(ctx, d, req, decodeErr), false
	}
	if s, paused := h.hold(ctx, d, req); paused {
		return s, false
	}
	if s, denied := h.deny(ctx, d, req); denied {
		return s, false
	}
	if capacity, cooldown := h.capacity(1); capacity == 0 && !h.tooOld(req) && !req.expired() {
		return redeliverAfter(0, fmt.Errorf("%w: %s, for another %s", errNoCapacity, cooldown.Reason, cooldown.For)), false
	}
	if s, waits := h.await(ctx, d, req); waits {
		return s, false
	}
	return settlement{}, true
}

// claim claims the request. If another owner has claimed it, claim looks for the job of that
// claim and may take the claim over. A picked request is left to its owner during the lease:
// replicas that pick meet at the same requests all the time, and each look may cost one of the
// scarce calls.
func (h *handler) claim(ctx context.Context, d *delivery, req *request, t *ticket) (claiming, error) {
	began := time.Now()
	got, err := h.ledger.claim(ctx, req)
	if err == nil && got.result == claimMine {
		h.ahead.took(&h.ahead.claim, time.Since(began))
	}
	if err != nil || got.result != claimHeld {
		return got, err
	}
	t.leave()
	if left := leaseLeft(got.last); d.picked() && left > 0 {
		got.wait = left
		return got, nil
	}
	return h.reconcileHeld(ctx, req, got.last)
}

// leaseLeft returns how long a claim lasts by this host's clock. It decides nothing but when
// the claim is looked at again.
func leaseLeft(last record) time.Duration {
	lease := time.Duration(last.event.(*schemas.JobSubmitting).LeaseMillis) * time.Millisecond
	return min(time.Until(last.stored.Add(lease)), lease)
}

// announce records the outcome of a claimed request.
func (h *handler) announce(ctx context.Context, d *delivery, c *claim, outcome schemas.Event) settlement {
	h.unclear.settled(c.req.key)
	s := h.record(ctx, d, c.req, c.sequence, outcome)
	if errors.Is(s.err, errForgotten) {
		return h.releaseClaim(ctx, d, c, s.err)
	}
	return s
}

// record records an outcome after the event with the sequence after, 0 for none. The record is
// also the announced event: one write, which succeeds once. A failed request is also kept as
// a dead letter.
func (h *handler) record(ctx context.Context, d *delivery, req *request, after uint64, outcome schemas.Event) settlement {
	if err := h.ledger.record(ctx, req, after, outcome); err != nil {
		return redeliver(d, fmt.Errorf("record %s: %w", outcome.Kind(), err))
	}
	if _, err := h.keepDeadLetter(ctx, d, req, outcome); err != nil {
		return redeliver(d, err)
	}
	return settlement{verb: ack, outcome: outcome, ours: true}
}

// refuse records that the message is not a valid request. Nothing was sent for it, so no
// claim is needed.
func (h *handler) refuse(ctx context.Context, d *delivery, req *request, invalid error) settlement {
	s, claimed := h.announceUnclaimed(ctx, d, req, h.failed(req, schemas.JobFailed{
		ErrorCode: schemas.CodeInvalidRequest, ErrorMessage: invalid.Error(), ErrorSource: schemas.ErrorSourceBackhaul,
	}))
	if claimed {
		return redeliver(d, fmt.Errorf("claimed by a version that could read it: %w", invalid))
	}
	return s
}

// announceUnclaimed records an outcome of a request for which nothing was sent. It writes
// only if the request has no event, so the outcome cannot contradict a job. claimed reports
// that this request has a claim and that nothing was written.
func (h *handler) announceUnclaimed(ctx context.Context, d *delivery, req *request, outcome schemas.Event) (s settlement, claimed bool) {
	s = h.record(ctx, d, req, 0, outcome)
	if !errors.Is(s.err, errTakenOver) {
		return s, false
	}
	last, err := h.ledger.last(ctx, req.key)
	if err != nil {
		return h.stuck(ctx, d, req, err), false
	}
	switch _, isClaim := last.event.(*schemas.JobSubmitting); {
	case !req.is(last.event.Requested()):
		return h.reject(ctx, d, req, last), false
	case isClaim:
		return settlement{}, true
	}
	return h.duplicate(ctx, d, req, last), false
}

// unclaimed settles a delivery whose request this process may not submit.
func (h *handler) unclaimed(ctx context.Context, d *delivery, req *request, got claiming, err error) settlement {
	switch {
	case got.claim != nil && errors.Is(err, errForgotten):
		return h.releaseClaim(ctx, d, got.claim, err)
	case err != nil:
		return h.stuck(ctx, d, req, fmt.Errorf("claim: %w", err))
	}
	switch got.result {
	case claimSettled:
		return h.duplicate(ctx, d, req, got.last)
	case claimReused:
		return h.reject(ctx, d, req, got.last)
	case claimFound:
		return h.record(ctx, d, req, got.last.sequence, got.outcome)
	case claimHeld, claimMine:
	}
	return redeliverAfter(got.wait, fmt.Errorf("%w by %s, for another %s", errClaimed, got.last.event.(*schemas.JobSubmitting).Owner, got.wait))
}

// stuck settles a delivery whose request can be neither claimed nor refused. It is redelivered
// until it is too old. Then it ends with an event under the key of its place in the stream,
// because nothing can be written under its own key. Its events may include a started job, so
// the outcome is unknown.
func (h *handler) stuck(ctx context.Context, d *delivery, req *request, err error) settlement {
	if _, ok := errors.AsType[*unreadableError](err); !ok || !h.tooOld(req) && !req.expired() {
		return redeliver(d, err)
	}
	event := h.unknown(req, 0, nil, fmt.Sprintf("gave up: %v", err))
	recordErr := h.ledger.recordAlone(ctx, d, req, event)
	if recordErr != nil && !errors.Is(recordErr, errTakenOver) { // errTakenOver: recorded before a crash
		return redeliver(d, errors.Join(err, fmt.Errorf("record %s: %w", event.Kind(), recordErr)))
	}
	if _, err := h.keepDeadLetter(ctx, d, req, event); err != nil {
		return redeliver(d, err)
	}
	return settlement{verb: ack, outcome: event, ours: true}
}

// duplicate settles a delivery whose outcome is on record. If the outcome is about this
// message, its owner may have died before it kept the dead letter.
func (h *handler) duplicate(ctx context.Context, d *delivery, req *request, last record) settlement {
	first := false
	if last.event.Requested().RequestedAt.Equal(req.message.RequestedAt) {
		var err error
		if first, err = h.keepDeadLetter(ctx, d, req, last.event); err != nil {
			return redeliver(d, err)
		}
	}
	// Replicas that pick may all find a cancellation: the first one to keep the dead letter counts.
	return settlement{verb: ack, outcome: last.event, ours: first && isCancelled(last.event)}
}

// reject records that the request's id belongs to another request. The event is about this
// message only, so its key is the message's place in the stream, not the id.
func (h *handler) reject(ctx context.Context, d *delivery, req *request, first record) settlement {
	event := &schemas.RequestRejected{
		Naming:  req.Naming(d.source),
		Message: req.message,
		First:   first.event.Requested(),
		Reason: fmt.Sprintf("request id %q was used by a request of %s with other content",
			req.RequestID, first.event.Requested().RequestedAt.Format(time.RFC3339)),
		RejectedAt: time.Now().UTC(),
	}
	err := h.ledger.recordAlone(ctx, d, req, event)
	if err != nil && !errors.Is(err, errTakenOver) { // errTakenOver: recorded before a crash
		return redeliver(d, fmt.Errorf("record %s: %w", event.Kind(), err))
	}
	if _, err := h.keepDeadLetter(ctx, d, req, event); err != nil {
		return redeliver(d, err)
	}
	return settlement{verb: ack, outcome: event, ours: true}
}

// keepDeadLetter keeps the message as a dead letter if its outcome is a failure or a rejection.
// first reports whether it was not kept before.
func (h *handler) keepDeadLetter(ctx context.Context, d *delivery, req *request, outcome schemas.Event) (first bool, err error) {
	code, reason, failed := failureOf(outcome)
	if !failed {
		return false, nil
	}
	return h.pub.KeepDeadLetter(ctx, publisher.DeadLetter{
		Subject: d.msg.Subject, Header: schemas.Header(d.msg.Header), Data: d.msg.Data,
		Key: req.key, RequestID: req.RequestID, Sequence: d.sequence, Time: d.stored, Code: code, Reason: reason,
	})
}

// settleAttached settles the deliveries that attached to d. A copy of the request is
// acknowledged if the request has its outcome. All others are redelivered and find the outcome
// on record: other content under the same id, or the message that the outcome is about, whose
// dead letter may be missing after a crash.
func (h *handler) settleAttached(ctx context.Context, req *request, d *delivery, s settlement) {
	for _, other := range h.inFlight.leave(req.key, d) {
		if s.verb == ack && s.outcome.Kind().Terminal() && other.req.isCopy(s.outcome.Requested()) {
			other.ack()
			h.endCopy(ctx, other.delivery, s)
		} else {
			other.nak(s.delay)
		}
	}
}

// releaseClaim releases the claim of a request, with its doubt, and returns a redelivery. A
// claim that another owner took over is left as it is. If the ledger has forgotten the claim,
// the request is put in doubt.
func (h *handler) releaseClaim(ctx context.Context, d *delivery, c *claim, err error) settlement {
	if errors.Is(err, errTakenOver) {
		return redeliver(d, err)
	}
	// The release outlives the work's context, which may be what has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	releaseErr := err
	s := redeliver(d, err)
	if !errors.Is(err, errStopping) {
		c.trouble = trouble{err: err, next: h.nextTry(err, s.delay).Truncate(time.Millisecond).UTC()}
	}
	if !errors.Is(err, errForgotten) {
		releaseErr = h.ledger.release(ctx, c)
	}
	if errors.Is(releaseErr, errForgotten) {
		releaseErr = h.ledger.redoubt(ctx, c)
	}
	if releaseErr != nil {
		err = errors.Join(err, fmt.Errorf("release the claim: %w", releaseErr))
	}
	return redeliver(d, err)
}

// releaseTimeout bounds the write that releases a claim.
const releaseTimeout = 3 * time.Second
