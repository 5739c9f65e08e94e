package telemetry

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// conditions shows what /readyz?verbose does, from memory.
type conditions struct {
	names  []string
	probes map[string]func() error
}

var conditionOK = desc("condition_ok", "1 if the check of /readyz?verbose says that all is well.", "condition")

// WatchConditions adds a gauge of each check of /readyz?verbose, by name.
func (m *Metrics) WatchConditions(probes map[string]func() error) {
	m.registry.MustRegister(newConditions(probes))
}

// WatchConditions is like [Metrics.WatchConditions].
func (t *Trigger) WatchConditions(probes map[string]func() error) {
	t.registry.MustRegister(newConditions(probes))
}

// WatchConditions is like [Metrics.WatchConditions].
func (a *Archiver) WatchConditions(probes map[string]func() error) {
	a.registry.MustRegister(newConditions(probes))
}

func newConditions(probes map[string]func() error) *conditions {
	return &conditions{slices.Sorted(maps.Keys(probes)), probes}
}

// Describe implements prometheus.Collector.
func (*conditions) Describe(descs chan<- *prometheus.Desc) { descs <- conditionOK }

// Collect implements prometheus.Collector.
func (c *conditions) Collect(metrics chan<- prometheus.Metric) {
	for _, name := range c.names {
		metrics <- prometheus.MustNewConstMetric(conditionOK, prometheus.GaugeValue, number(c.probes[name]() == nil), strings.ReplaceAll(name, " ", "_"))
	}
}
