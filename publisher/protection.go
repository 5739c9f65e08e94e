package publisher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"backhaul/schemas"
)

const protectionPrefix = eventPrefix + "protection."

// AnyProtection matches the events about the protection of content groups. No filter of a
// key matches one of them: they have a token less.
const AnyProtection = protectionPrefix + "*"

// ProtectionGroup returns the last token of the subject of a content group's protection
// events. Its names may have any characters.
func ProtectionGroup(g schemas.ContentGroup) string {
	name, _ := json.Marshal(g) // strings only
	sum := sha256.Sum256(name)
	return hex.EncodeToString(sum[:16])
}

// ProtectionSubject is where the events about the protection of a content group are
// published.
func ProtectionSubject(g schemas.ContentGroup) string { return protectionPrefix + ProtectionGroup(g) }

// ReadProtection returns the event that a message on a subject of [AnyProtection] is. A
// message that was not published as one, and an event of a state that this version does not
// know, are errors. ok is false for a message on another subject.
func ReadProtection(subject string, header nats.Header, data []byte) (e schemas.ProtectionEvent, ok bool, err error) {
	group, ok := strings.CutPrefix(subject, protectionPrefix)
	if !ok || group == "" || strings.Contains(group, ".") {
		return schemas.ProtectionEvent{}, false, nil
	}
	e, err = schemas.DecodeProtectionEvent(data)
	switch {
	case err != nil:
	case schemas.Header(header).Attribute("id") != e.EventID(group):
		err = fmt.Errorf("the message on %s is not an event: its ce-id does not match", subject)
	case subject != ProtectionSubject(e.ContentGroup):
		err = fmt.Errorf("the event on %s is about another content group: %q of client %q", subject, e.SubclientName, e.ClientName)
	}
	if err != nil {
		return schemas.ProtectionEvent{}, true, err
	}
	return e, true, nil
}

// AppendProtection writes an event about the protection of a content group if the last
// message on its subject has the sequence after, 0 for none, and returns the event's own
// sequence. It repeats the same write as [Publisher.Append] does, with the same errors.
func (p *Publisher) AppendProtection(ctx context.Context, after uint64, e schemas.ProtectionEvent) (uint64, error) {
	group := ProtectionGroup(e.ContentGroup)
	subject, event := protectionPrefix+group, e.CloudEvent(group)
	return p.compareAndSet(ctx, subject, func() (uint64, error) {
		msg := &nats.Msg{Subject: subject, Header: nats.Header(event.BinaryHeader()), Data: event.Data}
		return p.writeAfter(ctx, msg, subject, after)
	})
}
