package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	for _, data := range []string{`{"stream":"BACKUP_EVENTS", "seq":17}`, `{"stream":"BACKUP_EVENTS","seq":17}`} {
		if got, plain := plainAck([]byte(data)); got != 17 || !plain {
			t.Errorf("%s: %d, plain %t", data, got, plain)
		}
	}
	refused := readAck(&nats.Msg{Data: []byte(`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"BACKUP_EVENTS", "seq":0}`)})
	if !hasCode(refused.err, jetstream.JSErrCodeStreamWrongLastSequence) {
		t.Errorf("refused: %+v", refused)
	}
	if got := readAck(&nats.Msg{Header: nats.Header{"Status": {"503"}}}); !errors.Is(got.err, jetstream.ErrNoStreamResponse) {
		t.Errorf("no stream: %+v", got)
	}
	for _, data := range []string{``, `{}`, `{"stream":"BACKUP_EVENTS", "seq":}`, `{"stream":"BACKUP_EVENTS", "seq":-1}`, `{"seq":3}`, `+OK`,
		`{"stream":"","seq":3}`, `{"type":"x", "seq":3}`, `{"stream":"S",3}`, `{"stream":"S","seq":3`, `{"stream":"S","seq":99999999999999999999}`} {
		if got := readAck(&nats.Msg{Data: []byte(data)}); !errors.Is(got.err, jetstream.ErrInvalidJSAck) {
			t.Errorf("%q: %+v, want an invalid acknowledgement", data, got)
		}
	}
}

// libraryAck is what the library decodes of an answer, see PublishMsg of jetstream.
type libraryAck struct {
	*jetstream.PubAck
	Error *jetstream.APIError `json:"error"`
}

// An answer that is JSON is read as the library reads it.
func FuzzReadAck(f *testing.F) {
	for _, seed := range []string{
		`{"stream":"BACKUP_EVENTS", "seq":17}`, `{"stream":"S","seq":17}`, `{"stream":"S", "seq":0}`, `{"stream":"","seq":1}`,
		`{"stream":"S", "domain":"hub", "seq":18,"duplicate":true}`, `{"stream":"a\",", "seq":3}`, `{"stream":"S","seq":1,"seq":2}`,
		`{"stream":"S", "seq":18446744073709551615}`, `{"stream":"S", "seq":18446744073709551616}`, `{"stream":"S","seq":1e1}`,
		`{"error":{"code":400,"err_code":10071},"stream":"S", "seq":0}`, `{"stream":null,"seq":1}`, `[]`, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			t.Skip("the server writes JSON")
		}
		var library libraryAck
		err := json.Unmarshal(data, &library)
		got := readAck(&nats.Msg{Data: data})
		switch {
		case err == nil && library.Error != nil:
			if refused, ok := errors.AsType[*jetstream.APIError](got.err); !ok || *refused != *library.Error {
				t.Errorf("%s: got %+v, want %v", data, got, library.Error)
			}
		case err != nil, library.PubAck == nil, library.Stream == "":
			if !errors.Is(got.err, jetstream.ErrInvalidJSAck) {
				t.Errorf("%s: got %+v, want an invalid acknowledgement", data, got)
			}
		case got.err != nil, got.sequence != library.Sequence:
			t.Errorf("%s: got %+v, want %d", data, got, library.Sequence)
		}
	})
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

// A second answer to a message reaches no other one, though waiters are used again.
func TestPublish_twoAnswers(t *testing.T) {
	t.Parallel()
	nc := natstest.StartBare(t).Connect(t)
	number := 0
	_, err := nc.Subscribe("twice", func(m *nats.Msg) {
		number++
		for range 2 {
			if err := m.Respond(fmt.Appendf(nil, `{"stream":"S","seq":%d}`, number)); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	a := &acks{nc: nc}
	for want := uint64(1); want <= 20; want++ {
		if got, err := a.publish(t.Context(), &nats.Msg{Subject: "twice"}); got != want || err != nil {
			t.Fatalf("got %d, %v, want %d", got, err, want)
		}
		if err := nc.Flush(); err != nil { // the second answer is here
			t.Fatal(err)
		}
	}
}

// A message that is not sent, or to which nothing is answered in time, is not waited for any more.
func TestPublish_forgets(t *testing.T) {
	t.Parallel()
	natstest.Synctest(t, func(t *testing.T) {
		nc := natstest.StartPipe(t).Connect(t)
		if _, err := nc.Subscribe("silent", func(*nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
		a := &acks{nc: nc}
		large := bytes.Repeat([]byte("x"), int(nc.MaxPayload())+1)
		if _, err := a.publish(t.Context(), &nats.Msg{Subject: "silent", Data: large}); !errors.Is(err, nats.ErrMaxPayload) {
			t.Errorf("too large: %v", err)
		}
		began := time.Now()
		if _, err := a.publish(t.Context(), &nats.Msg{Subject: "silent"}); !errors.Is(err, jetstream.ErrAsyncPublishTimeout) || time.Since(began) != ackTimeout {
			t.Errorf("silent: %v after %s", err, time.Since(began))
		}
		if n := len(a.waiting); n != 0 {
			t.Errorf("%d waiters are left", n)
		}
	})
}
