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
	failed := func(err error) error { return fmt.Errorf("read %s: %w", stream, err) }
	consumer, err := js.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return failed(err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return failed(err)
	}
	if info.NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages(jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return failed(err)
	}
	defer messages.Stop()
	for {
		msg, err := next(ctx, messages, false)
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
		case meta.NumPending == 0:
			return nil
		}
	}
}
