package publisher_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// Many requests are on their way while the server restarts; each is stored once.
func TestSend_overARestart(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	p, ctx := newPublisher(t, s.Connect(t)), within(t, patience)
	const requests = 400
	var acked sync.WaitGroup
	for i := range requests {
		if i == requests/2 {
			s.Stop()
		}
		sent, err := p.Send("billing", publisher.Normal, schemas.BackupRequest{RequestID: fmt.Sprint("r-", i), ClientName: "c", SubclientName: "g"})
		if err != nil {
			t.Fatal(err)
		}
		acked.Go(func() {
			if ack, err := sent.Acked(ctx); err != nil {
				t.Errorf("request %d: %+v, %v", i, ack, err)
			}
		})
	}
	s.Restart()
	acked.Wait()
	if got := len(stored(t, s, publisher.RequestsStream, ">")); got != requests {
		t.Errorf("%d requests are stored, want %d", got, requests)
	}
}

// Whatever message ids other sources have used, a request is stored: only its sender
// knows the message id.
func TestSend_otherSourcesMessageIDs(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	nc := s.Connect(t)
	p, ctx := newPublisher(t, nc), within(t, patience)
	request := schemas.BackupRequest{RequestID: "inv-77", ClientName: "c", SubclientName: "g"}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"crm/inv-77", "inv-77", "crm/old-1-replay-3"} {
		if _, err := js.Publish(ctx, "backup.request.billing", []byte("{}"), jetstream.WithMsgID(id)); err != nil {
			t.Fatal(err)
		}
	}
	sent, err := p.Send("crm", publisher.Normal, request)
	if err != nil {
		t.Fatal(err)
	}
	if ack, err := sent.Acked(ctx); err != nil || ack.Duplicate {
		t.Errorf("sent: %+v, %v", ack, err)
	}
	if ack, err := p.Request(ctx, "crm", request); err != nil || ack.Duplicate {
		t.Errorf("published: %+v, %v", ack, err)
	}
	deadLetter := publisher.DeadLetter{Subject: "backup.request.crm", Data: request.JSON(), Key: publisher.NewKey("crm", "old-1")}
	if ack, err := p.Replay(ctx, deadLetter, "old-1-replay-3"); err != nil || ack.Duplicate {
		t.Errorf("replayed: %+v, %v", ack, err)
	}
	got := stored(t, s, publisher.RequestsStream, "backup.request.crm")
	if len(got) != 3 {
		t.Fatalf("%d requests of crm are stored, want 3", len(got))
	}
	if got[0].Header.Get(nats.MsgIdHdr) == "" {
		t.Error("what was sent has no message id: a repetition of it would be stored again")
	}
}

// A denial on one subject does not apply to another one.
func TestDenied(t *testing.T) {
	t.Parallel()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"backup.request.billing"}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	nc, err := nats.Connect(srv.ClientURL(), nats.UserInfo("u", "p"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if err := publisher.Denied(nc, "backup.request."); err != nil {
		t.Errorf("before: %v", err)
	}
	if err := errors.Join(nc.Publish("backup.request.billing", nil), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	if err := publisher.Denied(nc, "backup.request."); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("of the subject: %v, want a violation", err)
	}
	if err := publisher.Denied(nc, "backup.event."); err != nil {
		t.Errorf("of another one: %v", err)
	}
}

func TestSend_refuses(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	nc := s.Connect(t)
	p, ctx := newPublisher(t, nc), within(t, patience)
	if _, err := p.Send("a.b", publisher.Normal, schemas.BackupRequest{RequestID: "r"}); err == nil {
		t.Error("a bad source is accepted")
	}
	if _, err := p.Send("billing", publisher.Normal, schemas.BackupRequest{}); err == nil {
		t.Error("a request without an id is accepted")
	}
	acked := func(label int) error {
		sent, err := p.Send("billing", publisher.Normal, schemas.BackupRequest{RequestID: "r", Labels: map[string]string{"l": strings.Repeat("x", label)}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = sent.Acked(ctx)
		return err
	}
	// Larger than the stream takes, and than the server does.
	if err := acked(800 << 10); err == nil || errors.Is(err, ctx.Err()) {
		t.Errorf("larger than the stream's limit: %v", err)
	}
	if err := acked(2 << 20); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("larger than the server's limit: %v", err)
	}
	nc.Close()
	if err := acked(1); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("on a closed connection: %v", err)
	}
}
