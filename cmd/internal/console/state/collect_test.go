package state

import (
	"fmt"
	"testing"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
)

// A long stream is read from near its end only, and no more requests are held than the page holds.
func TestCollect_isBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 10 {
		b.append(fmt.Sprintf("r-%d", i), 0, startedOf(claimOf(fmt.Sprintf("r-%d", i)), "7"))
	}
	for most, want := range map[uint64]int{3: 3, 10: 10, 100: 10} {
		c, err := Collect(t.Context(), b.js, eventlog.Query{}, most)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(c.Requests()); got != want || (c.Begins > 0) != (most < 10) || c.Last != 10 || !c.Has(publisher.NewKey("billing", "r-9")) {
			t.Errorf("the last %d events: %d requests from %d on, of %d", most, got, c.Begins, c.Last)
		}
	}
}
