package publisher

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/schemas"
)

// Headers of a dead letter, beside those of the original message. A header of
// the original that is an instruction to JetStream (Nats-…), that a reader would
// take for the server's word (Status, Description) or for ours (Backhaul-…) is
// kept under its name with HeaderOriginalPrefix before it. Headers whose names a
// client cannot write are left out, and all are if the letter is too large with
// them.
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
	Subject string // the message as it arrived
	Header  schemas.Header
	Data    []byte

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
	msg := d.message(d.Header)
	_, err := p.js.PublishMsg(ctx, msg)
	if errors.Is(err, nats.ErrMaxPayload) || hasCode(err, headerTooLarge) {
		msg = d.message(nil)
		_, err = p.js.PublishMsg(ctx, msg)
	}
	if err != nil {
		return fmt.Errorf("dead letter on %s: %w", msg.Subject, err)
	}
	return nil
}

// message is the letter with these headers of the original.
func (d DeadLetter) message(original schemas.Header) *nats.Msg {
	msg := &nats.Msg{Subject: DeadLetterSubject(d.Key.Source), Header: nats.Header{}, Data: d.Data}
	for name, values := range original {
		if !headerName.MatchString(name) {
			continue
		}
		if notTheirs.MatchString(name) {
			name = HeaderOriginalPrefix + name
		}
		msg.Header[name] = values
	}
	set := func(name, value string) { msg.Header.Set(name, oneLine(value)) }
	set(HeaderDeadLetterCode, d.Code)
	set(HeaderDeadLetterReason, d.Reason[:min(len(d.Reason), maxReason)])
	set(HeaderDeadLetterSubject, d.Subject)
	set(HeaderDeadLetterSequence, strconv.FormatUint(d.Sequence, 10))
	set(HeaderDeadLetterTime, d.Time.UTC().Format(time.RFC3339Nano))
	set(HeaderDeadLetterKey, d.Key.Name)
	set(HeaderDeadLetterRequestID, d.RequestID)
	// The time is part of the id because sequences start again when a stream is
	// made anew.
	set(nats.MsgIdHdr, fmt.Sprintf("%s/%d/%d", RequestsStream, d.Sequence, d.Time.UnixNano()))
	return msg
}

// headerTooLarge is the server's code for more than 64 KiB of headers.
const headerTooLarge jetstream.ErrorCode = 10097

var (
	// headerName are the names that nats.go writes: tokens of RFC 7230.
	headerName = regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]+$")
	notTheirs  = regexp.MustCompile(`^(?i:Nats-.*|Backhaul-(Dlq|Original)-.*|Status|Description)$`)
	// instruction are the headers by which a publisher instructs JetStream.
	instruction = regexp.MustCompile(`^(?i:Nats-.*)$`)
)

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
