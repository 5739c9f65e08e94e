package state

import (
	"math"
	"time"
)

// minutesHeld is how far back the figures go.
const minutesHeld = 60

// Minute is what came of requests within one minute, and how long they took from
// being stored to their outcome. P50 and P95 are 0 if there was none.
type Minute struct {
	At              time.Time
	Started, Failed int
	P50, P95        time.Duration
}

// series is a ring of minutes. Times are the server's.
type series struct {
	ring [minutesHeld]slot
}

type slot struct {
	minute          int64 // since 1970
	started, failed int
	took            histogram
}

// add counts an outcome. One that is older than what its place holds is dropped.
func (s *series) add(at time.Time, ok bool, took time.Duration) {
	minute := at.Unix() / 60
	place := &s.ring[((minute%minutesHeld)+minutesHeld)%minutesHeld]
	if minute < place.minute {
		return
	}
	if minute > place.minute {
		*place = slot{minute: minute}
	}
	if ok {
		place.started++
	} else {
		place.failed++
	}
	place.took.add(took)
}

// minutes returns each minute of the last hour, oldest first.
func (s *series) minutes(now time.Time) []Minute {
	last := now.Unix() / 60
	minutes := make([]Minute, 0, minutesHeld)
	for minute := last - minutesHeld + 1; minute <= last; minute++ {
		m := Minute{At: time.Unix(minute*60, 0).UTC()}
		if place := &s.ring[minute%minutesHeld]; place.minute == minute {
			m.Started, m.Failed = place.started, place.failed
			m.P50, m.P95 = place.took.quantile(0.50), place.took.quantile(0.95)
		}
		minutes = append(minutes, m)
	}
	return minutes
}

// Buckets of a histogram grow by a fifth: its values are at most a tenth off.
const (
	buckets    = 96
	growth     = 1.2
	leastTaken = time.Millisecond
)

// histogram counts durations from a millisecond to about nine hours.
type histogram [buckets]uint32

func (h *histogram) add(d time.Duration) {
	bucket := 0
	if d > leastTaken {
		bucket = min(int(math.Log(float64(d)/float64(leastTaken))/math.Log(growth)), buckets-1)
	}
	h[bucket]++
}

// quantile returns about the duration within which the share q was done.
func (h *histogram) quantile(q float64) time.Duration {
	var total uint64
	for _, n := range h {
		total += uint64(n)
	}
	if total == 0 {
		return 0
	}
	rank, seen := uint64(math.Ceil(q*float64(total))), uint64(0)
	for bucket, n := range h {
		if seen += uint64(n); seen >= rank {
			return time.Duration(float64(leastTaken) * math.Pow(growth, float64(bucket)+0.5))
		}
	}
	return 0
}
