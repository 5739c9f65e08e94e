// Package timespan reads durations as people write them: Go's, and days.
package timespan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Parse reads what [time.ParseDuration] does and, before it or alone, a whole number of days of
// 24 h: "8d", "1d12h". There is no sign.
func Parse(text string) (time.Duration, error) {
	number, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		rest = text
	}
	var d time.Duration
	if hasDays {
		days, err := strconv.ParseUint(number, 10, 32)
		if err != nil || days > uint64(math.MaxInt64/day) {
			return 0, invalid(text)
		}
		d = time.Duration(days) * day
	}
	if hasDays && rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || strings.ContainsAny(rest, "+-") || d+more < d {
		return 0, invalid(text)
	}
	return d + more, nil
}

// Format returns a duration as Parse reads it, in days if it is some.
func Format(d time.Duration) string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

func invalid(text string) error {
	return fmt.Errorf("%.40q is no duration such as 90m, 12h or 7d", text)
}

// Value is the value of a flag.
type Value time.Duration

func (v *Value) String() string { return time.Duration(*v).String() }

// Type is the name that the flag's help has.
func (*Value) Type() string { return "duration" }

// Set parses a text.
func (v *Value) Set(text string) error {
	d, err := Parse(text)
	if err == nil {
		*v = Value(d)
	}
	return err
}
