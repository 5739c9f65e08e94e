package reader

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/pull"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
)

const patience = time.Minute

var started = Durable{publisher.EventsStream, publisher.FollowerConsumer}

// delivers sets where the consumer begins.
func delivers(policy jetstream.DeliverPolicy) natstest.Change {
	return func(_ *jetstream.StreamConfig, cfg *jetstream.ConsumerConfig) {
		if cfg != nil && cfg.Durable == started.Consumer {
			cfg.DeliverPolicy = policy
		}
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t, delivers(jetstream.DeliverAllPolicy)).Connect(t)
	js := natstest.JetStream(t, nc)
	for range 2 {
		if _, err := js.Publish(t.Context(), "backup.event.job-started.billing.a", nil); err != nil {
			t.Fatal(err)
		}
	}
	waittest.Eventually(t, "knowledge of both messages", func() bool { // the consumer hears of them after the publisher
		c, err := js.Consumer(t.Context(), started.Stream, started.Consumer)
		return err == nil && c.CachedInfo().NumPending == 2
	})
	for _, step := range []struct{ first, waiting uint64 }{{0, 2}, {2, 1}, {1, 2}} {
		info, err := started.Reset(t.Context(), nc, step.first)
		if err != nil || info.NumPending != step.waiting || info.Config.AckWait == 0 {
			t.Errorf("from %d: %v, %d wait, want %d", step.first, err, info.NumPending, step.waiting)
		}
	}
	if err := js.DeleteConsumer(t.Context(), started.Stream, started.Consumer); err != nil {
		t.Fatal(err)
	}
	// The server answers nothing, as one that knows no reset.
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := started.Reset(soon, nc, 0); err == nil || !strings.Contains(err.Error(), "reset "+started.String()+": no answer: it is not there") {
		t.Errorf("no consumer: %v", err)
	}
}

// A refusal of the server is an error, not the beginning.
func TestReset_refused(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t, delivers(jetstream.DeliverNewPolicy)).Connect(t)
	if _, err := started.Reset(t.Context(), nc, 1); err == nil || !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("got %v", err)
	}
}

// A pull has bounds in messages, bytes and time, and heartbeats. One for a batch ends when it has
// brought what is there.
func TestAsk(t *testing.T) {
	t.Parallel()
	nc := natstest.StartBare(t).Connect(t)
	asked, err := nc.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.S.c")
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(*pull.Pulls, *nats.Conn) error{"one after the other": Ask, "many at once": AskBatch} {
		pulls := Durable{"S", "c"}.Pulls(nc)
		if err := ask(pulls, nc); err != nil {
			t.Fatal(err)
		}
		msg, err := asked.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]any)
		if err := json.Unmarshal(msg.Data, &got); err != nil {
			t.Fatal(err)
		}
		for option, want := range map[string]any{
			"batch": float64(Batch), "max_bytes": float64(Bytes + nc.MaxPayload()), "expires": float64(Expiry), "idle_heartbeat": float64(Heartbeat),
		} {
			if got[option] != want {
				t.Errorf("%s: %s is %v, want %v", name, option, got[option], want)
			}
		}
		if got["no_wait"] != nil != (name == "many at once") {
			t.Errorf("%s: no_wait is %v", name, got["no_wait"])
		}
		if pulls.Asked != Batch || cap(pulls.Incoming) < 2*Batch {
			t.Errorf("%s: %d are asked for, with a buffer for %d", name, pulls.Asked, cap(pulls.Incoming))
		}
	}
}

