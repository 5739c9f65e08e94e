package archive

import (
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// HoldLabel returns which messages are held: the events of requests that have a label of this name,
// with any value.
func HoldLabel(name string) func(*jetstream.RawStreamMsg) bool {
	return func(m *jetstream.RawStreamMsg) bool {
		_, event, err := publisher.ReadEvent(m.Subject, m.Header, m.Data)
		if err != nil {
			return false
		}
		_, held := event.Names().Labels[name]
		return held
	}
}
