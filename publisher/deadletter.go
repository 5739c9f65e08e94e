package publisher

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/schemas"
)

// Headers of a dead letter, beside those of the original message. A header of
// the original that is an instruction to JetStream (Nats-…) is kept under its
// name with HeaderOriginalPrefix before it, lest it be obeyed again.
const (
	HeaderOriginalPrefix = "Backhaul-Original-"

	HeaderDeadLetterCode      = "Backhaul-Dlq-Code"
	HeaderDeadLetterReason    = "Backhaul-Dlq-Reason"
	HeaderDeadLetterSubject   = "Backhaul-Dlq-Subject"
	HeaderDeadLetterSequence  = "Backhaul-Dlq-Sequence"
	HeaderDeadLetterTime      = "Backhaul-Dlq-Time"
	HeaderDeadLetterKey       = "Backhaul-Dlq-Key"
	HeaderDeadLetterRequestID = "Backhaul-Dlq-Request-Id"
)

// maxReason bounds the reason's length in bytes; the event has all of it.
const maxReason = 1024

// DeadLetter is a request message that could not be done.
type DeadLetter struct {
	Header schemas.Header // as the message arrived
	Data   []byte

	Key       Key
	RequestID string
	Sequence  uint64    // in the requests stream
	Time      time.Time // when JetStream stored the message
	Code      string
	Reason    string
}

// DeadLetter keeps the message with the reason why it could not be done. The
// same message is kept once, even if this is called again after a crash.
func (p *Publisher) DeadLetter(ctx context.Context, d DeadLetter) error {
	msg := &nats.Msg{Subject: DeadLetterSubject(d.Key.Source), Header: nats.Header{}, Data: d.Data}
	for name, values := range d.Header {
		if len(name) >= 5 && strings.EqualFold(name[:5], "Nats-") {
			name = HeaderOriginalPrefix + name
		}
		msg.Header[name] = values
	}
	set := func(name, value string) { msg.Header.Set(name, oneLine(value)) }
	set(HeaderDeadLetterCode, d.Code)
	set(HeaderDeadLetterReason, d.Reason[:min(len(d.Reason), maxReason)])
	set(HeaderDeadLetterSubject, RequestSubject(d.Key.Source))
	set(HeaderDeadLetterSequence, strconv.FormatUint(d.Sequence, 10))
	set(HeaderDeadLetterTime, d.Time.UTC().Format(time.RFC3339Nano))
	set(HeaderDeadLetterKey, d.Key.Name)
	set(HeaderDeadLetterRequestID, d.RequestID)
	// The time is part of the id because sequences start again when a stream is
	// made anew.
	set(nats.MsgIdHdr, fmt.Sprintf("%s/%d/%d", RequestsStream, d.Sequence, d.Time.UnixNano()))
	if _, err := p.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("dead letter on %s: %w", msg.Subject, err)
	}
	return nil
}

// oneLine makes text fit for a header.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, s)
}
