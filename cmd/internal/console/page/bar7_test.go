package page

import (
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/protection/watch"
)

func TestBarOf7(t *testing.T) {
	t.Parallel()
	to := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	from := to.Add(-barSpan)
	at := func(hours int) time.Time { return from.Add(time.Duration(hours) * time.Hour) }

	b := barOf7([]watch.Segment{{From: at(24), Until: at(48), Status: watch.Covered}, {From: at(48), Until: at(60), Status: watch.Exposed}, {From: at(60), Until: to, Status: watch.Breached}}, from, to)
	want := []barPart{
		{X: 48, Width: 48, Y: 8, Height: 4, Status: watch.Covered}, {X: 96, Width: 24, Y: 4, Height: 8, Status: watch.Exposed}, {X: 120, Width: 216, Y: 0, Height: 12, Status: watch.Breached},
	}
	for i, part := range b.Parts {
		if part.Title == "" {
			t.Errorf("part %d has no title", i)
		}
		if part.Title = ""; i >= len(want) || part != want[i] {
			t.Errorf("part %d is %+v", i, part)
		}
	}
	if len(b.Parts) != len(want) || b.Share != "16 %" || b.Summary != "in the last 7 days breached for 4 d, exposed for 12 h, covered for 24 h" {
		t.Errorf("%d parts, %q, %q", len(b.Parts), b.Share, b.Summary)
	}

	// A short breach is seen, whatever else happened in its half hour; many changes have few parts.
	var many []watch.Segment
	for i := range 20_000 {
		begin := from.Add(time.Duration(i) * barSpan / 20_000)
		many = append(many, watch.Segment{From: begin, Until: begin.Add(barSpan / 20_000), Status: []watch.Status{watch.Covered, watch.Exposed}[i%2]})
	}
	many[10_000].Status = watch.Breached
	b = barOf7(many, from, to)
	if len(b.Parts) != 3 || b.Parts[1].Status != watch.Breached || b.Parts[1].Width != 1 || b.Share != "49 %" {
		t.Errorf("%+v, %s", b.Parts, b.Share)
	}
	if b := barOf7(nil, from, to); len(b.Parts) != 0 || b.Share != "–" || !strings.Contains(b.Summary, "nothing is known") {
		t.Errorf("nothing is %+v", b)
	}
}
