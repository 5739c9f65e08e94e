// Package order decides whose request is started next while starts are scarce, and
// estimates how many are started before a waiting one.
//
// # The order
//
// Each start is a turn. A turn goes to the highest priority that waits, and within it to
// the source that was served least recently. So a source with thousands of requests delays
// the single one of another by one start. Of ten turns in a row one is that of low and one
// that of normal, whatever else waits, so that neither starves. The requests of one source
// and priority keep their order.
//
// Starts that all replicas share have one order, which package budget keeps with the record of
// them: each replica knows every turn, and a start is granted for the next turn only. Otherwise
// each replica keeps an order of its own, in memory. It begins at random, because a replica that
// is replaced every few starts would otherwise never come to the turn of low. Two replicas that
// choose the same request do not start it twice: package consumer's claims decide.
package order

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"backhaul/publisher"
)

const (
	// period is the number of turns in which each priority has one at least.
	period     = 10
	lowTurn    = period - 1
	normalTurn = period/2 - 1
	// maxServed bounds the subjects whose last turn is remembered. The others are served one
	// after the other.
	maxServed = 256
)

// Line is the requests of one source and priority that wait.
type Line struct {
	Subject string `json:"subject"`
	Waiting uint64 `json:"waiting"`
}

// Name returns the source, and the priority unless it is normal.
func (l Line) Name() string {
	source, p := l.parse()
	if p == publisher.Normal {
		return source
	}
	return source + ", " + p.Name()
}

// parse returns source and priority of the line. A subject that names none is a source of normal
// priority: its requests are invalid, and a replica has to say so.
func (l Line) parse() (source string, p publisher.Priority) {
	source, p, err := publisher.ParseRequestSubject(l.Subject)
	if err != nil {
		return l.Subject, publisher.Normal
	}
	return source, p
}

// Lines returns the lines of a stream by the number of messages of each subject: the highest
// priority first, and within it by source.
func Lines(subjects map[string]uint64) []Line {
	lines := make([]Line, 0, len(subjects))
	for subject, waiting := range subjects {
		lines = append(lines, Line{subject, waiting})
	}
	new(Order).Sort(lines)
	return lines
}

// Order knows whose turn it is. The zero value is an order in which no turn was taken.
type Order struct {
	// Number is how many turns were taken.
	Number uint64 `json:"number"`
	// Served has the subjects that were served last, the most recent one at the end.
	Served []string `json:"served,omitempty"`
	// Resumed has, by the name of a priority, the last subject that was served without being in
	// Served. The next one of them follows it by name.
	Resumed map[string]string `json:"resumed,omitempty"`
}

// New returns an order for one replica.
func New() *Order { return &Order{Number: rand.Uint64N(period)} }

// Clone returns a copy.
func (o *Order) Clone() Order {
	return Order{Number: o.Number, Served: slices.Clone(o.Served), Resumed: maps.Clone(o.Resumed)}
}

// Sort sorts lines by whose turn it is, first the one that is next.
func (o *Order) Sort(lines []Line) {
	served := make(map[string]int, len(o.Served)) // 0 for a subject that is not remembered
	for i, subject := range o.Served {
		served[subject] = i + 1
	}
	type ranked struct {
		Line
		rank, served int
		passed       bool // by those that are not remembered
	}
	all := make([]ranked, len(lines))
	for i, l := range lines {
		_, p := l.parse()
		all[i] = ranked{l, slices.Index(publisher.Priorities, p), served[l.Subject], false}
		if p == o.favoured() {
			all[i].rank = -1
		}
		all[i].passed = all[i].served == 0 && l.Subject <= o.Resumed[p.Name()]
	}
	slices.SortFunc(all, func(a, b ranked) int {
		if c := cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.served, b.served)); c != 0 {
			return c
		}
		if a.passed != b.passed {
			if b.passed {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Subject, b.Subject)
	})
	for i := range all {
		lines[i] = all[i].Line
	}
}

// favoured returns the priority whose turn it is.
func (o *Order) favoured() publisher.Priority {
	switch o.Number % period {
	case lowTurn:
		return publisher.Low
	case normalTurn:
		return publisher.Normal
	}
	return publisher.High
}

// Take ends the turn: a request of the subject was taken.
func (o *Order) Take(subject string) {
	o.Number++
	if i := slices.Index(o.Served, subject); i >= 0 {
		o.Served = slices.Delete(o.Served, i, i+1)
	} else {
		if o.Resumed == nil {
			o.Resumed = make(map[string]string)
		}
		_, p := Line{Subject: subject}.parse()
		o.Resumed[p.Name()] = subject
	}
	if o.Served = append(o.Served, subject); len(o.Served) > maxServed {
		o.Served = slices.Delete(o.Served, 0, len(o.Served)-maxServed)
	}
}

// Ahead estimates how many of the requests that wait are started before one of a subject
// that has a number of others of its subject before it. It takes the others to come first, and says nothing about requests that are still to come.
func Ahead(lines []Line, subject string, before uint64) uint64 {
	own, priority := Line{Subject: subject}.parse()
	waiting := make(map[publisher.Priority]uint64)
	beside := before // of the same priority
	for _, l := range lines {
		source, p := l.parse()
		waiting[p] += l.Waiting
		if p == priority && source != own {
			beside += min(l.Waiting, before+1)
		}
	}
	// Without the turns that are reserved, all of the higher priorities come first. With them,
	// the n-th of a priority is started in its n-th reserved turn at the latest.
	ahead := beside
	for _, p := range publisher.Priorities[:slices.Index(publisher.Priorities, priority)] {
		ahead += waiting[p]
	}
	if priority != publisher.High {
		ahead = min(ahead, period*(beside+1)-1)
	}
	// The reserved turns of the lower priorities come between.
	for _, p := range publisher.Priorities[slices.Index(publisher.Priorities, priority)+1:] {
		ahead += min(waiting[p], (ahead+period-1)/period)
	}
	return ahead
}

// Until estimates how long it takes to start the requests ahead of one, at a number of starts
// in an hour.
func Until(ahead uint64, perHour int) time.Duration {
	const longest = 10 * 365 * 24 * time.Hour
	return min(time.Duration(min(float64(ahead)/float64(perHour), longest.Hours())*float64(time.Hour)), longest)
}
