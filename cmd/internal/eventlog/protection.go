package eventlog

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// ProtectionEvent is one event about the protection of a content group.
type ProtectionEvent struct {
	schemas.ProtectionEvent
	Sequence uint64
	Stored   time.Time
}

// CloudEvent returns the event with its attributes.
func (e ProtectionEvent) CloudEvent() schemas.CloudEvent {
	return e.ProtectionEvent.CloudEvent(publisher.ProtectionGroup(e.ContentGroup))
}

// deliverProtection calls q.Protection with an event about a content group that q.Match
// selects. ok is false for a message on a subject of another kind. Foreign messages and events
// of a later version are skipped.
func (q Query) deliverProtection(msg *jetstream.RawStreamMsg) (ok bool, err error) {
	data, ok, err := publisher.ReadProtection(msg.Subject, msg.Header, msg.Data)
	if !ok || err != nil || q.Protection == nil || !is(q.Match.Client, data.ClientName) || !is(q.Match.Subclient, data.SubclientName) {
		return ok, nil
	}
	return true, q.Protection(ProtectionEvent{ProtectionEvent: data, Sequence: msg.Sequence, Stored: msg.Time})
}
