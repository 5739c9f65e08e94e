package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"backhaul/consumer/scope"
)

// WatchScopes adds a gauge of the scopes that are paused, from memory.
func (m *Metrics) WatchScopes(paused func() []scope.Pause) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "paused_scopes", Help: "Sources, clients and content groups that an operator has paused.",
	}, func() float64 { return float64(len(paused())) }))
}
