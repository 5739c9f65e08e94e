package publisher

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"backhaul/schemas"
)

// Operator records what an operator is about to do. The act must follow, not go
// before. The same operation recorded again within the stream's duplicate window
// is stored once; later it is stored again, under the same CloudEvents id.
//
// These events are about no request: no claim is decided on them, so JetStream's
// message ids do for them.
func (p *Publisher) Operator(ctx context.Context, e schemas.OperatorEvent) error {
	event := e.CloudEvent()
	msg := &nats.Msg{Subject: OperatorSubject(e.Action), Header: nats.Header(event.BinaryHeader()), Data: event.Data}
	msg.Header[nats.MsgIdHdr] = msg.Header["ce-id"]
	if _, err := p.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("record the operator's %s: %w", e.Action, err)
	}
	return nil
}
