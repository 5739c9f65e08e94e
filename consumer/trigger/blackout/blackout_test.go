package blackout

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func windows(t testing.TB, name string, all ...string) Windows {
	t.Helper()
	ws, err := list(t, name, all...)
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

func list(t testing.TB, name string, all ...string) (Windows, error) {
	t.Helper()
	var found []Window
	for _, text := range all {
		schedule, lasts, _ := strings.Cut(text, " for ")
		d, err := time.ParseDuration(lasts)
		if err != nil {
			t.Fatal(err)
		}
		w, err := New(schedule, d, zone(t, name))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, w)
	}
	return NewWindows(found...)
}

func TestWindows_Until(t *testing.T) {
	const layout = "2006-01-02 15:04:05"
	for name, c := range map[string]struct {
		zone     string
		windows  []string
		at, want string // local; "" for none
	}{
		"before":                 {"Europe/Berlin", []string{"0 8 * * mon-fri for 10h"}, "2026-11-23 07:59:59", ""},
		"its first moment":       {"Europe/Berlin", []string{"0 8 * * mon-fri for 10h"}, "2026-11-23 08:00:00", "2026-11-23 18:00:00"},
		"its last second":        {"Europe/Berlin", []string{"0 8 * * mon-fri for 10h"}, "2026-11-23 17:59:59", "2026-11-23 18:00:00"},
		"its end":                {"Europe/Berlin", []string{"0 8 * * mon-fri for 10h"}, "2026-11-23 18:00:00", ""},
		"another day":            {"Europe/Berlin", []string{"0 8 * * mon-fri for 10h"}, "2026-11-22 09:00:00", ""},
		"over midnight":          {"Asia/Tokyo", []string{"0 22 * * * for 8h"}, "2026-11-23 05:00:00", "2026-11-23 06:00:00"},
		"over the weekend":       {"UTC", []string{"0 18 * * fri for 62h"}, "2026-11-23 07:00:00", "2026-11-23 08:00:00"},
		"after the weekend":      {"UTC", []string{"0 18 * * fri for 62h"}, "2026-11-23 08:00:00", ""},
		"Sunday is 7":            {"UTC", []string{"0 0 * * 7 for 24h"}, "2026-11-22 12:00:00", "2026-11-23 00:00:00"},
		"until Sunday":           {"UTC", []string{"0 0 * * fri-sun for 1h"}, "2026-11-22 00:30:00", "2026-11-22 01:00:00"},
		"one after the other":    {"UTC", []string{"0 8 * * * for 2h", "30 9 * * * for 1h", "30 10 * * * for 30m"}, "2026-11-23 08:00:00", "2026-11-23 11:00:00"},
		"with a pause":           {"UTC", []string{"0 8 * * * for 2h", "1 10 * * * for 1h"}, "2026-11-23 08:00:00", "2026-11-23 10:00:00"},
		"the last of several":    {"UTC", []string{"*/10 8-9 * * * for 15m"}, "2026-11-23 09:55:00", "2026-11-23 10:05:00"},
		"from 8 on":              {"UTC", []string{"0 8/12 * * * for 1h"}, "2026-11-23 20:30:00", "2026-11-23 21:00:00"},
		"either day":             {"UTC", []string{"0 0 1 * mon for 1h"}, "2026-11-23 00:30:00", "2026-11-23 01:00:00"},
		"the other day":          {"UTC", []string{"0 0 1 * mon for 1h"}, "2026-12-01 00:30:00", "2026-12-01 01:00:00"},
		"neither day":            {"UTC", []string{"0 0 1 * mon for 1h"}, "2026-12-02 00:30:00", ""},
		"the last of the year":   {"UTC", []string{"0 0 24-31 dec * for 24h"}, "2026-12-26 10:00:00", "2027-01-01 00:00:00"},
		"a whole month":          {"UTC", []string{"0 0 1 12 * for 744h"}, "2026-12-31 23:59:59", "2027-01-01 00:00:00"},
		"a leap day":             {"UTC", []string{"0 0 29 2 * for 1h"}, "2028-02-29 00:00:00", "2028-02-29 01:00:00"},
		"a night of 25 hours":    {"Europe/Berlin", []string{"0 20 * * * for 10h"}, "2026-10-25 04:59:59", "2026-10-25 05:00:00"},
		"a night of 23 hours":    {"Europe/Berlin", []string{"0 20 * * * for 10h"}, "2026-03-29 06:59:59", "2026-03-29 07:00:00"},
		"after 25 hours":         {"Europe/Berlin", []string{"0 8 * * * for 10h"}, "2026-10-25 08:00:00", "2026-10-25 18:00:00"},
		"a day without midnight": {"America/Asuncion", []string{"0 12 * * * for 1h"}, "2017-10-01 12:30:00", "2017-10-01 13:00:00"},
	} {
		ws := windows(t, c.zone, c.windows...)
		at, err := time.ParseInLocation(layout, c.at, zone(t, c.zone))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if end := ws.Until(at); !end.IsZero() {
			got = end.In(zone(t, c.zone)).Format(layout)
		}
		if got != c.want {
			t.Errorf("%s: at %s until %q, want %q", name, c.at, got, c.want)
		}
	}
}

