package state

import (
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
)

func TestSeries_quantiles(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{2 * time.Millisecond, 80 * time.Millisecond, time.Second, 17 * time.Second, time.Hour} {
		var h histogram
		for range 99 {
			h.add(d)
		}
		h.add(10 * d)
		if got := h.quantile(0.5); got < d*9/10 || got > d*11/10 {
			t.Errorf("the median of %s is told as %s", d, got)
		}
		if got := h.quantile(1); got < 9*d {
			t.Errorf("the longest of %s is told as %s", 10*d, got)
		}
	}
	var h histogram
	if h.quantile(0.5) != 0 {
		t.Error("nothing took some time")
	}
	h.add(-time.Second)
	h.add(1000 * time.Hour)
}

func TestSeries_anHour(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 10, 0, 30, 0, time.UTC)
	var s series
	s.add(now.Add(-2*time.Hour), true, time.Second) // gone
	s.add(now.Add(-59*time.Minute), true, time.Second)
	s.add(now, true, time.Second)
	s.add(now, false, time.Second)
	s.add(now.Add(-60*time.Minute), true, time.Second) // its place is taken
	minutes := s.minutes(now)
	if len(minutes) != 60 || minutes[0].Started != 1 || minutes[59].Started != 1 || minutes[59].Failed != 1 {
		t.Fatalf("first %+v, last %+v", minutes[0], minutes[len(minutes)-1])
	}
	var total int
	for _, m := range minutes {
		total += m.Started + m.Failed
	}
	if total != 3 {
		t.Errorf("%d outcomes, want 3", total)
	}
	for _, m := range s.minutes(now.Add(3 * time.Hour)) {
		if m.Started+m.Failed > 0 {
			t.Errorf("%s still has outcomes", m.At)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	c := claimOf(strings.Repeat("ü", 100_000))
	c.Request.ClientName = strings.Repeat("x", 100_000)
	r := RequestOf([]eventlog.Event{{Kind: c.Kind(), Key: publisher.Key{Source: "s", Name: "k"}, Data: c}}, time.Now())
	if len(r.RequestID) > maxText+3 || len(r.Client) > maxText+3 || !strings.HasSuffix(r.Client, "x…") || !strings.HasSuffix(r.RequestID, "ü…") {
		t.Errorf("%d and %d bytes are held", len(r.RequestID), len(r.Client))
	}
}