// A pull for a batch waits for the first message, and ends with what is there.
func TestAskBatch(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t, delivers(jetstream.DeliverAllPolicy)).Connect(t)
	js := natstest.JetStream(t, nc)
	pulls := started.Pulls(nc)
	sub, err := pulls.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	store := func(n int) {
		for range n {
			if _, err := js.Publish(t.Context(), "backup.event.job-started.billing.a", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, before := range []int{2, 0} {
		store(before)
		if err := AskBatch(pulls, nc); err != nil {
			t.Fatal(err)
		}
		if before == 0 {
			store(1)
		}
		brought := 0
		for pulls.Asked > 0 {
			answer, err := pulls.Heard(<-pulls.Incoming)
			if err != nil {
				t.Fatal(err)
			}
			if answer == pull.Message {
				brought++
			}
		}
		if want := max(before, 1); brought != want {
			t.Errorf("%d messages are brought, want %d", brought, want)
		}
	}
}

func TestSilent(t *testing.T) {
	t.Parallel()
	pulls := Durable{"S", "c"}.Pulls(&nats.Conn{})
	pulls.HeardAt = time.Now().Add(-silence)
	if err := Silent(pulls); err != nil {
		t.Errorf("without a pull: %v", err)
	}
	if pulls.Asked = 1; !errors.Is(Silent(pulls), errSilent) {
		t.Error("the silence is not heard")
	}
}

// A replica reads when no other one does in two checks shortly after each other.
func TestStandBy(t *testing.T) {
	failed := errors.New("failed")
	const gap = 2 * time.Second
	state := func(waiting int, paused bool) *jetstream.ConsumerInfo {
		return &jetstream.ConsumerInfo{NumWaiting: waiting, Paused: paused}
	}
	after := func(d time.Duration) *jetstream.ConsumerInfo { // of the last delivery, by the server's clock
		last := time.Unix(1, 0)
		return &jetstream.ConsumerInfo{Delivered: jetstream.SequenceInfo{Last: &last}, TimeStamp: last.Add(d)}
	}
	at := func(consumer, stream uint64, last int64) *jetstream.ConsumerInfo {
		info := &jetstream.ConsumerInfo{Delivered: jetstream.SequenceInfo{Consumer: consumer, Stream: stream}, TimeStamp: time.Unix(last+100, 0)}
		if last > 0 {
			when := time.Unix(last, 0)
			info.Delivered.Last = &when
		}
		return info
	}
	for name, c := range map[string]struct {
		states []*jetstream.ConsumerInfo // nil is a failure
		others int
		again  int // second checks
		err    error
	}{
		"nobody reads":           {[]*jetstream.ConsumerInfo{state(0, false), state(0, false)}, 0, 1, nil},
		"another one reads":      {[]*jetstream.ConsumerInfo{state(1, false), state(1, false), state(0, false), state(0, false)}, 2, 1, nil},
		"between two of its own": {[]*jetstream.ConsumerInfo{state(0, false), state(1, false), state(0, false), state(0, false)}, 1, 2, nil},
		"in the gap of another":  {[]*jetstream.ConsumerInfo{after(gap + gapMargin - 1), after(gap + gapMargin), after(time.Hour)}, 1, 1, nil},
		"in a backlog of its":    {[]*jetstream.ConsumerInfo{at(1000, 1000, 1), at(2000, 2000, 1), at(2000, 2000, 1), at(2000, 2000, 1)}, 1, 2, nil},
		"it has begun":           {[]*jetstream.ConsumerInfo{at(0, 0, 0), at(0, 0, 1), at(0, 0, 1), at(0, 0, 1)}, 1, 2, nil},
		"it was reset":           {[]*jetstream.ConsumerInfo{at(9, 9, 1), at(0, 9, 1), at(0, 9, 1), at(0, 8, 1), at(0, 8, 1), at(0, 8, 1)}, 2, 3, nil},
		"it delivers again":      {[]*jetstream.ConsumerInfo{at(9, 9, 1), at(9, 9, 2), at(9, 9, 2), at(9, 9, 2)}, 1, 2, nil},
		"paused":                 {[]*jetstream.ConsumerInfo{state(0, true)}, 0, 0, errPaused},
		"no answer":              {[]*jetstream.ConsumerInfo{nil}, 0, 0, failed},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, looks, others := time.Now(), 0, 0
			err := StandBy(t.Context(), gap, func(ctx context.Context) (*jetstream.ConsumerInfo, error) {
				if end, ok := ctx.Deadline(); !ok || time.Until(end) > AskTimeout {
					t.Errorf("%s: the question has no end", name)
				}
				looks++
				if c.states[looks-1] == nil {
					return nil, failed
				}
				return c.states[looks-1], nil
			}, func() { others++ })
			took, least := time.Since(began), time.Duration(c.others)*checkEvery+time.Duration(c.again)*checkAgain
			if !errors.Is(err, c.err) || looks != len(c.states) || others != c.others || took < least || took > least+2*time.Duration(c.again)*checkAgain {
				t.Errorf("%s: %v after %s and %d looks, another one in %d", name, err, took, looks, others)
			}
		})
	}
}

// A stop ends the wait, and is its error.
func TestStandBy_stops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancelCause(t.Context())
		err := StandBy(ctx, 0, func(context.Context) (*jetstream.ConsumerInfo, error) {
			return &jetstream.ConsumerInfo{NumWaiting: 1}, nil
		}, func() { stop(ErrStopping) })
		if !errors.Is(err, ErrStopping) {
			t.Errorf("got %v", err)
		}
	})
}

// A reader without gaps has an open pull, so a delivery of just now says nothing.
func TestStandBy_noGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		err := StandBy(t.Context(), 0, func(context.Context) (*jetstream.ConsumerInfo, error) {
			return &jetstream.ConsumerInfo{Delivered: jetstream.SequenceInfo{Last: &now}, TimeStamp: now}, nil
		}, func() { t.Fatal("another one reads") })
		if err != nil {
			t.Error(err)
		}
	})
}

func TestListen(t *testing.T) {
	t.Parallel()
	nc := natstest.StartBare(t).Connect(t)
	type state struct{ Reading bool }
	if got, err := Listen[state](t.Context(), nc, "state", 20*time.Millisecond); err != nil || got != nil {
		t.Errorf("without a reader: %v, %v", got, err)
	}
	for text, want := range map[string]bool{`{"Reading":true}`: true, `nonsense`: false} {
		ctx, cancel := context.WithCancel(t.Context())
		told := make(chan struct{})
		go func() {
			defer close(told)
			for ctx.Err() == nil {
				_ = nc.Publish("state", []byte(text))
				<-time.After(time.Millisecond)
			}
		}()
		got, err := Listen[state](t.Context(), nc, "state", patience)
		cancel()
		<-told
		if want != (err == nil && got != nil && got.Reading) || !want && err == nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestTrouble(t *testing.T) {
	var trouble Trouble
	failed := errors.New("failed")
	if trouble.Err() != nil {
		t.Error(trouble.Err())
	}
	if trouble.Note(failed); !errors.Is(trouble.Err(), failed) {
		t.Error(trouble.Err())
	}
	if trouble.Note(nil); trouble.Err() != nil {
		t.Error(trouble.Err())
	}
}
