package consumer

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher/natstest"
)

// A reading that fails between others that do not leaves no gap: what was read behind it is not
// handed over before it.
func TestPicker_oneReadingAheadFails(t *testing.T) {
	t.Parallel()
	natstest.Synctest(t, func(t *testing.T) {
		c, stream, js := newDistantPicking(t)
		for range 20 {
			publishTo(t, js, "backup.request.a")
		}
		failing := true
		stream.failing = func(sequence uint64) error {
			if failing && sequence == 8 {
				return nats.ErrTimeout
			}
			return nil
		}
		var got []uint64
		for len(got) < 20 {
			d, err := c.picker.pick(t.Context(), 20)
			if errors.Is(err, nats.ErrTimeout) && failing {
				failing = false
				continue
			}
			if err != nil || d == nil {
				t.Fatalf("%v, after %v", err, got)
			}
			if got = append(got, d.sequence); d.sequence != uint64(len(got)) {
				t.Fatalf("picked are %v", got)
			}
		}
	})
}

// A request that comes back and whose reading ahead fails is not taken for one that is gone.
func TestPicker_aReadingOfOneThatComesBackFails(t *testing.T) {
	t.Parallel()
	natstest.Synctest(t, func(t *testing.T) {
		c, stream, js := newDistantPicking(t)
		for range 5 {
			publishTo(t, js, "backup.request.a")
		}
		first, _ := pickMany(t, c.picker, 5)
		for _, d := range first {
			d.nak(0)
		}
		var failed atomic.Bool
		stream.failing = func(sequence uint64) error {
			if sequence == 3 && failed.CompareAndSwap(false, true) {
				return nats.ErrTimeout
			}
			return nil
		}
		again, _ := pickMany(t, c.picker, 8)
		var got []uint64
		for _, d := range again {
			got = append(got, d.sequence)
		}
		if want := []uint64{1, 2, 3, 4, 5}; !slices.Equal(got, want) || !failed.Load() {
			t.Errorf("picked are %v, want %v", got, want)
		}
	})
}

// What was read ahead of the requests that come back is used once, and within one look at the stream.
func TestPicker_forgetsThoseThatComeBack(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]bool{"within a look": false, "with the next look": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			natstest.Synctest(t, func(t *testing.T) {
				c, _, js := newDistantPicking(t)
				for range 3 {
					publishTo(t, js, "backup.request.a")
				}
				first, _ := pickMany(t, c.picker, 3)
				for _, d := range first {
					d.nak(0)
				}
				ahead := 1 // of the three that were read ahead, those that are picked
				if !look {
					ahead = 2
				}
				for range ahead {
					d, err := c.picker.pick(t.Context(), 8)
					if err != nil || d == nil {
						t.Fatalf("picked is %+v, %v", d, err)
					}
					if d.sequence == 2 {
						d.nak(0) // it comes back once more
					}
				}
				if look {
					c.picker.seenAt = time.Time{}
				}
				if err := c.requests.DeleteMsg(t.Context(), 2); err != nil {
					t.Fatal(err)
				}
				if d, err := c.picker.pick(t.Context(), 8); err != nil || d == nil || d.sequence != 3 {
					t.Errorf("picked is %+v, %v, want the one behind the one that is gone", d, err)
				}
			})
		})
	}
}

// At the end of a line nothing is read again within a look, and no more is read at once than may be.
func TestPicker_readsNoMore(t *testing.T) {
	t.Parallel()
	natstest.Synctest(t, func(t *testing.T) {
		c, stream, js := newDistantPicking(t)
		for range 5 {
			publishTo(t, js, "backup.request.a")
		}
		for range 5 {
			if d, err := c.picker.pick(t.Context(), 8); err != nil || d == nil {
				t.Fatalf("picked is %+v, %v", d, err)
			}
		}
		if d, err := c.picker.pick(t.Context(), 8); err != nil || d != nil {
			t.Errorf("picked is %+v, %v, want none", d, err)
		}
		if got := stream.reads.Load(); got != 8 {
			t.Errorf("%d readings, want 8 at once", got)
		}
	})
	natstest.Synctest(t, func(t *testing.T) {
		c, stream, js := newDistantPicking(t)
		for range 20 {
			publishTo(t, js, "backup.request.a")
		}
		first, _ := pickMany(t, c.picker, 20)
		for _, d := range first {
			d.nak(0)
		}
		stream.reads.Store(0)
		if d, err := c.picker.pick(t.Context(), 4); err != nil || d == nil {
			t.Fatalf("picked is %+v, %v", d, err)
		}
		if got := stream.reads.Load(); got != 4 {
			t.Errorf("%d readings of requests that come back, want 4", got)
		}
	})
}
