package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/budget"
)

// budgetStatus is the budget of writing calls that the replicas share.
type budgetStatus struct {
	// Error says why it is not to be seen; the rest is nil then.
	Error string `json:"error,omitempty"`
	*budget.View
}

// lookAtBudget returns the budget, nil if none was used. An error is part of the answer: roles of an
// earlier version do not permit the question, and the rest of the status does not depend on it.
func lookAtBudget(ctx context.Context, js jetstream.JetStream) (*budgetStatus, error) {
	view, err := lookAt(ctx, js, budget.Read)
	switch {
	case errors.Is(err, budget.ErrNone):
		return nil, nil
	case err != nil && ctx.Err() == nil:
		return &budgetStatus{Error: err.Error()}, nil
	case err != nil:
		return nil, err
	}
	return &budgetStatus{View: &view}, nil
}

func (s *budgetStatus) print(t table) {
	switch {
	case s == nil:
		return
	case s.Error != "":
		t.row("budget", s.Error)
		return
	}
	text := fmt.Sprintf("%d of %d writing calls spent in the last hour, %d left", s.Spent, s.Limit, s.Left)
	if !s.Next.IsZero() {
		text += ", the next at " + stamp(s.Next)
	}
	t.row("budget", text)
	shares := make([]string, 0, len(s.By))
	for _, by := range s.By {
		share := fmt.Sprintf("%d %s", by.Calls, by.Process)
		if by.Open > 0 {
			share += fmt.Sprintf(" (%d on their way)", by.Open)
		}
		shares = append(shares, share)
	}
	if len(shares) > 0 {
		t.row("  spent by", strings.Join(shares, ", "))
	}
	if !s.ClosedUntil.IsZero() {
		t.row("  closed", "the vendor refused a call because of its limit: until "+stamp(s.ClosedUntil))
	}
	if s.VendorLimit > 0 {
		t.row("  limit", fmt.Sprintf("the vendor allows %d an hour, less than BACKHAUL_WRITES_PER_HOUR", s.VendorLimit))
	}
	if s.Unknown != "" {
		t.row("  assumed", s.Unknown)
	}
}
