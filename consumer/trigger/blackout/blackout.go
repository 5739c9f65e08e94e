// Package blackout has times in which no backup is to be requested: windows that begin by a cron
// schedule in a time zone, and last for a duration.
//
// A schedule has the five fields of cron: minute, hour, day of the month, month and day of the
// week. If both day fields are restricted, a day needs to fit one of them, as in cron.
//
// A window lasts for its duration also in a night in which the clock is changed: ten hours from
// 20:00 end at 05:00 or 07:00 then. A time that such a night leaves out is an hour earlier or later,
// and one that it has twice begins one window.
package blackout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The limits of windows.
const (
	Shortest = time.Minute
	Longest  = 31 * 24 * time.Hour
	// MaxWindows is how many windows a list may have.
	MaxWindows = 20
)

// endless is from which length on windows that follow each other count as endless.
const endless = 2 * Longest

// Window begins at each time of a schedule.
type Window struct {
	text     string
	schedule schedule
	lasts    time.Duration
	zone     *time.Location
}

// New returns a window. The error says what is wrong with the schedule.
func New(text string, lasts time.Duration, zone *time.Location) (Window, error) {
	s, err := parse(text)
	if err != nil {
		return Window{}, err
	}
	if lasts < Shortest || lasts > Longest {
		return Window{}, fmt.Errorf("lasts %s, must last from %s to %s", lasts, Shortest, Longest)
	}
	return Window{text: strings.Join(strings.Fields(text), " "), schedule: s, lasts: lasts, zone: zone}, nil
}

func (w Window) String() string { return fmt.Sprintf("%q for %s in %s", w.text, w.lasts, w.zone) }

// end returns when the last window that has begun at t ends. It returns a zero time if it has ended.
func (w Window) end(t time.Time) time.Time {
	local := t.In(w.zone)
	year, month, day := local.Date()
	times, _ := slices.BinarySearch(w.schedule.times, local.Hour()*60+local.Minute()+1)
	begun := w.schedule.times[:times]
	for back := 0; ; back++ {
		// Noon, because a change of the clock leaves no noon out.
		noon := time.Date(year, month, day-back, 12, 0, 0, 0, w.zone)
		if t.Sub(noon) > w.lasts+36*time.Hour {
			return time.Time{}
		}
		if w.schedule.on(noon) {
			for _, minutes := range slices.Backward(begun) {
				begin := time.Date(year, month, day-back, 0, minutes, 0, 0, w.zone)
				if begin.After(t) {
					continue
				}
				if end := begin.Add(w.lasts); end.After(t) {
					return end
				}
				return time.Time{}
			}
		}
		begun = w.schedule.times
	}
}

// Windows are the windows of a route. The zero value has none.
type Windows struct{ all []Window }

// NewWindows returns windows. The error says that there are too many, one that never begins, or no
// time between them.
func NewWindows(all ...Window) (Windows, error) {
	if len(all) > MaxWindows {
		return Windows{}, fmt.Errorf("has %d windows, may have %d", len(all), MaxWindows)
	}
	ws, first := Windows{all}, time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
	for _, w := range all {
		begins := false
		for day := range 366 { // of a leap year
			begins = begins || w.schedule.on(first.AddDate(0, 0, day))
		}
		if !begins {
			return Windows{}, fmt.Errorf("has the schedule %q, which no day fits", w.text)
		}
	}
	for t := first; t.Before(first.AddDate(1, 0, 0)); {
		end := ws.Until(t)
		if end.Sub(t) >= endless {
			return Windows{}, errors.New("never ends: its windows leave no time for a request")
		}
		if t = t.AddDate(0, 0, 1); end.After(t) {
			t = end
		}
	}
	return ws, nil
}

// Any reports whether there are any.
func (ws Windows) Any() bool { return len(ws.all) > 0 }

// Until returns when the windows that t is in have all ended, or a zero time if it is in none.
func (ws Windows) Until(t time.Time) time.Time {
	end := t
	for again := true; again && end.Sub(t) < endless; {
		again = false
		for _, w := range ws.all {
			if e := w.end(end); e.After(end) {
				end, again = e, true
			}
		}
	}
	if end.Equal(t) {
		return time.Time{}
	}
	return end
}

// Equal reports whether the windows are the same.
func (ws Windows) Equal(others Windows) bool {
	return slices.EqualFunc(ws.all, others.all, func(a, b Window) bool {
		return a.text == b.text && a.lasts == b.lasts && a.zone.String() == b.zone.String()
	})
}

func (ws Windows) String() string {
	texts := make([]string, len(ws.all))
	for i, w := range ws.all {
		texts[i] = w.String()
	}
	return strings.Join(texts, ", ")
}
