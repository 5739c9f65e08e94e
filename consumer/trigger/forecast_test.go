package trigger

import (
	"fmt"
	"testing"
	"time"
)

// The windows of a forecast end as those of a trigger do.
func TestForecaster(t *testing.T) {
	rs := parse(t, `routes:
- {container: team-*, clientName: c, subclientName: "{container}", window: {quiet: 30s, max: 5m}}
- {container: listed, directive: {container: listed, prefix: x/}, window: {quiet: 30s, max: 5m, maxPaths: 2}`+to("listed"))
	f := NewForecaster(rs)
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	add := func(after time.Duration, data string) {
		f.Add("storage.event.minio", nil, []byte(data), start.Add(after))
	}
	for i := range 20 { // one each 20 s: the longest time ends the window after 5 min
		add(time.Duration(i)*20*time.Second, put("team-a", fmt.Sprint(i)))
	}
	add(400*time.Second, put("team-b", "1"))
	add(401*time.Second, removed("team-b", "1")) // nothing is left
	add(402*time.Second, put("other", "1"))
	add(403*time.Second, "not a notification")
	for i := range 5 {
		add(time.Hour, put("listed", fmt.Sprint(i))) // two windows by their paths, and one by its quiet time
	}
	got := f.End()
	want := Forecast{
		Notifications: 29, Refused: 1, Changes: 25, Unrouted: 1, Groups: 3, Requests: 5, Cancelled: 1,
		From: start.Add(5 * time.Minute), To: start.Add(time.Hour + 30*time.Second), BusiestHour: start.Add(time.Hour), Busiest: 3,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if n := got.PerHour(); n != 5 {
		t.Errorf("%v each hour", n)
	}
	if empty := NewForecaster(rs).End(); empty != (Forecast{}) {
		t.Errorf("of nothing: %+v", empty)
	}
}
