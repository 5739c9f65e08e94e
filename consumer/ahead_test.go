package consumer

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &ahead{atVendor: make(chan struct{}, 4), most: 8}
		var mu sync.Mutex
		tickets := make(map[int]*ticket)
		begin := func(n int, stop context.Context) {
			go func() {
				ticket := a.enter(stop)
				mu.Lock()
				defer mu.Unlock()
				if ticket != nil {
					tickets[n] = ticket
				}
			}()
			synctest.Wait()
		}
		leave := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			tickets[n].leave()
		}
		want := func(n int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if entered := slices.Sorted(maps.Keys(tickets)); len(entered) != n || entered[n-1] != n-1 {
				t.Fatalf("entered: %v, want the first %d", entered, n)
			}
		}
		stop, end := context.WithCancel(t.Context())
		for n := range 9 {
			begin(n, t.Context())
		}
		begin(99, stop)
		want(4 + leastAhead)
		end() // the last one gives up
		synctest.Wait()
		leave(0)
		leave(0)
		want(7)

		// A claim takes a quarter of an attempt: the vendor finishes one during a claim.
		a.took(&a.attempt, 400*time.Millisecond)
		want(7)
		a.took(&a.claim, 100*time.Millisecond)
		want(9)
		for n := range 9 {
			leave(n)
		}
		for n := 9; n < 30; n++ {
			begin(n, t.Context())
		}
		want(9 + 4 + leastAhead + 2)

		// A claim takes as long as an attempt: there is a limit.
		for range 200 {
			a.took(&a.claim, 400*time.Millisecond)
		}
		want(9 + 4 + 8)
		for n := 9; n < 30; n++ {
			leave(n)
			synctest.Wait()
		}
		want(30)
		if a.open != 0 || len(a.waiting) != 0 {
			t.Errorf("%d open and %d waiting, want none", a.open, len(a.waiting))
		}
	})
}
