package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/pull"
	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// session is a session that was not begun: its methods are called one by one.
func (b *bench) session(routes string) *session {
	b.Helper()
	t, err := New(b.Context(), Config{}, b.nats.Connect(b), parse(b, routes), b.store, zerolog.New(b.log))
	if err != nil {
		b.Fatal(err)
	}
	return newSession(t)
}

// alone is a session without a server.
func alone(rs *Routes) *session {
	t := &Trigger{nc: &nats.Conn{}, observe: silent{}}
	t.routes.Store(rs)
	return newSession(t)
}

// delivery is a notification as the consumer delivers it.
func delivery(stream, consumer uint64, stored time.Time, pending int, data string) *nats.Msg {
	return &nats.Msg{
		Subject: "storage.event.minio", Sub: &nats.Subscription{}, Data: []byte(data),
		Reply: fmt.Sprintf("%s%s.%s.1.%d.%d.%d.%d", pull.AckPrefix, publisher.StorageStream, publisher.StorageConsumer, stream, consumer, stored.UnixNano(), pending),
	}
}

// What a session answers to redeliveries and to a missing delivery.
func TestSession_take(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.session("routes:\n- {container: a, window: {quiet: 1h, max: 2h}" + to("g"))
	acks, err := s.trigger.nc.SubscribeSync(pull.AckPrefix + ">")
	if err != nil {
		t.Fatal(err)
	}
	acked := func() (all []string) {
		t.Helper()
		if err := s.trigger.nc.Flush(); err != nil {
			t.Fatal(err)
		}
		for n, _, _ := acks.Pending(); n > 0; n-- {
			msg, err := acks.NextMsg(time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, strings.TrimPrefix(msg.Subject, pull.AckPrefix+publisher.StorageStream+"."+publisher.StorageConsumer+".")[:5]+" "+string(msg.Data))
		}
		return all
	}
	old := time.Now().Add(-time.Hour)
	// Ahead of this clock, it is the server's time, and has no age however slow this test is.
	fresh := time.Now().Add(30 * time.Minute)
	s.pulls.Asked = 10
	for n, step := range []struct {
		msg    *nats.Msg
		behind bool
		acks   []string
	}{
		{delivery(1, 1, old, 5, put("a", "1")), true, nil},
		{delivery(1, 2, old, 5, put("a", "1")), true, nil},                        // again, and it is held
		{delivery(2, 3, old, 5, put("other", "1")), true, []string{"1.2.3 +ACK"}}, // for no route
		{delivery(2, 4, old, 5, put("other", "1")), true, []string{"1.2.4 +ACK"}}, // again: the acknowledgement was lost
		{delivery(3, 5, fresh, 5, put("a", "2")), false, nil},                     // just stored
		{delivery(4, 6, old, 5, put("a", "2")), true, nil},                        // written once more
		{delivery(5, 7, old, 0, put("a", "3")), false, nil},                       // the last one
	} {
		if err := s.heard(t.Context(), step.msg); err != nil {
			t.Fatalf("delivery %d: %v", n, err)
		}
		if got := acked(); !slices.Equal(got, step.acks) || s.collected.behind != step.behind || s.pulls.Asked != 9-n {
			t.Errorf("after delivery %d: %q are acknowledged, behind %t, %d are asked for; want %q, %t, %d", n, got, s.collected.behind, s.pulls.Asked, step.acks, step.behind, 9-n)
		}
	}
	if len(s.collected.messages) != 4 || s.collected.changes != 3 {
		t.Errorf("%d notifications with %d changes are held, want 4 with 3", len(s.collected.messages), s.collected.changes)
	}
	s.ackWait = time.Minute
	s.collected.messages[1].touched = time.Now().Add(-30 * time.Second)
	s.progress()
	s.progress()
	if got := acked(); !slices.Equal(got, []string{"1.1.2 +WPI"}) {
		t.Errorf("%q are acknowledged as in progress, want the first notification, once, by its last delivery", got)
	}
	ahead := time.Now().Add(time.Hour) // by the server's clock
	if err := s.take(t.Context(), delivery(6, 8, ahead, 5, put("a", "4"))); err != nil || s.collected.now().Before(ahead) || s.collected.behind {
		t.Errorf("%v; after a message of %s it is %s, behind %t", err, ahead, s.collected.now(), s.collected.behind)
	}
	if err := s.take(t.Context(), delivery(8, 10, old, 0, put("a", "5"))); !errors.Is(err, reader.ErrGap) {
		t.Errorf("a missing delivery: %v", err)
	}
}

