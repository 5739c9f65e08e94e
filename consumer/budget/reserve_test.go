package budget

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// reserve takes a turn and returns the error, and what ends the call.
func reserve(b *Budget, subject string, number uint64) (end func(bool), err error) {
	grant, err := b.Reserve(context.Background(), subject, number)
	return grant.End, err
}

// TestReserve: of replicas that want the same turn, one has it. The others get no start, and know the
// order of now. A call without a turn changes no order.
func TestReserve(t *testing.T) {
	onBench(t, func(b *bench) {
		one, other := b.budget("a", 100), b.budget("b", 100)
		<-time.After(refresh)
		for number := range uint64(4) {
			var granted, refused atomic.Int32
			var all sync.WaitGroup
			for _, r := range []*Budget{one, other, one, other} {
				all.Go(func() {
					end, err := reserve(r, fmt.Sprint("s", number), number)
					switch {
					case err == nil:
						granted.Add(1)
						end(true)
					case errors.Is(err, ErrTurn):
						refused.Add(1)
					default:
						b.t.Error(err)
					}
				})
			}
			all.Wait()
			if granted.Load() != 1 || refused.Load() != 3 {
				b.t.Fatalf("turn %d was granted %d times and refused %d times", number, granted.Load(), refused.Load())
			}
			take(b.t, one)
		}
		if v := one.Order(); v.Number != 4 || fmt.Sprint(v.Served) != "[s0 s1 s2 s3]" {
			b.t.Errorf("the order is %+v", v)
		}
		if _, err := reserve(other, "late", 2); !errors.Is(err, ErrTurn) || other.Order().Number != 4 {
			b.t.Errorf("a turn that is over: %v, then the order %+v", err, other.Order())
		}
	})
}

// TestReserve_several: a process takes several turns at once, in their order whoever asks first.
func TestReserve_several(t *testing.T) {
	onBench(t, func(b *bench) {
		one := b.budget("a", 100)
		<-time.After(refresh)
		before := b.last()
		one.working <- struct{}{} // until all wait
		var all sync.WaitGroup
		for _, number := range []uint64{0, 2, 1} { // the first is being written when the others come
			all.Go(func() {
				if _, err := reserve(one, fmt.Sprint("s", number), number); err != nil {
					b.t.Errorf("turn %d: %v", number, err)
				}
			})
			synctest.Wait()
		}
		<-one.working
		all.Wait()
		if writes := b.last() - before; writes > 2 || one.Order().Number != 3 {
			b.t.Errorf("%d writes, the order %+v", writes, one.Order())
		}
	})
}

// TestReserve_crash: a process dies with a turn and sends nothing. The next turn is free at once, and
// its call counts for as long as it could be sent.
func TestReserve_crash(t *testing.T) {
	onBench(t, func(b *bench) {
		dead, other := b.budget("a", 2), b.budget("b", 2)
		<-time.After(refresh)
		if _, err := reserve(dead, "s0", 0); err != nil {
			b.t.Fatal(err)
		}
		if _, err := reserve(other, "s1", 0); !errors.Is(err, ErrTurn) { // its order is old
			b.t.Fatalf("the first try: %v", err)
		}
		if _, err := reserve(other, "s1", other.Order().Number); err != nil {
			b.t.Fatal(err)
		}
		if wait, _ := wantNone(b.t, b.budget("c", 2)); wait < hour {
			b.t.Errorf("a call is free after %s", wait)
		}
	})
}

// TestReserve_givesBack: what was reserved and not sent may be taken at once, before that is on record.
func TestReserve_givesBack(t *testing.T) {
	onBench(t, func(b *bench) {
		one := b.budget("a", 1)
		<-time.After(refresh)
		for range 5 {
			end, err := reserve(one, "s", one.Order().Number)
			if err != nil {
				b.t.Fatal(err)
			}
			if left, _ := one.Left(1); left != 0 {
				b.t.Error("a call is left that is reserved")
			}
			end(false)
			if left, wait := one.Left(1); left != 1 {
				b.t.Errorf("%d calls are left, wait %s", left, wait)
			}
		}
		end, err := reserve(one, "s", one.Order().Number)
		if err != nil {
			b.t.Fatal(err)
		}
		end(true)
		if left, _ := one.Left(1); left != 0 {
			b.t.Error("a call is left that was sent")
		}
	})
}

// TestReserve_givesBackOneOfTwo: of two calls, one was sent and one was not. One is left.
func TestReserve_givesBackOneOfTwo(t *testing.T) {
	onBench(t, func(b *bench) {
		one := b.budget("a", 40)
		spend(b.t, one, 38)
		<-time.After(refresh)
		sent, err := reserve(one, "s", 0)
		if err != nil {
			b.t.Fatal(err)
		}
		unsent, err := reserve(one, "s", 1)
		if err != nil {
			b.t.Fatal(err)
		}
		sent(true)
		unsent(false)
		if left, wait := one.Left(5); left != 1 {
			b.t.Errorf("%d calls are left, wait %s", left, wait)
		}
	})
}
