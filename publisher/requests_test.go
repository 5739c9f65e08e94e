package publisher_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// Many requests are on their way while the server restarts; each is stored once.
func TestSendOverARestart(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	p, ctx := newPublisher(t, s.Connect(t)), within(t, patience)
	const requests = 400
	var acked sync.WaitGroup
	for i := range requests {
		if i == requests/2 {
			s.Stop()
		}
		sent, err := p.Send("billing", schemas.BackupRequest{RequestID: fmt.Sprint("r-", i), ClientName: "c", SubclientName: "g"})
		if err != nil {
			t.Fatal(err)
		}
		acked.Go(func() {
			ack, stored, err := sent.Acked(ctx)
			if err != nil || !stored {
				t.Errorf("request %d: %+v, stored %t, %v", i, ack, stored, err)
			}
		})
	}
	s.Restart()
	acked.Wait()
	if got := len(stored(t, s, publisher.RequestsStream, ">")); got != requests {
		t.Errorf("%d requests are stored, want %d", got, requests)
	}
	again, err := p.Send("billing", schemas.BackupRequest{RequestID: "r-0", ClientName: "c", SubclientName: "g"})
	if err != nil {
		t.Fatal(err)
	}
	if ack, stored, err := again.Acked(ctx); err != nil || stored || !ack.Duplicate {
		t.Errorf("a copy: %+v, stored %t, %v", ack, stored, err)
	}
}

func TestSendRefuses(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	nc := s.Connect(t)
	p, ctx := newPublisher(t, nc), within(t, patience)
	if _, err := p.Send("a.b", schemas.BackupRequest{RequestID: "r"}); err == nil {
		t.Error("a bad source is accepted")
	}
	if _, err := p.Send("billing", schemas.BackupRequest{}); err == nil {
		t.Error("a request without an id is accepted")
	}
	acked := func(label int) error {
		sent, err := p.Send("billing", schemas.BackupRequest{RequestID: "r", Labels: map[string]string{"l": strings.Repeat("x", label)}})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = sent.Acked(ctx)
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