// Another reader resets the consumer and reads exactly as many messages as this one has read. Then
// the next delivery has the number that this one expects, and messages are missing nevertheless.
func TestSession_anotherReaderReadsAsMany(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publish(put("a", "1"), put("a", "2"), put("a", "3"), put("a", "4"))
	s := b.session("routes:\n- {container: a, window: {quiet: 1h, max: 2h}" + to("g"))
	sub, err := s.pulls.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := func(pulls *pull.Pulls, heard func(*nats.Msg) error) error {
		t.Helper()
		if err := pulls.Ask(2, `"expires":60000000000`); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := heard(<-pulls.Incoming); err != nil {
				return err
			}
		}
		return nil
	}
	ours := func(msg *nats.Msg) error { return s.heard(t.Context(), msg) }
	if err := read(s.pulls, ours); err != nil || len(s.collected.messages) != 2 {
		t.Fatalf("%v, and %d messages are read", err, len(s.collected.messages))
	}

	s.settle(s.collected.messages[1].reply, "+ACK")
	b.eventually("the first message is gone", func() bool { return b.pending() == 3 })
	if _, err := durable.Reset(t.Context(), b.nc, 1); err != nil {
		t.Fatal(err)
	}
	others := durable.Pulls(b.nc)
	otherSub, err := others.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = otherSub.Unsubscribe() }()
	if err := read(others, func(msg *nats.Msg) error { _, err := others.Heard(msg); return err }); err != nil {
		t.Fatal(err)
	}

	if err := s.pull(); err != nil {
		t.Fatal(err)
	}
	if err := ours(<-s.pulls.Incoming); !errors.Is(err, reader.ErrGap) {
		t.Errorf("%v; message 3 was delivered to another reader", err)
	}
}

// A heartbeat means that everything was read. The end of a pull does not.
func TestSession_heard(t *testing.T) {
	t.Parallel()
	for status, behind := range map[string]bool{"100": false, "408": true} {
		s := newSession(&Trigger{nc: &nats.Conn{}})
		s.collected.behind = true
		if err := s.heard(t.Context(), &nats.Msg{Header: nats.Header{"Status": {status}}}); err != nil || s.collected.behind != behind {
			t.Errorf("after status %s: %v, behind %t", status, err, s.collected.behind)
		}
	}
	if err := newSession(&Trigger{nc: &nats.Conn{}}).heard(t.Context(), &nats.Msg{Header: nats.Header{"Status": {"503"}}}); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("without JetStream: %v", err)
	}
}

