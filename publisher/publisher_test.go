package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = time.Minute

func newPublisher(t *testing.T, nc *nats.Conn) *publisher.Publisher {
	t.Helper()
	p, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func failed(key publisher.Key, text string) *schemas.JobFailed {
	return &schemas.JobFailed{
		Naming:    schemas.Naming{RequestID: key.Name, Source: key.Source, ClientName: "client", SubclientName: "group"},
		ErrorCode: "2", ErrorMessage: text, ErrorSource: schemas.ErrorSourceVendor,
		FailedAt: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC),
	}
}

// stored are the messages of a stream whose subject matches, in order.
func stored(t *testing.T, s *natstest.Server, stream, filter string) []*jetstream.RawStreamMsg {
	t.Helper()
	return natstest.Stored(t, natstest.JetStream(t, s.Connect(t)), stream, filter)
}

func TestAppend(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	p, ctx := newPublisher(t, s.Connect(t)), within(t, patience)
	a, b := publisher.NewKey("billing", "a"), publisher.NewKey("billing", "b")

	first, err := p.Append(ctx, a, 0, failed(a, "one"), "")
	if err != nil || first != 1 {
		t.Fatalf("first event of a key: sequence %d, %v", first, err)
	}
	if _, err := p.Append(ctx, a, 0, failed(a, "again"), ""); !errors.Is(err, publisher.ErrConflict) {
		t.Errorf("a second first event: %v, want ErrConflict", err)
	}
	other, err := p.Append(ctx, b, 0, failed(b, "other"), "")
	if err != nil || other != 2 {
		t.Errorf("first event of another key: sequence %d, %v", other, err)
	}
	second, err := p.Append(ctx, a, first, failed(a, "two"), "")
	if err != nil || second != 3 {
		t.Errorf("next event behind another key's: sequence %d, %v", second, err)
	}
	for _, after := range []uint64{0, first, other, second + 1} {
		if _, err := p.Append(ctx, a, after, failed(a, "wrong"), ""); !errors.Is(err, publisher.ErrConflict) {
			t.Errorf("event behind sequence %d: %v, want ErrConflict", after, err)
		}
	}
	// The kind of the event makes no difference to who was first.
	started := &schemas.JobStarted{Naming: schemas.Naming{RequestID: "a", Source: "billing"}, JobID: "1"}
	if _, err := p.Append(ctx, a, first, started, ""); !errors.Is(err, publisher.ErrConflict) {
		t.Errorf("event of another kind: %v, want ErrConflict", err)
	}
	if _, err := p.Append(ctx, a, second, started, ""); err != nil {
		t.Errorf("event of another kind behind the last one: %v", err)
	}
	if got := len(stored(t, s, publisher.EventsStream, ">")); got != 4 {
		t.Errorf("%d events are stored, want 4", got)
	}
}

