package service

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/consumer/budget"
)

// budgetTimeout bounds the last write of the budget.
const budgetTimeout = 9 * time.Second

// NewBudget returns the budget of writing calls that all replicas share, nil if none is set.
func NewBudget(cfg *config.Config, owner string, guest bool, log zerolog.Logger) *budget.Budget {
	if cfg.Vendor.WritesPerHour == 0 {
		return nil
	}
	return budget.New(budget.Config{Owner: owner, PerHour: cfg.Vendor.WritesPerHour, Timeout: cfg.Vendor.Timeout, Guest: guest, Log: log})
}

// runBudget keeps the budget up to date until stop is called, after the last call.
func runBudget(ctx context.Context, allowance *budget.Budget) (stop func(context.Context) error) {
	if allowance == nil {
		return func(context.Context) error { return nil }
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { allowance.Run(ctx) })
	return func(context.Context) error {
		cancel()
		running.Wait()
		return nil
	}
}

// budgetChecks returns what /readyz says about the budget, nothing where none is set. Other
// replicas can use it no better, so the process stays ready.
func budgetChecks(allowance *budget.Budget) []console.Check {
	if allowance == nil {
		return nil
	}
	return []console.Check{{Name: "budget", Probe: allowance.Trouble, Note: allowance.Remark, Condition: true, HoldsUp: true}}
}
