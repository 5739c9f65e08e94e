package publisher

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

func TestReadAck(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]uint64{
		`{"stream":"BACKUP_EVENTS", "seq":17}`:                                    17,
		`{"stream":"BACKUP_EVENTS","seq":17}`:                                     17,
		`{"stream":"BACKUP_EVENTS", "seq":17,"duplicate":true}`:                   17,
		`{"stream":"BACKUP_EVENTS", "domain":"hub", "seq":18}`:                    18,
		`{"type":"io.nats.jetstream.api.v1.pub_ack","stream":"BACKUP", "seq":19}`: 19,
	} {
		if got := readAck(&nats.Msg{Data: []byte(data)}); got.err != nil || got.sequence != want {
			t.Errorf("%s: %+v, want %d", data, got, want)
		}
	}
	refused := readAck(&nats.Msg{Data: []byte(`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"BACKUP_EVENTS", "seq":0}`)})
	if !hasCode(refused.err, jetstream.JSErrCodeStreamWrongLastSequence) {
		t.Errorf("refused: %+v", refused)
	}
	if got := readAck(&nats.Msg{Header: nats.Header{"Status": {"503"}}}); !errors.Is(got.err, jetstream.ErrNoStreamResponse) {
		t.Errorf("no stream: %+v", got)
	}
	for _, data := range []string{``, `{}`, `{"stream":"BACKUP_EVENTS", "seq":}`, `{"stream":"BACKUP_EVENTS", "seq":-1}`, `{"seq":3}`, `+OK`} {
		if got := readAck(&nats.Msg{Data: []byte(data)}); !errors.Is(got.err, jetstream.ErrInvalidJSAck) {
			t.Errorf("%q: %+v, want an invalid acknowledgement", data, got)
		}
	}
}

// What the server of go.mod answers is read without the decoder.
func TestPlainAck_ofThisServer(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	answer, err := nc.Request(NewKey("billing", "r").Subject(schemas.KindJobStarted), nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if got, plain := plainAck(answer.Data); got != 1 || !plain {
		t.Errorf("%s: %d, plain %t, want 1", answer.Data, got, plain)
	}
}

// A message to which nothing is answered: a stream that hangs.
func TestPublish_withoutAnswer(t *testing.T) {
	t.Parallel()
	nc := natstest.StartBare(t).Connect(t)
	if _, err := nc.Subscribe("silent", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	publish := func(ctx context.Context, a *acks) chan error {
		result := make(chan error, 1)
		go func() {
			_, err := a.publish(ctx, &nats.Msg{Subject: "silent", Data: []byte("x")})
			result <- err
		}()
		waittest.Eventually(t, "message that waits", func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return len(a.waiting) == 1
		})
		return result
	}
	check := func(a *acks, result chan error, want error) {
		t.Helper()
		select {
		case err := <-result:
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		case <-time.After(ackTimeout / 2):
			t.Errorf("still waits, want %v", want)
		}
		if len(a.waiting) != 0 {
			t.Errorf("%d waiters are left", len(a.waiting))
		}
	}
	a := &acks{nc: nc}
	ended := errors.New("ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	result := publish(ctx, a)
	cancel(ended)
	check(a, result, ended)

	result = publish(t.Context(), a)
	if err := nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	check(a, result, nats.ErrDisconnected)

	if _, err := a.publish(t.Context(), &nats.Msg{Subject: "nobody"}); !errors.Is(err, jetstream.ErrNoStreamResponse) && !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("no subscriber: %v", err)
	}
}
