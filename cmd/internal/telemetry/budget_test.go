package telemetry

import (
	"errors"
	"testing"
	"time"

	"backhaul/consumer/budget"
)

func TestWatchBudget(t *testing.T) {
	m := NewMetrics(Build{})
	now := time.Now()
	view, trouble := budget.View{Limit: 100, Spent: 40, Left: 60, AsOf: now}, error(nil)
	m.WatchBudget(func() (budget.View, error) { return view, trouble })
	has(t, scrape(t, m, ""), "backhaul_budget_writes_limit 100", "backhaul_budget_writes_spent 40", "backhaul_budget_writes_left 60", "backhaul_budget_next_seconds 0")
	trouble = errors.New("no stream")
	has(t, scrape(t, m, ""), "backhaul_budget_writes_spent 40", "backhaul_budget_writes_left 0")
	view, trouble = budget.View{Limit: 100, Spent: 100, AsOf: now, Next: now.Add(36 * time.Second)}, nil
	has(t, scrape(t, m, ""), "backhaul_budget_writes_left 0", "backhaul_budget_next_seconds 36")
}
