package page

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"backhaul/cmd/internal/protection/watch"
)

// The size of a bar in its own units, one for each half hour.
const (
	barSlots  = 7 * 48
	barHeight = 12
)

// bar7 is the last seven days of a content group, drawn. However often the group changed, it
// has at most one part for each half hour.
type bar7 struct {
	Parts   []barPart
	Summary string
	// Share is how much of the time every change was in a finished backup, in words.
	Share string
}

// barPart is a time with one status. A worse one is higher: the colour is not the only thing
// that says it.
type barPart struct {
	X, Width, Y, Height int
	Status              watch.Status
	Title               string
}

// heights are the heights of the parts.
var heights = map[watch.Status]int{watch.Breached: barHeight, watch.Exposed: 8, watch.Unproven: 4, watch.Covered: 4}

// barOf7 draws segments between two times.
func barOf7(segments []watch.Segment, from, to time.Time) (b bar7) {
	slot := to.Sub(from) / barSlots
	// worst has the index of the worst status of each slot, from 1 on; 0: nothing is known.
	var worst [barSlots]int
	total := map[watch.Status]time.Duration{}
	known := time.Duration(0)
	for _, s := range segments {
		took := s.Until.Sub(s.From)
		total[s.Status] += took
		known += took
		status := slices.Index(watch.Statuses, s.Status) + 1
		first, last := int(s.From.Sub(from)/slot), int((s.Until.Sub(from)-1)/slot)
		for i := max(first, 0); i <= min(last, barSlots-1); i++ {
			if worst[i] == 0 || status < worst[i] {
				worst[i] = status
			}
		}
	}
	for i := 0; i < barSlots; {
		end := i
		for end < barSlots && worst[end] == worst[i] {
			end++
		}
		if worst[i] > 0 {
			status := watch.Statuses[worst[i]-1]
			height := heights[status]
			b.Parts = append(b.Parts, barPart{
				X: i, Width: end - i, Y: barHeight - height, Height: height, Status: status,
				Title: fmt.Sprintf("%s from %s to %s", status.Word(), day(from.Add(time.Duration(i)*slot)), day(from.Add(time.Duration(end)*slot))),
			})
		}
		i = end
	}
	if known == 0 {
		b.Share, b.Summary = "–", "nothing is known of the last 7 days"
		return b
	}
	b.Share = fmt.Sprintf("%d %%", int(math.Floor(100*float64(total[watch.Covered])/float64(known))))
	var said []string
	for _, status := range watch.Statuses {
		if total[status] > 0 {
			said = append(said, status.Word()+" for "+duration(total[status]))
		}
	}
	b.Summary = "in the last 7 days " + strings.Join(said, ", ")
	return b
}

// day returns a time to the minute.
func day(t time.Time) string { return t.UTC().Format("01-02 15:04") }