func TestAppend_oneOfManyWritersWins(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	key, ctx := publisher.NewKey("billing", "contested"), within(t, patience)
	const writers, rounds = 50, 4
	publishers := []*publisher.Publisher{newPublisher(t, s.Connect(t)), newPublisher(t, s.Connect(t))}
	last := uint64(0)
	for round := range rounds {
		var won, conflicts atomic.Int64
		var sequence atomic.Uint64
		var running sync.WaitGroup
		for i := range writers {
			running.Go(func() {
				got, err := publishers[i%2].Append(ctx, key, last, failed(key, fmt.Sprint(round, i)), "")
				switch {
				case err == nil:
					won.Add(1)
					sequence.Store(got)
				case errors.Is(err, publisher.ErrConflict):
					conflicts.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		running.Wait()
		if won.Load() != 1 || conflicts.Load() != writers-1 {
			t.Fatalf("round %d: %d writers won, %d had a conflict", round, won.Load(), conflicts.Load())
		}
		last = sequence.Load()
	}
	if got := len(stored(t, s, publisher.EventsStream, key.Filter())); got != rounds {
		t.Errorf("%d events are stored, want %d", got, rounds)
	}
}

// A write whose acknowledgement is lost takes effect once, and the writer can
// tell from the event that it was its own.
func TestAppend_afterALostAcknowledgement(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	proxy := natstest.StartProxy(t, s)
	p, key := newPublisher(t, proxy.Connect(t)), publisher.NewKey("billing", "a")
	lost := proxy.Once("HPUB "+key.Subject(schemas.KindJobFailed), natstest.Deafen)

	done := make(chan error, 1)
	go func() {
		_, err := p.Append(within(t, patience), key, 0, failed(key, "mine"), "")
		done <- err
	}()
	<-lost
	proxy.Cut(false)
	// Whether the write came through before the cut is up to the network; both
	// ways there is one event, and one answer for each.
	err := <-done
	events := stored(t, s, publisher.EventsStream, key.Filter())
	if len(events) != 1 || !strings.Contains(string(events[0].Data), "mine") {
		t.Fatalf("%d events are stored, want the one", len(events))
	}
	if err != nil && !errors.Is(err, publisher.ErrConflict) {
		t.Errorf("got %v, want success or ErrConflict", err)
	}
}

// The server goes away before the write and comes back: the same write is
// repeated until it is decided.
func TestAppend_whileTheServerRestarts(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	p := newPublisher(t, s.Connect(t))
	a, b := publisher.NewKey("billing", "a"), publisher.NewKey("billing", "b")
	ctx := within(t, patience)
	first, err := p.Append(ctx, a, 0, failed(a, "one"), "")
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	const writers = 8
	results := make(chan error, writers)
	for i := range writers {
		go func() {
			_, err := p.Append(ctx, a, first, failed(a, fmt.Sprint("two ", i)), "")
			results <- err
		}()
	}
	fresh := make(chan error, 1)
	go func() {
		_, err := p.Append(ctx, b, 0, failed(b, "fresh"), "")
		fresh <- err
	}()
	s.Restart()
	won := 0
	for range writers {
		if err := <-results; err == nil {
			won++
		} else if !errors.Is(err, publisher.ErrConflict) {
			t.Error(err)
		}
	}
	if err := <-fresh; err != nil {
		t.Error(err)
	}
	if won != 1 {
		t.Errorf("%d writers won, want 1", won)
	}
	if got := len(stored(t, s, publisher.EventsStream, a.Filter())); got != 2 {
		t.Errorf("%d events of a are stored, want 2", got)
	}
	if got := len(stored(t, s, publisher.EventsStream, b.Filter())); got != 1 {
		t.Errorf("%d events of b are stored, want 1", got)
	}
}

// A cluster's "another write is in flight" is answered by the very same write.
// It takes a cluster and luck to get that answer from a real server, so here a
// subscriber answers in the stream's place.
func TestAppend_repeatsTheWriteWhileTheStreamIsBusy(t *testing.T) {
	t.Parallel()
	s := natstest.StartBare(t)
	nc := s.Connect(t)
	var mu sync.Mutex
	var writes []*nats.Msg
	_, err := nc.Subscribe("backup.event.>", func(msg *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		writes = append(writes, msg)
		answer := `{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"},"stream":"BACKUP_EVENTS","seq":0}`
		if len(writes) == 3 {
			answer = `{"stream":"BACKUP_EVENTS","seq":77}`
		}
		_ = msg.Respond([]byte(answer))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	key := publisher.NewKey("billing", "a")
	got, err := newPublisher(t, s.Connect(t)).Append(within(t, patience), key, 76, failed(key, "x"), "")
	if err != nil || got != 77 {
		t.Fatalf("got sequence %d, %v, want 77", got, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(writes) != 3 {
		t.Fatalf("%d writes, want 3", len(writes))
	}
	for _, w := range writes {
		if string(w.Data) != string(writes[0].Data) || fmt.Sprint(w.Header) != fmt.Sprint(writes[0].Header) || w.Subject != writes[0].Subject {
			t.Errorf("write %v %s differs from the first", w.Header, w.Data)
		}
		if w.Header.Get("Nats-Expected-Last-Subject-Sequence") != "76" ||
			w.Header.Get("Nats-Expected-Last-Subject-Sequence-Subject") != key.Filter() {
			t.Errorf("the write's condition is %v", w.Header)
		}
		if w.Header.Get(nats.MsgIdHdr) != "" {
			t.Errorf("a ledger write has a message id: a cluster answers that differently")
		}
	}
}

func TestAppend_endsWithItsContext(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	nc := s.Connect(t)
	p, key := newPublisher(t, nc), publisher.NewKey("billing", "a")
	why := errors.New("enough")

	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		_, err := p.Append(ctx, key, 0, failed(key, "never"), "")
		if !errors.Is(err, why) || errors.Is(err, publisher.ErrConflict) || !strings.Contains(err.Error(), "not confirmed") {
			t.Errorf("got %v, want not confirmed with the cause", err)
		}
		// What follows on the connection would come behind it.
		if _, err := p.Append(within(t, patience), publisher.NewKey("billing", "b"), 0, failed(key, "next"), ""); err != nil {
			t.Fatal(err)
		}
		if got := len(stored(t, s, publisher.EventsStream, key.Filter())); got != 0 {
			t.Errorf("%d events are stored by a writer that was told not to", got)
		}
	})
	t.Run("meanwhile", func(t *testing.T) {
		away := nc.StatusChanged(nats.RECONNECTING)
		s.Stop()
		<-away
		ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, why)
		defer cancel()
		_, err := p.Append(ctx, key, 0, failed(key, "never"), "")
		if !errors.Is(err, why) || errors.Is(err, publisher.ErrConflict) || !strings.Contains(err.Error(), "not confirmed") {
			t.Errorf("got %v, want not confirmed with the cause", err)
		}
		// The error also names what was there instead.
		if !errors.Is(err, nats.ErrReconnectBufExceeded) && !errors.Is(err, nats.ErrDisconnected) {
			t.Errorf("got %v, want the connection's error in it", err)
		}
	})
}

func TestAppend_writesCloudEvents(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	p, key := newPublisher(t, s.Connect(t)), publisher.NewKey("süd", "a/ü")
	event := failed(key, "x")
	event.ClientName, event.SubclientName = "Zürich \"1\"", "100%\tgroup"
	trace := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	if _, err := p.Append(within(t, patience), key, 0, event, trace); err != nil {
		t.Fatal(err)
	}
	msgs := stored(t, s, publisher.EventsStream, ">")
	if len(msgs) != 1 || msgs[0].Subject != key.Subject(schemas.KindJobFailed) {
		t.Fatalf("stored: %v", msgs)
	}
	for name, want := range map[string]string{
		"ce-specversion":     "1.0",
		"ce-id":              "s%C3%BCd/" + key.Name + "/job-failed",
		"ce-source":          "/backhaul",
		"ce-type":            "backhaul.job.failed.v1",
		"ce-subject":         "Z%C3%BCrich%20%221%22/100%25%09group",
		"ce-time":            "2026-11-23T10:00:00Z",
		"ce-datacontenttype": "application/json",
		"traceparent":        trace,
	} {
		if got := msgs[0].Header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	back, err := schemas.DecodeEvent(schemas.KindJobFailed, msgs[0].Data)
	if err != nil || back.Names().ClientName != event.ClientName || back.Names().SubclientName != event.SubclientName {
		t.Errorf("the payload reads as %v, %v", back, err)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	p, ctx := newPublisher(t, s.Connect(t)), within(t, patience)
	req := schemas.BackupRequest{RequestID: "inv 7", ClientName: "c", SubclientName: "g", Labels: map[string]string{"k": "v"}}
	publish := func(source string, req schemas.BackupRequest) *jetstream.PubAck {
		t.Helper()
		ack, err := p.Request(ctx, source, req)
		if err != nil {
			t.Fatal(err)
		}
		return ack
	}
	if ack := publish("billing", req); ack.Duplicate || ack.Sequence != 1 || ack.Stream != publisher.RequestsStream {
		t.Errorf("first: %+v", ack)
	}
	publish("billing", req)
	publish("crm", req)
	req.RequestID = ""
	publish("billing", req)
	msgs := stored(t, s, publisher.RequestsStream, ">")
	if len(msgs) != 4 {
		t.Fatalf("%d requests are stored, want 4", len(msgs))
	}
	for i, want := range []string{"backup.request.billing", "backup.request.billing", "backup.request.crm", "backup.request.billing"} {
		if msgs[i].Subject != want || msgs[i].Header.Get(nats.MsgIdHdr) != "" {
			t.Errorf("request %d: subject %s, message id %q, want %s without one", i, msgs[i].Subject, msgs[i].Header.Get(nats.MsgIdHdr), want)
		}
	}
	m, err := schemas.DecodeRequest(schemas.Header(msgs[0].Header), msgs[0].Data)
	if err != nil || m.Request.RequestID != "inv 7" || m.Request.ClientName != "c" || m.Request.Labels["k"] != "v" {
		t.Errorf("the stored request reads as %+v, %v", m.Request, err)
	}
	for _, source := range []string{"", "a.b", "*", ">", "a b"} {
		if _, err := p.Request(ctx, source, req); err == nil {
			t.Errorf("source %q is accepted", source)
		}
	}
	if got := len(stored(t, s, publisher.RequestsStream, ">")); got != 4 {
		t.Errorf("%d requests are stored after refused ones, want 4", got)
	}
}

// A write that can never succeed is not repeated.
func TestAppend_endsAtAPermanentError(t *testing.T) {
	t.Parallel()
	large := &schemas.JobFailed{
		Naming: schemas.Naming{RequestID: "id", Source: "billing"}, ErrorCode: "1", ErrorMessage: strings.Repeat("x", 2<<20), ErrorSource: schemas.ErrorSourceVendor,
	}
	key := publisher.NewKey("billing", "id")
	small := natstest.Start(t, func(cfg *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if cfg != nil {
			cfg.MaxMsgSize = 4096
		}
	})
	for name, s := range map[string]*natstest.Server{"max_payload": natstest.Start(t), "max_msg_size": small} {
		e := *large
		if s == small {
			e.ErrorMessage = e.ErrorMessage[:8192]
		}
		if _, err := newPublisher(t, s.Connect(t)).Append(within(t, patience), key, 0, &e, ""); !errors.Is(err, publisher.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
		if _, err := newPublisher(t, s.Connect(t)).RecordWindow(within(t, patience), "group", 0, make([]byte, 2<<20)); !errors.Is(err, publisher.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge of a window's record", name, err)
		}
	}
	if _, err := newPublisher(t, small.Connect(t)).Append(within(t, patience), publisher.Key{Source: "a b", Name: "id"}, 0, &schemas.JobStarted{JobID: "1"}, ""); !errors.Is(err, nats.ErrBadSubject) || strings.Contains(err.Error(), "not confirmed") {
		t.Errorf("%v, want that the subject is invalid", err)
	}
	closed := small.Connect(t)
	p := newPublisher(t, closed)
	closed.Close()
	if err := p.DeadLetter(within(t, patience), deadLetter()); err == nil {
		t.Error("a dead letter is kept on a closed connection")
	}
	if _, err := p.Append(within(t, patience), key, 0, &schemas.JobStarted{JobID: "1"}, ""); err == nil || !strings.Contains(err.Error(), nats.ErrConnectionClosed.Error()) || strings.Contains(err.Error(), "not confirmed") {
		t.Errorf("%v, want that the connection is closed", err)
	}
}
