package page

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/operator"
	"backhaul/cmd/internal/queue"
	"backhaul/consumer/scope"
	"backhaul/publisher"
)

// ServerQueue is the [Queue] that all replicas read.
type ServerQueue struct {
	js  jetstream.JetStream
	pub *publisher.Publisher
}

// NewServerQueue returns the queue behind a connection.
func NewServerQueue(nc *nats.Conn) (*ServerQueue, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	return &ServerQueue{js: js, pub: pub}, nil
}

// Pause keeps requests from every replica. A longer pause is left as it is.
func (q *ServerQueue) Pause(ctx context.Context, by operator.By, d time.Duration) error {
	_, err := queue.Pause(ctx, q.js, q.pub, d, by)
	return err
}

// PauseScope keeps the requests of a scope from every replica.
func (q *ServerQueue) PauseScope(ctx context.Context, by operator.By, s scope.Scope, d time.Duration) error {
	_, err := queue.PauseScope(ctx, q.js, q.pub, s, d, by)
	return err
}

// ResumeScope ends the pause of a scope.
func (q *ServerQueue) ResumeScope(ctx context.Context, by operator.By, s scope.Scope) error {
	_, err := queue.ResumeScope(ctx, q.js, q.pub, s, by)
	return err
}

// Resume ends a pause that an operator has made.
func (q *ServerQueue) Resume(ctx context.Context, by operator.By) error {
	_, err := queue.Resume(ctx, q.js, q.pub, by, false)
	return err
}
