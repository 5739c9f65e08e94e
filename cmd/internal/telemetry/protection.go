package telemetry

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backhaul/cmd/internal/protection/watch"
	"backhaul/schemas"
)

// ProtectionPublished counts an event about the protection of a content group that this process
// has published.
func (m *Metrics) ProtectionPublished(e schemas.ProtectionEvent) {
	m.protection.WithLabelValues(string(e.State)).Inc()
}

// maxBreaches is how many breached groups have a series of their own, the first breached ones.
// [protectionGroups] counts all of them.
const maxBreaches = 100

// protecting collects how the content groups stand that objectives are for. An objective and its
// owner are labels: their number is bounded by the file ([objectives.MaxObjectives]).
type protecting struct{ look func() watch.View }

// WatchProtection adds how the content groups stand to the metrics.
func (m *Metrics) WatchProtection(look func() watch.View) { m.registry.MustRegister(protecting{look}) }

var (
	protectionGroups   = desc("protection_groups", "Content groups by their objective and how they stand.", "objective", "owner", "status")
	protectionExposed  = desc("protection_exposed_seconds", "How long the oldest change is in no finished backup, 0 without one.", "objective", "owner")
	protectionMargin   = desc("protection_margin_seconds", "How long until the first promise is broken if nothing happens, negative while one is broken. Missing if none can be.", "objective", "owner")
	protectionBreached = desc("protection_breached", "1 for a content group that is not within its objective, of at most 100 groups. id is the last token of the subject of its events.", "objective", "owner", "client", "group", "id")

	protectionDescs = []*prometheus.Desc{protectionGroups, protectionExposed, protectionMargin, protectionBreached}
)

// Describe implements prometheus.Collector.
func (protecting) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range protectionDescs {
		descs <- d
	}
}

// stand is how the content groups of one objective stand.
type stand struct {
	owner    string
	groups   map[watch.Status]int
	exposed  time.Duration
	margin   time.Duration
	measured bool // margin is set
}

// Collect implements prometheus.Collector. Before the events were read there are no gauges.
func (p protecting) Collect(metrics chan<- prometheus.Metric) {
	v := p.look()
	if v.At.IsZero() {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		for i, label := range labels {
			labels[i] = strings.ToValidUTF8(label, "\ufffd")
		}
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	stands := make(map[string]*stand)
	for _, o := range v.Promises {
		stands[o.Name] = &stand{owner: o.Owner, groups: make(map[watch.Status]int)}
	}
	breaches := 0
	for i := range v.Groups {
		s := &v.Groups[i]
		of := stands[s.Objective.Name]
		if !s.Promised || of == nil {
			continue
		}
		of.add(s, v.At)
		if s.Status == watch.Breached && breaches < maxBreaches {
			breaches++
			gauge(protectionBreached, 1, s.Objective.Name, s.Objective.Owner, s.Client, s.Subclient, s.Hash())
		}
	}
	for name, of := range stands {
		for _, status := range watch.Statuses {
			gauge(protectionGroups, float64(of.groups[status]), name, of.owner, string(status))
		}
		gauge(protectionExposed, of.exposed.Seconds(), name, of.owner)
		if of.measured {
			gauge(protectionMargin, of.margin.Seconds(), name, of.owner)
		}
	}
}

// add adds a content group.
func (of *stand) add(s *watch.Standing, at time.Time) {
	of.groups[s.Status]++
	if !s.ExposedSince.IsZero() {
		of.exposed = max(of.exposed, at.Sub(s.ExposedSince))
	}
	limit := s.Limit
	if len(s.Broken) > 0 {
		limit = s.Broken[0].Since
	}
	if !limit.IsZero() && (!of.measured || limit.Sub(at) < of.margin) {
		of.margin, of.measured = limit.Sub(at), true
	}
}
