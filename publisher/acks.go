package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// acks publishes messages and waits for their acknowledgements, which come to one subscription.
// The library's PublishMsgAsync does the same with two channels, a timer and a decoder of JSON for
// each message; that is a twentieth of the CPU of a request.
type acks struct {
	nc *nats.Conn

	mu      sync.Mutex
	prefix  string // of the reply subjects; "" before the first message
	number  uint64 // of messages
	waiting map[string]*waiter
	// unused has waiters that got their answer, to be used again.
	unused sync.Pool
}

// waiter waits for one acknowledgement.
type waiter struct {
	answer chan answer // takes one
	timer  *time.Timer
}

// answer is what the server answered to a message.
type answer struct {
	sequence uint64
	err      error
}

func newWaiter() *waiter {
	timer := time.NewTimer(ackTimeout)
	timer.Stop()
	return &waiter{answer: make(chan answer, 1), timer: timer}
}

// publish publishes a message and waits for the sequence under which it is stored. Of the errors
// only a [*jetstream.APIError] says that it is not stored, and not all of those do.
func (a *acks) publish(ctx context.Context, msg *nats.Msg) (uint64, error) {
	w, id, err := a.expect(msg)
	if err != nil {
		return 0, err
	}
	if err := a.nc.PublishMsg(msg); err != nil {
		a.forget(id)
		return 0, err
	}
	w.timer.Reset(ackTimeout)
	select {
	case got := <-w.answer:
		w.timer.Stop() // before another caller uses it
		a.unused.Put(w)
		return got.sequence, got.err
	case <-w.timer.C:
		a.forget(id)
		return 0, jetstream.ErrAsyncPublishTimeout
	case <-ctx.Done():
		w.timer.Stop()
		a.forget(id)
		return 0, context.Cause(ctx)
	}
}

// expect sets the reply subject of a message and returns who waits for the answer.
func (a *acks) expect(msg *nats.Msg) (w *waiter, id string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.prefix == "" {
		if err := a.subscribe(); err != nil {
			return nil, "", fmt.Errorf("subscribe to acknowledgements: %w", err)
		}
	}
	a.number++
	msg.Reply = a.prefix + strconv.FormatUint(a.number, 36)
	w, _ = a.unused.Get().(*waiter)
	if w == nil {
		w = newWaiter()
	}
	id = msg.Reply[len(a.prefix):]
	a.waiting[id] = w
	return w, id, nil
}

// subscribe begins to receive acknowledgements; mu is held.
func (a *acks) subscribe() error {
	prefix := a.nc.NewInbox() + "."
	if _, err := a.nc.Subscribe(prefix+"*", a.receive); err != nil {
		return err
	}
	a.prefix, a.waiting = prefix, make(map[string]*waiter)
	// The acknowledgements of a connection that is lost do not come any more.
	changes := a.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		for status := range changes {
			a.endAll(nats.ErrDisconnected)
			if status == nats.CLOSED {
				return
			}
		}
	}()
	return nil
}

// forget ends the wait for an answer. The waiter is not used again, because the answer may be on
// its way to it.
func (a *acks) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, id)
}

// endAll ends every wait with an error.
func (a *acks) endAll(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, w := range a.waiting {
		delete(a.waiting, id)
		w.answer <- answer{err: err}
	}
}

func (a *acks) receive(m *nats.Msg) {
	got := readAck(m)
	a.mu.Lock()
	defer a.mu.Unlock()
	id := m.Subject[len(a.prefix):]
	if w, ok := a.waiting[id]; ok {
		delete(a.waiting, id)
		w.answer <- got
	}
}

func readAck(m *nats.Msg) answer {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return answer{err: jetstream.ErrNoStreamResponse}
	}
	if sequence, ok := plainAck(m.Data); ok {
		return answer{sequence: sequence}
	}
	var ack struct {
		Stream   string              `json:"stream"`
		Sequence uint64              `json:"seq"`
		Error    *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &ack); {
	case err == nil && ack.Error != nil:
		return answer{err: ack.Error}
	case err != nil, ack.Stream == "":
		return answer{err: jetstream.ErrInvalidJSAck}
	}
	return answer{sequence: ack.Sequence}
}

// plainAck reads the acknowledgement as servers write it for a message that was stored; up to 2.11
// they write a space before "seq". Any other text is left to the decoder.
func plainAck(data []byte) (sequence uint64, ok bool) {
	text, isAck := bytes.CutPrefix(data, []byte(`{"stream":"`))
	stream, rest, _ := bytes.Cut(text, []byte(`",`))
	digits, hasSequence := bytes.CutPrefix(bytes.TrimPrefix(rest, []byte(" ")), []byte(`"seq":`))
	digits, ended := bytes.CutSuffix(digits, []byte("}"))
	if !isAck || len(stream) == 0 || !hasSequence || !ended {
		return 0, false
	}
	sequence, err := strconv.ParseUint(string(digits), 10, 64)
	return sequence, err == nil && sequence > 0
}
