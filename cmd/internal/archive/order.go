package archive

import (
	"fmt"
	"time"

	"backhaul/publisher"
)

// order checks that sequences follow each other, and notes where times go back.
type order struct {
	place publisher.Place
	last  time.Time
}

// maxGaps is how many gaps a report lists.
const maxGaps = 1000

// next takes the next leaf.
func (o *order) next(report *Report, where func() string, index int64, l leaf) {
	if o.place.Created.IsZero() && l.kind != kindStream {
		report.problem(where(), "no leaf before it says which stream it is from")
		o.place.Created, o.place.Next = time.Unix(0, 0), l.first
	}
	switch l.kind {
	case kindStream:
		o.place, o.last = publisher.Place{Stream: l.subject, Created: l.time, Next: l.first}, time.Time{}
		report.Streams = append(report.Streams, Begin{Leaf: index, Stream: l.subject, Created: l.time, Next: l.first})
		return
	case kindMore:
		if l.first != o.place.Next-1 {
			report.problem(where(), "is a part of event %d, which is not the one before it", l.first)
		}
		return
	case kindGap:
		if l.first != o.place.Next || l.last < l.first {
			report.problem(where(), "it should begin with %d", o.place.Next)
		}
		if len(report.Gaps) < maxGaps {
			report.Gaps = append(report.Gaps, Gap{l.first, l.last})
		}
		o.place.Next = l.last + 1
		return
	}
	switch {
	case l.first > o.place.Next:
		report.problem(where(), "%s missing before it, and no gap says so", sequences(o.place.Next, l.first-1))
	case l.first < o.place.Next:
		report.problem(where(), "event %d is there already, or out of order: event %d should follow", l.first, o.place.Next)
	}
	if back := o.last.Sub(l.time); !o.last.IsZero() && back > 0 {
		report.clock(ClockStep{Event: l.first, Stored: l.time, Back: back})
	}
	o.place.Next, o.last = l.first+1, l.time
}

func sequences(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("event %d is", first)
	}
	return fmt.Sprintf("events %d to %d are", first, last)
}
