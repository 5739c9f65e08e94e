package eventlog

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// OperatorEvent is one event about what an operator did.
type OperatorEvent struct {
	schemas.OperatorEvent
	Sequence uint64
	Stored   time.Time
}

// deliverOperator calls q.Operators with an event of an operator. Foreign messages and
// events of a later version are skipped.
func (q Query) deliverOperator(msg *jetstream.RawStreamMsg) error {
	if _, ok := publisher.ParseOperatorSubject(msg.Subject); !ok || q.Operators == nil {
		return nil
	}
	data, err := schemas.DecodeOperatorEvent(msg.Data)
	if err != nil {
		return nil // an action of a later version
	}
	return q.Operators(OperatorEvent{OperatorEvent: data, Sequence: msg.Sequence, Stored: msg.Time})
}
