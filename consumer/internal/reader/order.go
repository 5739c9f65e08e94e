package reader

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Order checks that a session gets every message of a durable consumer, in the order of the stream.
// It belongs to one goroutine.
//
// The numbers of the deliveries do not show every gap. Another reader resets the consumer, which
// then counts from 1 again and leaves out what was acknowledged since our reset. If it reads exactly
// as many messages as we have, the next pull continues our numbers further on in the stream. So the
// first delivery of each pull is compared with the stream, which needs permission for
// STREAM.MSG.GET.
type Order struct {
	durable   Durable
	js        jetstream.JetStream
	filter    string
	delivered uint64 // consumer sequence of the last delivery
	seen      uint64 // stream sequence of the last new message
	pulled    bool   // the next delivery is the first one of a pull
}

// Order returns the order of a session. filter is the consumer's.
func (d Durable) Order(js jetstream.JetStream, filter string) Order {
	return Order{durable: d, js: js, filter: filter}
}

// Pulled notes that a pull was opened.
func (o *Order) Pulled() { o.pulled = true }

// Next takes a delivery. again reports that its message was delivered before. The error is
// [ErrGap] if a message is missing before it.
func (o *Order) Next(ctx context.Context, meta *nats.MsgMetadata) (again bool, err error) {
	if meta.Sequence.Consumer != o.delivered+1 {
		return false, ErrGap
	}
	o.delivered = meta.Sequence.Consumer
	sequence := meta.Sequence.Stream
	if o.pulled {
		o.pulled = false
		if err := o.confirm(ctx, sequence); err != nil {
			return false, err
		}
	}
	again = sequence <= o.seen
	o.seen = max(o.seen, sequence)
	return again, nil
}

// confirm returns ErrGap if the stream's leader has a message between the last one and the next.
func (o *Order) confirm(ctx context.Context, next uint64) error {
	if o.seen == 0 || next <= o.seen+1 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	stream, err := o.js.Stream(ctx, o.durable.Stream)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", o.durable.Stream, err)
	}
	msg, err := stream.GetMsg(ctx, o.seen+1, jetstream.WithGetMsgSubject(o.filter))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer about message %d: it has no leader, or the user may not publish to $JS.API.STREAM.MSG.GET.%s", o.seen+1, o.durable.Stream)
	case err != nil:
		return fmt.Errorf("read message %d of %s: %w", o.seen+1, o.durable.Stream, err)
	case msg.Sequence < next:
		return ErrGap
	}
	return nil
}
