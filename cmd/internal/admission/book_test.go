package admission

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func TestBook_AdmitsUpToTheLimit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		accepted []int // minutes
		asks     int
		limit    int
		want     int // minutes; 0 for admitted
	}{
		"first":                    {nil, 5, 1, 0},
		"below":                    {[]int{1, 2}, 5, 3, 0},
		"full":                     {[]int{1, 2, 3}, 5, 3, 61},
		"full, more than once":     {[]int{1, 2, 3, 4, 5}, 6, 3, 63},
		"the oldest has left":      {[]int{1, 2, 3}, 61, 3, 0},
		"the oldest is still here": {[]int{1, 2, 3}, 60, 3, 61},
		"out of order":             {[]int{10, 20, 30}, 5, 3, 70},
		"out of order, in between": {[]int{10, 20, 80}, 50, 3, 0},
		"too dense in between":     {[]int{10, 20, 65}, 50, 3, 70},
		"long ago":                 {[]int{200, 201, 202}, 5, 3, 0},
		"lowered limit":            {[]int{1, 2, 3, 4}, 5, 1, 64},
	} {
		b := newBook()
		for i, m := range test.accepted {
			b.note(fmt.Sprint("id-", i), at(m))
		}
		capacityAt := b.admit("new", at(test.asks), test.limit, at(1000))
		if want := at(test.want); test.want == 0 && !capacityAt.IsZero() || test.want != 0 && !capacityAt.Equal(want) {
			t.Errorf("%s: capacity at %s, want %s", name, capacityAt, want)
		}
		if capacityAt.IsZero() {
			continue
		}
		if again := b.admit("new", capacityAt, test.limit, at(1000)); !again.IsZero() {
			t.Errorf("%s: denied at %s", name, capacityAt)
		}
	}
}

func TestBook_CountsARequestOnce(t *testing.T) {
	t.Parallel()
	b := newBook()
	for range 3 { // delivered again
		if capacityAt := b.admit("one", at(1), 2, at(1)); !capacityAt.IsZero() {
			t.Fatal("a redelivery was counted")
		}
	}
	b.note("one", at(1))
	b.note("one", at(1)) // claimed again
	if capacityAt := b.admit("two", at(2), 2, at(2)); !capacityAt.IsZero() {
		t.Fatal("a renewed claim was counted")
	}
	if capacityAt := b.admit("three", at(3), 2, at(3)); capacityAt.IsZero() {
		t.Fatal("the third was admitted")
	}
	// The second was never claimed: it duplicated an older request.
	if capacityAt := b.admit("three", at(3), 2, at(2).Add(reservation+time.Second)); !capacityAt.IsZero() {
		t.Fatal("the reservation did not end")
	}
	b.forget(at(3))
	if len(b.accepted) != 1 || len(b.known) != 1 || len(b.reserved) != 1 {
		t.Errorf("the book has %+v", b)
	}
}

// In any order of requests, every hour stays within the limit, and a request that
// fits is admitted.
func TestBook_KeepsEveryHourWithinTheLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 6).Draw(t, "limit")
		b := newBook()
		var accepted []int
		most := func(minutes []int) (n int) {
			for _, from := range minutes {
				in := 0
				for _, m := range minutes {
					if m >= from && m < from+60 {
						in++
					}
				}
				n = max(n, in)
			}
			return n
		}
		for i, m := range rapid.SliceOfN(rapid.IntRange(0, 200), 1, 60).Draw(t, "minutes") {
			admitted := b.admit(fmt.Sprint(i), at(m), limit, noon).IsZero()
			with := append(slices.Clone(accepted), m)
			if fits := most(with) <= limit; fits != admitted {
				t.Fatalf("%v and %d with limit %d: admitted is %t", accepted, m, limit, admitted)
			}
			if admitted {
				accepted = with
			}
		}
	})
}
