package blackout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// schedule is a cron expression.
type schedule struct {
	times                  []int // minutes of the day, ascending
	days, months, weekdays set
	// either is set if a day needs to fit only one of days and weekdays.
	either bool
}

// set has the bit of each number in it.
type set uint64

func (s set) has(n int) bool { return s>>n&1 == 1 }

// on reports whether windows begin on the day of t.
func (s *schedule) on(t time.Time) bool {
	if !s.months.has(int(t.Month())) {
		return false
	}
	day, weekday := s.days.has(t.Day()), s.weekdays.has(int(t.Weekday()))
	if s.either {
		return day || weekday
	}
	return day && weekday
}

// field is one of the five fields.
type field struct {
	name        string
	least, most int
	names       []string // of least and so on
}

var fields = [...]field{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of the month", 1, 31, nil},
	{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of the week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}}, // 7 is Sunday too
}

// parse returns the schedule of a cron expression.
func parse(text string) (schedule, error) {
	parts := strings.Fields(text)
	if len(parts) != len(fields) {
		return schedule{}, fmt.Errorf(`has %d fields, must have 5: minute, hour, day of the month, month, day of the week, such as "0 8 * * mon-fri"`, len(parts))
	}
	var sets [len(fields)]set
	for i, f := range fields {
		var err error
		if sets[i], err = f.parse(parts[i]); err != nil {
			return schedule{}, err
		}
	}
	s := schedule{days: sets[2], months: sets[3], weekdays: sets[4]}
	if s.weekdays.has(7) {
		s.weekdays |= 1
	}
	s.either = parts[2][0] != '*' && parts[4][0] != '*'
	for minutes := range 24 * 60 {
		if sets[1].has(minutes/60) && sets[0].has(minutes%60) {
			s.times = append(s.times, minutes)
		}
	}
	return s, nil
}

// parse returns the numbers that a field has: *, a number, a-b, each with /step, and lists of them.
func (f *field) parse(text string) (set, error) {
	var found set
	for item := range strings.SplitSeq(text, ",") {
		span, step, stepped := strings.Cut(item, "/")
		every := 1
		if stepped {
			n, err := strconv.Atoi(step)
			if err != nil || n < 1 || n > f.most {
				return 0, f.fault(item)
			}
			every = n
		}
		first, last := f.least, f.most
		if span != "*" {
			from, to, ranged := strings.Cut(span, "-")
			var ok, too bool
			first, ok = f.number(from)
			last, too = first, true
			if ranged {
				if last, too = f.number(to); last == 0 && f.most == 7 {
					last = 7 // fri-sun
				}
			} else if stepped {
				last = f.most
			}
			if !ok || !too || last < first {
				return 0, f.fault(item)
			}
		}
		for n := first; n <= last; n += every {
			found |= 1 << n
		}
	}
	return found, nil
}

// number returns the value of a number or a name.
func (f *field) number(text string) (int, bool) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.least + i, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= f.least && n <= f.most
}

func (f *field) fault(item string) error {
	names := ""
	if f.names != nil {
		names = fmt.Sprintf(" or %s to %s", f.names[0], f.names[len(f.names)-1])
	}
	return fmt.Errorf("has %q as %s, must be *, a number from %d to %d%s, a range such as %d-%d, or a list of them", item, f.name, f.least, f.most, names, f.least, f.most)
}
