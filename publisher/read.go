package publisher

import (
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/schemas"
)

// ReadEvent is the event that a message of the events stream is. What was not published
// as the event that its subject names, and an event of a kind that this version does
// not know, is an error.
func ReadEvent(subject string, header nats.Header, data []byte) (Key, schemas.Event, error) {
	kind, key, err := eventOf(subject, header)
	if err != nil {
		return key, nil, err
	}
	e, err := schemas.DecodeEvent(kind, data)
	return key, e, err
}

// eventOf takes the subject apart of a message that was published as an event about a
// request: its CloudEvents id says so. An answer of JetStream can be stored on such a
// subject as well, because a server does not check the reply subject that a client
// names (deploy/nats/README.md, Reply subjects). It has no such id.
func eventOf(subject string, header nats.Header) (schemas.Kind, Key, error) {
	kind, key, err := ParseEventSubject(subject)
	if err != nil {
		return kind, key, err
	}
	if schemas.Header(header).Attribute("id") != key.EventID(kind) {
		return kind, key, fmt.Errorf("the message on %s is no event: its ce-id is not that of one", subject)
	}
	return kind, key, nil
}

func isEvent(msg *jetstream.RawStreamMsg) bool {
	_, _, err := eventOf(msg.Subject, msg.Header)
	return err == nil
}