// A simple search, minute by minute, finds the same.
func TestWindows_UntilAgreesWithASimpleSearch(t *testing.T) {
	for _, text := range []string{"15 3,22 * * 1-5 for 5h", "*/7 * 1-10/3 * * for 4m", "0 0 * * sat for 48h", "59 23 31 * * for 2h"} {
		w := windows(t, "UTC", text).all[0]
		for range 300 {
			at := time.Date(2026, 1, 1, 0, 0, rand.IntN(365*24*3600), 0, time.UTC)
			want := time.Time{}
			for begin := at.Truncate(time.Minute); at.Sub(begin) < w.lasts; begin = begin.Add(-time.Minute) {
				if w.schedule.on(begin) && slices.Contains(w.schedule.times, begin.Hour()*60+begin.Minute()) {
					want = begin.Add(w.lasts)
					break
				}
			}
			if got := w.end(at); !got.Equal(want) {
				t.Fatalf("%s at %s: until %s, want %s", text, at, got, want)
			}
		}
	}
}

func TestNew_refuses(t *testing.T) {
	for schedule, want := range map[string]string{
		"":                             "has 0 fields, must have 5",
		"@daily":                       "has 1 fields, must have 5",
		"0 8 * *":                      "has 4 fields, must have 5",
		"0 0 8 * * mon":                "has 6 fields, must have 5",
		"60 8 * * *":                   `has "60" as minute, must be *, a number from 0 to 59, a range`,
		"0 24 * * *":                   `has "24" as hour`,
		"0 8 0 * *":                    `has "0" as day of the month`,
		"0 8 * 13 *":                   `has "13" as month, must be *, a number from 1 to 12 or jan to dec`,
		"0 8 * * monday":               `has "monday" as day of the week, must be *, a number from 0 to 7 or sun to sat`,
		"0 8 * * fri-tue":              `has "fri-tue" as day of the week`,
		"0 8,,9 * * *":                 `has "" as hour`,
		"0 8-9-10 * * *":               `has "8-9-10" as hour`,
		"*/0 8 * * *":                  `has "*/0" as minute`,
		"*/x 8 * * *":                  `has "*/x" as minute`,
		"*/-5 8 * * *":                 `has "*/-5" as minute`,
		"*-5 8 * * *":                  `has "*-5" as minute`,
		"TZ=UTC 0 8 * * *":             "has 6 fields, must have 5",
		"0 8 ? * mon":                  `has "?" as day of the month`,
		"0 8 * * 99999999999999999999": `has "99999999999999999999" as day of the week`,
	} {
		if _, err := New(schedule, time.Hour, time.UTC); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", schedule, err, want)
		}
	}
	for _, lasts := range []time.Duration{0, time.Second, Longest + 1, -time.Hour} {
		if _, err := New("0 8 * * *", lasts, time.UTC); err == nil || !strings.Contains(err.Error(), "must last from 1m0s to 744h0m0s") {
			t.Errorf("%s: got %v", lasts, err)
		}
	}
}

func TestNewWindows_refuses(t *testing.T) {
	var many []string
	for range MaxWindows + 1 {
		many = append(many, "0 8 * * * for 1h")
	}
	for name, c := range map[string]struct {
		windows []string
		want    string
	}{
		"always":               {[]string{"0 0 * * * for 24h"}, "never ends"},
		"every minute":         {[]string{"* * * * * for 1m"}, "never ends"},
		"together":             {[]string{"0 0 * * * for 13h", "0 12 * * * for 12h"}, "never ends"},
		"in the second half":   {[]string{"0 0 * 7-12 * for 24h"}, "never ends"},
		"no such day":          {[]string{"0 8 * * * for 1h", "0 0 31 2 * for 1h"}, `has the schedule "0 0 31 2 *", which no day fits`},
		"too many":             {many, "has 21 windows, may have 20"},
		"each minute of a day": {[]string{"* * * * sat,sun for 1m"}, ""},
	} {
		_, err := list(t, "UTC", c.windows...)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestWindows_Equal(t *testing.T) {
	a := windows(t, "Europe/Berlin", "0  8 * * mon for 1h")
	for name, b := range map[string]Windows{
		"none": {}, "another schedule": windows(t, "Europe/Berlin", "0 8 * * tue for 1h"), "another duration": windows(t, "Europe/Berlin", "0 8 * * mon for 2h"),
		"another zone": windows(t, "UTC", "0 8 * * mon for 1h"), "one more": windows(t, "Europe/Berlin", "0 8 * * mon for 1h", "0 8 * * mon for 1h"),
	} {
		if a.Equal(b) {
			t.Errorf("%s: equal", name)
		}
	}
	if b := windows(t, "Europe/Berlin", "0 8 * * mon for 60m"); !a.Equal(b) || a.String() != `"0 8 * * mon" for 1h0m0s in Europe/Berlin` {
		t.Errorf("not equal, %s", a)
	}
}

func FuzzNew(f *testing.F) {
	f.Add("0 8 * * mon-fri", int64(10*time.Hour), int64(1_800_000_000))
	f.Add("*/5 0-23/2 1,15,31 jan-dec 5,7", int64(time.Minute), int64(0))
	f.Add("* * * * *", int64(Longest), int64(-1))
	berlin := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, schedule string, lasts, unix int64) {
		w, err := New(schedule, time.Duration(lasts), berlin)
		if err != nil {
			return
		}
		ws, err := NewWindows(w)
		if err != nil {
			return
		}
		at := time.Unix(unix%(1<<33), 0)
		end := ws.Until(at)
		if !end.IsZero() && (!end.After(at) || end.Sub(at) > endless+Longest) {
			t.Errorf("at %s until %s", at, end)
		}
		if again, err := New(w.text, w.lasts, berlin); err != nil || again.String() != w.String() {
			t.Errorf("%q is not read again: %v", w.text, err)
		}
	})
}
