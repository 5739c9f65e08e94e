package publisher_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// intrude stores messages without our form on a key's filter.
func intrude(t *testing.T, js jetstream.JetStream, key publisher.Key, number int) {
	t.Helper()
	for range number {
		if _, err := js.PublishAsync(key.Subject(schemas.KindJobStarted), []byte(`{"stream":"BACKUP_REQUESTS","seq":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-within(t, patience).Done():
		t.Fatal("the messages were not stored")
	}
}

// barrier is not a subject of the server.
const barrier = "$JS.API.STREAM.MSG.GET.BARRIER.1"

// Each foreign message is read once, however many calls it takes to find the event
// before them.
func TestLastReader_readsEachForeignMessageOnce(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	nc := s.Connect(t)
	js, pub, ctx := natstest.JetStream(t, nc), newPublisher(t, nc), within(t, patience)
	key, other := publisher.NewKey("crm", "victim"), publisher.NewKey("crm", "other")
	want, err := pub.Append(ctx, key, 0, failed(key, "refused"), "")
	if err != nil {
		t.Fatal(err)
	}
	const foreign = 5000
	intrude(t, js, key, foreign/2)
	intrude(t, js, other, 500)
	intrude(t, js, key, foreign/2)

	var reads, limit atomic.Int64
	var end atomic.Pointer[context.CancelFunc]
	observer := s.Connect(t)
	seen := make(chan struct{})
	if _, err := observer.Subscribe("$JS.API.STREAM.MSG.GET.>", func(msg *nats.Msg) {
		if msg.Subject == barrier {
			seen <- struct{}{}
			return
		}
		if cancel := end.Load(); reads.Add(1) == limit.Load() && cancel != nil {
			(*cancel)()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := observer.Flush(); err != nil {
		t.Fatal(err)
	}
	counted := func() { // waits until the observer has heard of every read
		if err := nc.Publish(barrier, nil); err != nil {
			t.Fatal(err)
		}
		<-seen
	}
	events := natstest.Stream(t, js, publisher.EventsStream)
	reader := publisher.NewLastReader(events)
	var event *jetstream.RawStreamMsg
	ended := 0
	for range 2 * foreign {
		short, cancel := context.WithCancel(ctx)
		end.Store(&cancel)
		limit.Store(reads.Load() + 2500)
		event, _, err = reader.Last(short, key.Filter())
		cancel()
		if err == nil {
			break
		}
		ended++
	}
	if err != nil || event == nil || event.Sequence != want || ended == 0 {
		t.Fatalf("event %v, %v after %d ended reads, want the event %d", event, err, ended, want)
	}
	counted()
	if got := reads.Load(); got > 3*foreign {
		t.Errorf("%d reads for %d foreign messages", got, foreign)
	}

	limit.Store(0)
	reads.Store(0)
	intrude(t, js, key, 10)
	if event, _, err = reader.Last(ctx, key.Filter()); err != nil || event == nil || event.Sequence != want {
		t.Errorf("again: %v, %v", event, err)
	}
	counted()
	if got := reads.Load(); got > 20 {
		t.Errorf("%d reads for 10 more foreign messages", got)
	}
}

// What was read in a stream does not apply to the next one with its name.
func TestLastReader_forgetsAStreamThatIsGone(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js, pub, ctx := natstest.JetStream(t, nc), newPublisher(t, nc), within(t, patience)
	key := publisher.NewKey("crm", "victim")
	events := natstest.Stream(t, js, publisher.EventsStream)
	reader := publisher.NewLastReader(events)
	for round, places := range []string{"exx", "xxxxx", "xex", "x"} { // e an event, x something else
		end, want := uint64(0), uint64(0)
		for _, place := range places {
			if place == 'x' {
				ack, err := js.Publish(ctx, key.Subject(schemas.KindJobStarted), []byte("{}"))
				if err != nil {
					t.Fatal(err)
				}
				end = ack.Sequence
				continue
			}
			var err error
			if end, err = pub.Append(ctx, key, end, failed(key, "refused"), ""); err != nil {
				t.Fatal(err)
			}
			want = end
		}
		event, last, err := reader.Last(ctx, key.Filter())
		if err != nil || last == nil || last.Sequence != end || (event == nil) != (want == 0) || event != nil && event.Sequence != want {
			t.Errorf("%d %s: event %v, last %v, %v; want %d and %d", round, strings.ToUpper(places), event, last, err, want, end)
		}
		for empty := false; !empty; { // seen with nats-server 2.15: the stream that was made had the old messages
			if err := js.DeleteStream(ctx, publisher.EventsStream); err != nil {
				t.Fatal(err)
			}
			made, err := js.CreateStream(ctx, events.CachedInfo().Config)
			if err != nil {
				t.Fatal(err)
			}
			empty = made.CachedInfo().State.LastSeq == 0
		}
	}
}

// What comes behind the messages that were read counts, and an event that is gone does not.
func TestLastReader_seesWhatChanges(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t, func(cfg *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if cfg != nil {
			cfg.DenyDelete = false
		}
	}).Connect(t)
	js, pub, ctx := natstest.JetStream(t, nc), newPublisher(t, nc), within(t, patience)
	key := publisher.NewKey("crm", "victim")
	events := natstest.Stream(t, js, publisher.EventsStream)
	reader := publisher.NewLastReader(events)
	read := func(what string, want uint64) {
		t.Helper()
		event, _, err := reader.Last(ctx, key.Filter())
		if err != nil || (event == nil) != (want == 0) || event != nil && event.Sequence != want {
			t.Errorf("%s: event %v, %v; want %d", what, event, err, want)
		}
	}
	var appended []uint64
	for end := uint64(0); len(appended) < 2; end++ {
		sequence, err := pub.Append(ctx, key, end, failed(key, "refused"), "")
		if err != nil {
			t.Fatal(err)
		}
		intrude(t, js, key, 1)
		appended, end = append(appended, sequence), sequence
		read("appended", sequence)
	}
	for i, want := range []uint64{appended[0], 0} {
		if err := events.DeleteMsg(ctx, appended[1-i]); err != nil {
			t.Fatal(err)
		}
		read("deleted", want)
	}
}

// gap is a stream with many messages of other requests behind a sequence.
type gap struct {
	jetstream.Stream
	behind, number uint64
}

func (g gap) moved(msg *jetstream.RawStreamMsg, err error) (*jetstream.RawStreamMsg, error) {
	if err == nil && msg.Sequence > g.behind {
		msg.Sequence += g.number
	}
	return msg, err
}

func (g gap) GetMsg(ctx context.Context, seq uint64, opts ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	if seq > g.behind {
		seq = max(seq, g.behind+1+g.number) - g.number
	}
	return g.moved(g.Stream.GetMsg(ctx, seq, opts...))
}

func (g gap) GetLastMsgForSubject(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return g.moved(g.Stream.GetLastMsgForSubject(ctx, subject))
}

// Of several events the last one counts, also where more foreign messages than are read of
// one window are between them.
func TestLastReader_readsAWindowToItsEnd(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js, pub, ctx := natstest.JetStream(t, nc), newPublisher(t, nc), within(t, patience)
	key := publisher.NewKey("crm", "victim")
	const foreign = 1100
	if _, err := pub.Append(ctx, key, 0, failed(key, "first"), ""); err != nil {
		t.Fatal(err)
	}
	intrude(t, js, key, foreign)
	want, err := pub.Append(ctx, key, foreign+1, failed(key, "last"), "")
	if err != nil {
		t.Fatal(err)
	}
	intrude(t, js, key, 1)
	events := natstest.Stream(t, js, publisher.EventsStream)
	// So far behind them that the windows have become large.
	event, _, err := publisher.LastEvent(ctx, gap{events, want, 15_000}, key.Filter())
	if err != nil || event == nil || event.Sequence != want {
		t.Errorf("event %v, %v; want %d", event, err, want)
	}
}
