package telemetry

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"backhaul/cmd/internal/telemetry/otlptest"
	"backhaul/consumer/follower"
	"backhaul/schemas"
)

func endOf(outcome schemas.Outcome, ago time.Duration) *schemas.JobFinished {
	end := time.Now().Add(-ago)
	return &schemas.JobFinished{
		Naming: schemas.Naming{RequestID: "r-1", Source: "billing", ClientName: "c", SubclientName: "g"}, JobRef: schemas.JobRef{JobID: "7"},
		Outcome: outcome, VendorStatus: "Killed", JobTimes: schemas.JobTimes{StartedAt: end.Add(-time.Hour), EndedAt: end, ObservedAt: time.Now()},
	}
}

func TestFollower_counts(t *testing.T) {
	m := NewMetrics(Build{})
	f := Follower{Metrics: m}
	f.Finished(endOf(schemas.OutcomeCompleted, 40*time.Second), "")
	noEnd := endOf(schemas.OutcomeKilled, 0)
	noEnd.EndedAt = time.Time{}
	f.Finished(noEnd, "")
	f.Changed(&schemas.JobChanged{State: schemas.StatePending}, "")
	f.Unfollowed(&schemas.JobUnfollowed{}, "")
	f.Read("list", nil)
	f.Read("events", errors.New("no"))
	f.Activated()
	text := scrape(t, m, "")
	has(t, text,
		`backhaul_jobs_finished_total{outcome="completed"} 1`, `backhaul_jobs_finished_total{outcome="killed"} 1`, `backhaul_jobs_finished_total{outcome="failed"} 0`,
		`backhaul_jobs_changed_total{state="pending"} 1`, `backhaul_jobs_unfollowed_total 1`, `backhaul_follow_sessions_total 1`,
		`backhaul_follow_reads_total{call="list",result="ok"} 1`, `backhaul_follow_reads_total{call="events",result="error"} 1`,
		`backhaul_job_end_lag_seconds_count 1`, `backhaul_job_end_lag_seconds_bucket{le="30"} 0`,
		`backhaul_events_published_total{kind="job-finished"} 2`, `backhaul_events_published_total{kind="job-changed"} 1`, `backhaul_events_published_total{kind="job-unfollowed"} 1`,
	)
	series := func() int {
		n, err := testutil.GatherAndCount(m.registry)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := series()
	for n := range 500 { // what a later version, or a vendor, may say
		f.Finished(endOf(schemas.Outcome(fmt.Sprint("o-", n)), 0), "")
		f.Changed(&schemas.JobChanged{State: schemas.State(fmt.Sprint("s-", n))}, "")
	}
	f.Read("something new", nil)
	if after := series(); after > before+1 { // that call
		t.Errorf("500 jobs made %d series of %d", after, before)
	}
}

func TestWatchFollower(t *testing.T) {
	m := NewMetrics(Build{})
	state := follower.State{}
	m.WatchFollower(func() follower.State { return state })
	has(t, scrape(t, m, ""), "backhaul_follow_reading 0", "backhaul_jobs_followed 0", "backhaul_job_oldest_followed_age_seconds 0", "backhaul_follow_uncovered_seconds 0")
	state = follower.State{Reading: true, Followed: 3, Budget: 200, Reads: 50, Oldest: time.Now().Add(-time.Hour), Covered: time.Now().Add(-time.Minute)}
	has(t, scrape(t, m, ""), "backhaul_follow_reading 1", "backhaul_jobs_followed 3", "backhaul_follow_reads_left 150")
	for name, least := range map[string]float64{"backhaul_job_oldest_followed_age_seconds": 3600, "backhaul_follow_uncovered_seconds": 60} {
		families, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if got := f.GetMetric()[0].GetGauge().GetValue(); f.GetName() == name && got < least {
				t.Errorf("%s is %g, want at least %g", name, got, least)
			}
		}
	}
}

// A job is a span of its request's trace, from its start to its end at the vendor.
func TestFollower_aJobIsInTheTraceOfItsRequest(t *testing.T) {
	receiver := otlptest.Start(t)
	traces, m, _ := startTraces(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.URL})
	Follower{Metrics: m, Traces: traces}.Finished(endOf(schemas.OutcomeKilled, time.Minute), producer)
	traces.Stop()
	spans := receiver.Spans(spanJob)
	if len(spans) != 1 || spans[0].Trace != producer[3:35] || spans[0].Parent != producer[36:52] {
		t.Fatalf("spans %+v, want one under %s", spans, producer)
	}
	for name, want := range map[string]string{attrOutcome: "killed", attrJobID: "7", attrRequestID: "r-1", attrErrorType: "killed"} {
		if got := spans[0].Attributes[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
