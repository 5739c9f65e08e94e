package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Messages calls visit for each message that a stream has now and that cfg
// selects, in their order. [ErrStop] ends it without being an error.
func Messages(ctx context.Context, js jetstream.JetStream, stream string, cfg jetstream.OrderedConsumerConfig, visit func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	return each(ctx, js, stream, cfg, false, visit)
}

// each is [Messages], or with follow goes on until ctx ends.
func each(ctx context.Context, js jetstream.JetStream, stream string, cfg jetstream.OrderedConsumerConfig, follow bool, visit func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	failed := func(err error) error { return fmt.Errorf("read %s: %w", stream, err) }
	consumer, err := js.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return failed(err)
	}
	if !follow {
		info, err := consumer.Info(ctx)
		if err != nil {
			return failed(err)
		}
		if info.NumPending == 0 {
			return nil
		}
	}
	// The short heartbeat makes up for a wake-up that the client can lose.
	messages, err := consumer.Messages(jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return failed(err)
	}
	defer messages.Stop()
	for {
		msg, err := next(ctx, messages, follow)
		if err != nil {
			return failed(err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return failed(err)
		}
		switch err := visit(msg, meta); {
		case errors.Is(err, ErrStop):
			return nil
		case err != nil:
			return err
		case !follow && meta.NumPending == 0:
			return nil
		}
	}
}

// idle is how long a server is waited for that owes messages.
const idle = 10 * time.Second

func next(ctx context.Context, messages jetstream.MessagesContext, follow bool) (jetstream.Msg, error) {
	if !follow {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, idle)
		defer cancel()
	}
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if ctx.Err() == nil && errors.Is(err, jetstream.ErrNoHeartbeat) {
			continue // the ordered consumer is being made anew
		}
		return msg, err
	}
}
