package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/queue"
)

// whoPaused finds who made a pause that ends at until, nil where this user may not read it.
func whoPaused(ctx context.Context, js jetstream.JetStream, now, until time.Time) (*queue.PausedBy, error) {
	who, err := lookAt(ctx, js, func(ctx context.Context, js jetstream.JetStream) (*queue.PausedBy, error) {
		return queue.WhoPaused(ctx, js, now, until)
	})
	if errors.Is(err, errNotPermitted) {
		return nil, nil
	}
	return who, err
}
