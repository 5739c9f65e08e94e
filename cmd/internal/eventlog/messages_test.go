package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

func (l *log) consumers() (all []*jetstream.ConsumerInfo) {
	l.Helper()
	stream := natstest.Stream(l, l.js, publisher.EventsStream)
	list := stream.ListConsumers(l.Context())
	for info := range list.Info() {
		if info.Config.Durable == "" {
			all = append(all, info)
		}
	}
	if list.Err() != nil {
		l.Fatal(list.Err())
	}
	return all
}

// However a reading ends, its consumer is gone when it returns. During the reading
// there is one, which the server deletes soon if the process is killed.
func TestMessages_DeletesItsConsumer(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	for i := range 3 {
		l.append(started("billing", fmt.Sprint("r-", i), nil))
	}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		end    error // of the second visit
		cancel bool
		follow bool
		want   error
	}{
		"to its end":       {},
		"stopped":          {end: ErrStop},
		"failed":           {end: broken, want: broken},
		"interrupted":      {cancel: true, want: context.Canceled},
		"follow, stopped":  {follow: true, end: ErrStop},
		"follow, failed":   {follow: true, end: broken, want: broken},
		"follow, canceled": {follow: true, cancel: true, want: context.Canceled},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		visits := 0
		err := Read(ctx, l.js, Query{Follow: c.follow}, func(Event) error {
			open := l.consumers()
			if len(open) != 1 || open[0].Config.InactiveThreshold != InactiveThreshold {
				t.Errorf("%s: while it reads, the consumers are %v", name, open)
			}
			if visits++; visits < 2 {
				return nil
			}
			if c.cancel {
				cancel()
			}
			return c.end
		})
		cancel()
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if left := l.consumers(); len(left) > 0 {
			t.Errorf("%s: left %d consumers", name, len(left))
		}
	}
}

// A message that is larger than what a pull may bring is read as well.
func TestMessages_ReadsWhatDoesNotFitInAPull(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	for _, size := range []int{10, 5000, 10, 10, 5000} {
		if _, err := l.js.Publish(t.Context(), "backup.event.operator.pause", []byte(strings.Repeat("x", size))); err != nil {
			t.Fatal(err)
		}
	}
	var got []int
	r := reading{js: l.js, stream: publisher.EventsStream, bytes: 1000, visit: func(msg jetstream.Msg, _ *jetstream.MsgMetadata) error {
		got = append(got, len(msg.Data()))
		return nil
	}}
	if err := r.run(t.Context()); err != nil || !slices.Equal(got, []int{10, 5000, 10, 10, 5000}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// A consumer that is lost in the middle is made again behind what was read.
func TestMessages_GoesOnAfterALostConsumer(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	var want []string
	for i := range 2*batchMessages + 10 {
		want = append(want, fmt.Sprint("billing/r-", i))
		l.append(started("billing", fmt.Sprint("r-", i), nil))
	}
	var got []string
	err := Read(t.Context(), l.js, Query{}, func(e Event) error {
		if got = append(got, e.Key.String()); len(got) == 5 {
			DeleteConsumer(t.Context(), l.js, publisher.EventsStream, l.consumers()[0].Name)
		}
		return nil
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("read %d events, want %d: %v", len(got), len(want), err)
	}
	if left := l.consumers(); len(left) > 0 {
		t.Errorf("left %d consumers", len(left))
	}
}

// A consumer on a server that is behind the leader says that nothing is pending. Reading
// goes on until it has what the leader had when it began.
func TestMessages_WaitsForWhatTheLeaderHas(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.append(started("billing", "r-0", nil))
	visits := 0
	r := reading{js: l.js, stream: publisher.EventsStream, bytes: batchBytes, target: 2, visit: func(jetstream.Msg, *jetstream.MsgMetadata) error {
		if visits++; visits == 1 { // nothing is pending any more
			l.append(started("billing", "r-1", nil))
		}
		return nil
	}}
	if err := r.run(t.Context()); err != nil || visits != 2 {
		t.Errorf("%d messages, %v, want two", visits, err)
	}
}

func TestLastOf(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	for i := range 3 {
		l.append(started("billing", fmt.Sprint("r-", i), nil))
	}
	later := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		cfg  jetstream.ConsumerConfig
		want uint64
	}{
		"all":          {jetstream.ConsumerConfig{}, 3},
		"filters":      {jetstream.ConsumerConfig{FilterSubjects: []string{publisher.NewKey("billing", "r-0").Filter(), publisher.NewKey("billing", "r-1").Filter()}}, 2},
		"none":         {jetstream.ConsumerConfig{FilterSubjects: []string{publisher.NewKey("billing", "x").Filter()}}, 0},
		"begins later": {jetstream.ConsumerConfig{OptStartSeq: 4}, 0},
		"later time":   {jetstream.ConsumerConfig{OptStartTime: &later}, 0},
	} {
		if got := lastOf(t.Context(), l.js, publisher.EventsStream, c.cfg); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
