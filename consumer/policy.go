package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
)

// Policy says which requests are allowed. It is asked by many goroutines at once,
// and again at each delivery of a request: it must not count one twice.
type Policy interface {
	// Allows is nil for a request that is allowed and a [*DeniedError] for one that
	// is not. With any other error it is not known yet, and asked again at a later
	// delivery. The request is normalised; requested is when JetStream stored it.
	Allows(ctx context.Context, key publisher.Key, r *schemas.BackupRequest, requested time.Time) error
}

// DeniedError ends a request as NOT_ALLOWED, with its text as the message.
type DeniedError struct {
	Reason string
	// Retryable: the same request may be allowed later.
	Retryable bool
}

func (e *DeniedError) Error() string { return e.Reason }

// deny ends a request that the policy does not allow. The policy decides only
// whether work begins: what was claimed before, under another policy or by a
// replica that has another, may have a job and goes on.
func (h *handler) deny(ctx context.Context, d *delivery, req *request) (s settlement, ended bool) {
	if h.cfg.Policy == nil {
		return settlement{}, false
	}
	err := h.cfg.Policy.Allows(ctx, req.key, &req.BackupRequest, req.message.RequestedAt)
	if err == nil {
		return settlement{}, false
	}
	denied, ok := errors.AsType[*DeniedError](err)
	if !ok {
		return redeliver(d, fmt.Errorf("policy: %w", err)), true
	}
	s, claimed := h.announceUnclaimed(ctx, d, req, h.failed(req, schemas.JobFailed{
		ErrorCode: schemas.CodeNotAllowed, ErrorMessage: denied.Reason,
		ErrorSource: schemas.ErrorSourceBackhaul, Retryable: denied.Retryable,
	}))
	return s, !claimed
}
