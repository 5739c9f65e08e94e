package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
)

// Policy decides which requests are allowed. It is called by many goroutines at once, and at
// each delivery of a request: it must count a request once.
type Policy interface {
	// Allows returns nil if the request is allowed and a [*DeniedError] if it is not. After
	// any other error the decision is open, and the request is redelivered. The request is
	// normalised. requested is when JetStream stored it.
	Allows(ctx context.Context, key publisher.Key, r *schemas.BackupRequest, requested time.Time) error
}

// DeniedError ends a request as NOT_ALLOWED with Reason as the message.
type DeniedError struct {
	Reason string
	// Retryable reports that the same request may be allowed later.
	Retryable bool
}

func (e *DeniedError) Error() string { return e.Reason }

// deny ends a request that the policy does not allow. The policy decides only whether work
// begins: a request that was claimed before, under another policy or by a replica with
// another one, may have a job and is not ended.
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
