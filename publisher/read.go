package publisher

import (
	"fmt"
	"slices"

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

// eventOf returns the kind and key of a message that was published as an event about a
// request. Every other message on such a subject is foreign, and an error:
//
//   - A message without the event's CloudEvents id. A server does not check the reply
//     subject that a client names, so it can store an answer of JetStream on an event's
//     subject (deploy/nats/README.md, Reply subjects).
//   - A message of another kind than [schemas.Kinds]. No version of ours writes another
//     kind under a key's filter: whatever tells more about a request, such as
//     job-finished, has a subject of one more token, which the filter does not match.
func eventOf(subject string, header nats.Header) (schemas.Kind, Key, error) {
	kind, key, err := ParseEventSubject(subject)
	if err != nil {
		return kind, key, err
	}
	if !slices.Contains(schemas.Kinds, kind) {
		return kind, key, fmt.Errorf("the message on %s is not an event: %q is not a kind of event", subject, kind)
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