// A pull says when it ends and how often the server is heard, and is made when the last
// one is over and there is memory for what it brings.
func TestSession_pull(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	pulls, err := b.nc.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	s := b.session(routesFor("quiet: 1s", "a"))
	open := func() {
		t.Helper()
		if err := s.pull(); err != nil {
			t.Fatal(err)
		}
	}
	s.collected.changes = maxHeld
	open()
	s.collected.changes, s.pulls.Asked = maxHeld-1, 1
	open()
	s.pulls.Asked = 0
	open()
	open()
	msg, err := pulls.NextMsg(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var request map[string]int64
	if err := json.Unmarshal(msg.Data, &request); err != nil {
		t.Fatal(err)
	}
	if request["batch"] != reader.Batch || request["expires"] != int64(reader.Expiry) || request["idle_heartbeat"] != int64(reader.Heartbeat) ||
		request["max_bytes"] < reader.Bytes || s.pulls.Asked != reader.Batch {
		t.Errorf("the pull is %s, and %d are asked for", msg.Data, s.pulls.Asked)
	}
	if err := s.trigger.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := b.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := pulls.Pending(); n != 0 {
		t.Errorf("%d more pulls", n)
	}
}

func TestSession_reset(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.session(routesFor("quiet: 1s", "a"))
	if err := s.reset(t.Context()); err != nil || s.ackWait == 0 || s.maxPending == 0 || s.trigger.done.Since.IsZero() {
		t.Errorf("%v; ack wait %s, %d may be pending, since %s", err, s.ackWait, s.maxPending, s.trigger.done.Since)
	}
	if err := b.js.DeleteConsumer(t.Context(), publisher.StorageStream, publisher.StorageConsumer); err != nil {
		t.Fatal(err)
	}
	// The server answers nothing, as one that knows no reset.
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.reset(soon); err == nil || !strings.Contains(err.Error(), "it is not there") {
		t.Errorf("no consumer: %v", err)
	}
}

// A refusal is an error, not the beginning.
func TestSession_resetRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(stream *jetstream.StreamConfig, cfg *jetstream.ConsumerConfig) {
		switch {
		case stream != nil && stream.Name == publisher.StorageStream:
			stream.Retention = jetstream.InterestPolicy
		case cfg != nil && cfg.Durable == publisher.StorageConsumer:
			cfg.DeliverPolicy = jetstream.DeliverNewPolicy
		}
	})
	if err := b.session(routesFor("quiet: 1s", "a")).reset(t.Context()); err == nil || !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("got %v", err)
	}
}

// A group gets a change once, with its route's decision whether it counts.
func TestSession_concerns(t *testing.T) {
	rs := parse(t, "routes:\n- {container: a, events: [created, deleted]"+to("g")+"- {container: b, events: [deleted]"+to("d")+"- {container: b"+to("c"))
	s := alone(rs)
	all := s.concerns([]Change{{Kind: KindDeleted, Container: "a", Key: "k"}, {Kind: KindDeleted, Container: "b", Key: "k"}})
	for n, want := range []bool{true, true, false} {
		c := all[rs.All()[n].Group()]
		if c == nil || len(c.changes) != 1 || c.changes[0].counts != want {
			t.Errorf("group %d hears %+v, want one deletion that counts: %t", n, c, want)
		}
	}
	if s.concerns(nil) != nil {
		t.Error("nothing concerns a group")
	}
}

func TestSession_landed(t *testing.T) {
	failed := errors.New("failed")
	for _, c := range []struct{ err, want error }{{failed, failed}, {fmt.Errorf("x: %w", publisher.ErrConflict), reader.ErrOther}} {
		s := newSession(&Trigger{nc: &nats.Conn{}, observe: silent{}})
		m := &message{waits: 1}
		g := &group{queue: []*window{{messages: []*message{m}}}, flying: true}
		if err := s.landed(&flight{group: g, window: g.queue[0], err: c.err}); !errors.Is(err, c.want) || m.waits != 1 || len(g.queue) != 1 {
			t.Errorf("%v: %v, and the notification waits for %d groups", c.err, err, m.waits)
		}
	}
}

