package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backhaul/consumer/budget"
)

// allowance collects what this process knows of the budget of writing calls.
type allowance struct {
	view func() (budget.View, error)
}

// WatchBudget adds the budget of writing calls to the metrics. All replicas report the same one.
func (m *Metrics) WatchBudget(view func() (budget.View, error)) {
	m.registry.MustRegister(allowance{view})
}

var (
	budgetLimit = desc("budget_writes_limit", "Writing calls at the vendor that all replicas may make in an hour.")
	budgetSpent = desc("budget_writes_spent", "Writing calls that count in the last hour, of all replicas.")
	budgetLeft  = desc("budget_writes_left", "Writing calls that may be made now; 0 also while the budget cannot be used.")
	budgetNext  = desc("budget_next_seconds", "Time until a writing call may be made again, 0 if one may be made now.")

	budgetDescs = []*prometheus.Desc{budgetLimit, budgetSpent, budgetLeft, budgetNext}
)

// Describe implements prometheus.Collector.
func (allowance) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range budgetDescs {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (a allowance) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	v, err := a.view()
	left, next := v.Left, time.Duration(0)
	if !v.Next.IsZero() {
		next = max(v.Next.Sub(v.AsOf), 0)
	}
	if err != nil {
		left = 0
	}
	gauge(budgetLimit, float64(v.Limit))
	gauge(budgetSpent, float64(v.Spent))
	gauge(budgetLeft, float64(left))
	gauge(budgetNext, next.Seconds())
}
