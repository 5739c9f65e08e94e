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
// Each replica keeps its own turns, in memory. They begin at random, because a replica that
// is replaced every few starts would otherwise never come to the turn of low. Two replicas
// that choose the same request do not start it twice: package consumer's claims decide.
package order

import (
	"cmp"
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
	// maxServed bounds the subjects whose last turn is remembered.
	maxServed = 4096
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
// priority: its requests are invalid, and somebody has to say so.
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
	startingAt(0).Sort(lines)
	return lines
}

// Order knows whose turn it is. It belongs to one goroutine.
type Order struct {
	number uint64
	served map[string]uint64 // the number of the last turn of a subject
}

// New returns an order in which no turn was taken.
func New() *Order { return startingAt(rand.Uint64N(period)) }

func startingAt(number uint64) *Order {
	return &Order{number: number, served: make(map[string]uint64)}
}

// Sort sorts lines by whose turn it is, first the one that is next.
func (o *Order) Sort(lines []Line) {
	rank := func(l Line) int {
		_, p := l.parse()
		if p == o.favoured() {
			return -1
		}
		return slices.Index(publisher.Priorities, p)
	}
	slices.SortFunc(lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(o.served[a.Subject], o.served[b.Subject]), cmp.Compare(a.Subject, b.Subject))
	})
}

// favoured returns the priority whose turn it is.
func (o *Order) favoured() publisher.Priority {
	switch o.number % period {
	case lowTurn:
		return publisher.Low
	case normalTurn:
		return publisher.Normal
	}
	return publisher.High
}

// Take ends the turn: a request of the subject was taken.
func (o *Order) Take(subject string) {
	o.number++
	o.served[subject] = o.number
	if len(o.served) > maxServed {
		for other, number := range o.served {
			if number+maxServed/2 < o.number {
				delete(o.served, other)
			}
		}
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