func TestCollection_next(t *testing.T) {
	now := time.Now()
	c := newCollection()
	if c.untilDue() <= 0 {
		t.Error("a window ends, and there is none")
	}
	for _, after := range []time.Duration{2, 1, 3} {
		c.expect(now.Add(after * time.Hour))
	}
	if !c.next.Equal(now.Add(time.Hour)) {
		t.Errorf("the first window ends at %s, want in one hour", c.next.Sub(now))
	}
	c.caughtUp(false)
	if !c.behind || c.untilDue() <= 0 {
		t.Errorf("behind %t, due in %s", c.behind, c.untilDue())
	}
	c.caughtUp(true)
	if c.behind || c.untilDue() > 0 {
		t.Errorf("behind %t, due in %s; want that windows are looked at", c.behind, c.untilDue())
	}

	limits := Window{Quiet: time.Minute, Max: time.Hour, MaxPaths: 10}
	over, open, none := &group{route: &Route{Window: limits}}, &group{route: &Route{Window: limits}}, &group{route: &Route{Window: limits}}
	over.open = &window{since: now.Add(-time.Minute), latest: now.Add(-time.Minute)}
	open.open = &window{since: now, latest: now}
	c.groups = map[Group]*group{{Client: "1"}: over, {Client: "2"}: open, {Client: "3"}: none}
	c.endWindows(now)
	if over.open != nil || len(c.ended) != 1 || c.ended[0] != over || open.open == nil || !c.next.Equal(now.Add(time.Minute)) {
		t.Errorf("%d windows have ended, the next one ends in %s; want 1, 1m0s", len(c.ended), c.next.Sub(now))
	}
	if c.endWindows(now.Add(2 * time.Minute)); open.open != nil || len(c.ended) != 2 || !c.next.IsZero() {
		t.Errorf("%d windows have ended, want both", len(c.ended))
	}
}

// When memory is short, the largest windows end, until enough notifications can be let go.
func TestCollection_endLargest(t *testing.T) {
	c := newCollection()
	shared := &message{sequence: 1, waits: 2}
	c.messages[1] = shared
	for n, size := range []int{1, 9, 3, 7} {
		g := &group{name: fmt.Sprint(n), open: &window{first: uint64(n), messages: []*message{shared}, objects: map[object]kept{}}}
		if n > 1 {
			g.open.messages = nil
		}
		for range size {
			m := &message{sequence: uint64(len(c.messages) + 1), waits: 1}
			c.messages[m.sequence] = m
			g.open.messages = append(g.open.messages, m)
			g.open.objects[object{key: fmt.Sprint(m.sequence)}] = kept{}
			c.changes++
		}
		c.groups[Group{Client: g.name}] = g
	}
	c.endLargest()
	if len(c.ended) != 1 || c.ended[0].name != "1" || c.ended[0].open != nil {
		t.Errorf("%d windows have ended, the first is %+v, want the largest", len(c.ended), c.ended[0])
	}
	c.ended = nil
	for _, m := range c.messages {
		m.waits = 2 // of a window that is not here
	}
	c.endLargest()
	if len(c.ended) != 3 {
		t.Errorf("%d windows have ended, want all, because none lets a notification go", len(c.ended))
	}
}

func TestOneLine(t *testing.T) {
	if got := oneLine("a\r\nb\tc"); got != "a  b c" {
		t.Errorf("got %q", got)
	}
	if got := oneLine(strings.Repeat("x", 1000)); len(got) != 512 {
		t.Errorf("got %d bytes", len(got))
	}
}

// The stream's and the consumer's settings that would lose changes are refused.
func TestNew_refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change natstest.Change
		want   string
	}{
		"deliveries": {func(_ *jetstream.StreamConfig, cfg *jetstream.ConsumerConfig) {
			if cfg != nil && cfg.Durable == publisher.StorageConsumer {
				cfg.MaxDeliver = 5
			}
		}, "set max_deliver to -1"},
		"direct reads": {func(cfg *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
			if cfg != nil && cfg.Name == publisher.WindowsStream {
				cfg.AllowDirect = true
			}
		}, "set allow_direct to false"},
		"no store": {func(*jetstream.StreamConfig, *jetstream.ConsumerConfig) {}, "no store"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.change)
			if name == "no store" {
				b.store = nil
			}
			if _, err := New(t.Context(), Config{}, b.nc, parse(t, routesFor("quiet: 1s", "a")), b.store, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
