package page

import (
	"strconv"
	"testing"
	"time"

	"backhaul/cmd/internal/console/state"
	"backhaul/consumer"
	"backhaul/schemas"
)

// A single failure is seen beside thousands of starts.
func TestBarOf_showsAFailureAmongThousands(t *testing.T) {
	t.Parallel()
	most := 5000
	height := func(text string) float64 {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	full, one := barOf(state.Minute{Started: most - 1, Failed: 1}, 0, 10, most), barOf(state.Minute{Failed: 1}, 0, 10, most)
	if h := height(full.FailedH); h < leastFailed {
		t.Errorf("a failure of %d outcomes is %.1f high", most, h)
	}
	if h := height(full.StartedH) + height(full.FailedH); h < plotBase-plotTop-0.2 || h > plotBase-plotTop+0.2 {
		t.Errorf("the busiest minute is %.1f high, want %.1f", h, plotBase-plotTop)
	}
	if h := height(one.FailedH); h < leastFailed || height(one.StartedH) != 0 {
		t.Errorf("a failure alone is %.1f high", h)
	}
}

// The queue's light says who paused it, and why.
func TestPausedBy(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	pause := state.Action{Name: schemas.ActionPause, Actor: "ann", Until: until, Reason: "CHG-17"}
	other := state.Action{Name: schemas.ActionPause, Actor: "bob", Until: until.Add(time.Hour)}
	resume := state.Action{Name: schemas.ActionResume, Actor: "bob"}
	for _, test := range []struct {
		view state.View
		want string
	}{
		{state.View{Actions: []state.Action{pause}}, ", by ann: CHG-17"},
		{state.View{Actions: []state.Action{other, pause}}, ", by ann: CHG-17"},
		{state.View{Actions: []state.Action{resume, pause}}, ""},
		{state.View{Complete: true}, ", by no operator on record: the vendor asked, or another tool did it"},
		{state.View{}, ""},
		{state.View{VendorWait: consumer.VendorWait{Until: until, By: "HTTP 503 to CreateTask"}, Complete: true}, ", because the vendor asked for it (HTTP 503 to CreateTask)"},
		{state.View{VendorWait: consumer.VendorWait{Until: until.Add(-time.Hour)}, Actions: []state.Action{pause}}, ", by ann: CHG-17"},
	} {
		if got := pausedBy(test.view, until.Add(time.Second)); got != test.want {
			t.Errorf("%v: %q, want %q", test.view.Actions, got, test.want)
		}
	}
}

func TestClock_hasTheDateOfAnotherDay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time]string{now: "12:00:00", now.AddDate(0, 0, -1): "11-27 12:00", now.AddDate(-1, 0, 0): "2025-11-28"} {
		if got := clock(at, now); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}
