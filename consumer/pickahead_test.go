package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// aWay is how long each reading of a distantStream takes. A test under synctest measures by it how
// many readings came one after the other.
const aWay = time.Microsecond

// distantStream is a stream whose messages take a while to read.
type distantStream struct {
	jetstream.Stream
	reads atomic.Int32
	// failing, if non-nil, reports whether a reading fails.
	failing func(sequence uint64) error
}

func (s *distantStream) GetMsg(ctx context.Context, sequence uint64, options ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	time.Sleep(aWay) //nolint:forbidigo // the bubble's time
	s.reads.Add(1)
	if s.failing != nil {
		if err := s.failing(sequence); err != nil {
			return nil, err
		}
	}
	return s.Stream.GetMsg(ctx, sequence, options...)
}

// newDistantPicking is newPicking for a test under synctest.
func newDistantPicking(t *testing.T) (*Consumer, *distantStream, jetstream.JetStream) {
	t.Helper()
	nc := natstest.StartPipe(t).Connect(t)
	js := natstest.JetStream(t, nc)
	queue, err := js.Consumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	stream := &distantStream{Stream: natstest.Stream(t, js, publisher.RequestsStream)}
	c := &Consumer{nc: nc, js: js, requests: stream, queue: queue, inFlight: newInFlight(), log: zerolog.Nop()}
	c.picker = newPicker(c)
	return c, stream, js
}

// pickMany picks up to n requests at once and returns them, and how many readings came one after
// the other.
func pickMany(t *testing.T, p *picker, n int) (picked []*delivery, ways int) {
	t.Helper()
	began := time.Now()
	for free := n; free > 0; free-- {
		d, err := p.pick(t.Context(), free)
		if err != nil && !errors.Is(err, errEmpty) {
			t.Fatal(err)
		}
		if d == nil {
			break
		}
		picked = append(picked, d)
	}
	return picked, int(time.Since(began) / aWay)
}

// Requests that are picked at once are read at once: 64 of a line cost two round trips, and those
// that come back as many. They keep their order, also across gaps and other lines' messages.
func TestPicker_readsAhead(t *testing.T) {
	t.Parallel()
	natstest.Synctest(t, func(t *testing.T) {
		c, stream, js := newDistantPicking(t)
		var want []uint64
		for i := range 100 {
			sequence := publishTo(t, js, "backup.request.a")
			if i < 20 && i%3 == 0 {
				if err := c.requests.DeleteMsg(t.Context(), sequence); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want = append(want, sequence)
		}
		expect := func(what string, n, most int, want []uint64) []*delivery {
			t.Helper()
			c.picker.seenAt = time.Time{}
			picked, ways := pickMany(t, c.picker, n)
			var got []uint64
			for _, d := range picked {
				got = append(got, d.sequence)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s: picked are %v, want %v", what, got, want)
			}
			if ways > most {
				t.Errorf("%s: %d readings one after the other, want %d", what, ways, most)
			}
			return picked
		}
		first := expect("new ones", 64, 3, want[:64])
		for _, d := range first {
			d.nak(0)
		}
		stream.reads.Store(0)
		again := expect("those that have come back", 64, 2, want[:64])
		if got := stream.reads.Load(); got > 64 {
			t.Errorf("%d readings of 64 messages", got)
		}
		for _, d := range again {
			d.nak(0)
		}
		for _, sequence := range want[:10] {
			if err := c.requests.DeleteMsg(t.Context(), sequence); err != nil {
				t.Fatal(err)
			}
		}
		expect("with ten that are gone", 54, 2, want[10:64])
		expect("the rest", 64, 2, want[64:])
		expect("none", 64, 1, nil)
		expect("none again", 64, 0, nil)
	})
}

// A single start reads a single message: what is read ahead and not handed over is read in vain.
func TestPicker_readsOneForOne(t *testing.T) {
	t.Parallel()
	natstest.Synctest(t, func(t *testing.T) {
		c, stream, js := newDistantPicking(t)
		for range 50 {
			publishTo(t, js, "backup.request.a")
		}
		if picked, _ := pickMany(t, c.picker, 1); len(picked) != 1 || stream.reads.Load() != 1 {
			t.Errorf("%d messages picked by %d readings", len(picked), stream.reads.Load())
		}
	})
}

// What was read ahead is not older than the look at the stream: a message that another replica has
// deleted meanwhile is not handed over, and one that came later is found.
func TestPicker_forgetsWhatItReadAhead(t *testing.T) {
	t.Parallel()
	natstest.Synctest(t, func(t *testing.T) {
		c, _, js := newDistantPicking(t)
		for range 5 {
			publishTo(t, js, "backup.request.a")
		}
		next := func(want uint64) {
			t.Helper()
			d, err := c.picker.pick(t.Context(), 64)
			if err != nil && !errors.Is(err, errEmpty) {
				t.Fatal(err)
			}
			if d == nil && want != 0 || d != nil && d.sequence != want {
				t.Errorf("picked is %+v, want %d", d, want)
			}
		}
		next(1)
		if err := c.requests.DeleteMsg(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		next(2) // within the same look
		c.picker.seenAt = time.Time{}
		if err := c.requests.DeleteMsg(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		publishTo(t, js, "backup.request.a")
		for _, want := range []uint64{4, 5, 6, 0} {
			next(want)
		}
	})
}

// A reading that fails loses nothing of what was read before it and skips nothing.
func TestPicker_aReadingAheadFails(t *testing.T) {
	t.Parallel()
	natstest.Synctest(t, func(t *testing.T) {
		c, stream, js := newDistantPicking(t)
		for range 20 {
			publishTo(t, js, "backup.request.a")
		}
		trouble := nats.ErrTimeout
		failing := true
		stream.failing = func(sequence uint64) error {
			if failing && sequence >= 8 {
				return trouble
			}
			return nil
		}
		var got []uint64
		for len(got) < 20 {
			d, err := c.picker.pick(t.Context(), 20)
			if errors.Is(err, trouble) && failing {
				failing = false
				continue
			}
			if err != nil || d == nil {
				t.Fatalf("%v, after %v", err, got)
			}
			got = append(got, d.sequence)
		}
		for i, sequence := range got {
			if sequence != uint64(i+1) {
				t.Fatalf("picked are %v", got)
			}
		}
		if failing {
			t.Error("no reading has failed")
		}
	})
}

// Several lines share what may be picked.
func TestWidth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ free, lines, want int }{{96, 1, 32}, {96, 4, 24}, {3, 4, 1}, {1, 1, 1}, {0, 0, 1}, {20, 1, 20}} {
		if got := width(c.free, c.lines); got != c.want {
			t.Errorf("%s: %d, want %d", fmt.Sprintf("%d of %d lines", c.free, c.lines), got, c.want)
		}
	}
}
