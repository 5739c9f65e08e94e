package telemetry

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"backhaul/consumer/archiver"
	"backhaul/publisher/natstest"
)

// watchedArchiver is every metric that a running archiver has.
func watchedArchiver(nc *nats.Conn) *Archiver {
	m := NewArchiver(Build{Version: "v1.2.3", Commit: "abc"})
	m.Watch(nc, func() archiver.State {
		return archiver.State{Active: true, Lag: 7, Until: time.Unix(1_764_340_000, 500_000_000)}
	}, func() error { return nil })
	m.WatchConditions(map[string]func() error{"checkpoints": func() error { return nil }})
	return m
}

func TestArchiverMetrics_followTheConventions(t *testing.T) {
	m := watchedArchiver(natstest.Start(t).Connect(t))
	m.Archived(3, 1200, time.Second)
	m.Gap(2)
	m.Failed(nil)
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	has(t, w.Body.String(), "backhaul_archive_events_total 3", "backhaul_archive_bytes_total 1200", "backhaul_archive_missing_events_total 2",
		"backhaul_archive_failures_total 1", "backhaul_archive_write_duration_seconds_sum 1", "backhaul_archive_active 1", "backhaul_archive_lag_events 7",
		"backhaul_archive_until_timestamp_seconds 1.7643400005e+09", "backhaul_archive_checkpoint_timestamp_seconds 0")
}
