package natstest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stream returns a stream that must exist, with its current state.
func Stream(t testing.TB, js jetstream.JetStream, name string) jetstream.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatalf("natstest: stream %s: %v", name, err)
	}
	return stream
}

// Stored returns the messages of a stream whose subject matches, in order. It makes no consumer,
// which a work queue would not allow.
func Stored(t testing.TB, js jetstream.JetStream, stream, filter string) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	s := Stream(t, js, stream)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for next := uint64(1); ; {
		msg, err := s.GetMsg(ctx, next, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		if err != nil {
			t.Fatalf("natstest: message %d of %s: %v", next, stream, err)
		}
		all, next = append(all, msg), msg.Sequence+1
	}
}
