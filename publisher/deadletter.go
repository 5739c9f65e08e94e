package publisher

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/schemas"
)

// Headers of a dead letter, in addition to those of the original message. A header of
// the original that is an instruction to JetStream (Nats-…), that a reader would
// take for the server's word (Status, Description) or for ours (Backhaul-…) is
// kept under its name with HeaderOriginalPrefix before it, and so is one that is not in
// ASCII. Values of these and of the dead letter's own headers are encoded
// ([schemas.EncodeHeader]). Headers whose names a
// client cannot write are left out, and all are if the dead letter is too large with
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
	// HeaderDeadLetterSize is set when only the beginning of the payload is kept: the
	// payload's size in bytes.
	HeaderDeadLetterSize = "Backhaul-Dlq-Size"
)

// maxReason bounds the reason's length in bytes, before it is encoded; the event has all
// of it.
const maxReason = 1024

// DeadLetter is a request message, or a storage notification, that could not be
// done.
type DeadLetter struct {
	Subject string // the message as it arrived
	Header  schemas.Header
	Data    []byte

	Key       Key
	RequestID string
	Stream    string    // that the message was in; "" stands for [RequestsStream]
	Sequence  uint64    // in that stream
	Time      time.Time // when JetStream stored the message
	Code      string
	Reason    string
	// Size is the payload's size in bytes if Data is only its beginning, else 0.
	Size int
}

// keptSizes are how many bytes of a payload are tried in turn, where the server or the
// stream does not take the whole of it.
var keptSizes = []int{256 << 10, 32 << 10, 4 << 10, 0}

// DeadLetter keeps the message with the reason why it could not be done. The
// same message is kept once, even if this is called again after a crash. What is too
// large is kept without its headers, and then without the end of its payload.
func (p *Publisher) DeadLetter(ctx context.Context, d DeadLetter) error {
	_, err := p.KeepDeadLetter(ctx, d)
	return err
}

// KeepDeadLetter is DeadLetter. It also reports whether the message was kept now: false if it was
// kept before, as far back as the stream recognises duplicates.
func (p *Publisher) KeepDeadLetter(ctx context.Context, d DeadLetter) (first bool, err error) {
	first, err = p.keep(ctx, d.message(d.Header))
	if tooLarge(err) {
		first, err = p.keep(ctx, d.message(nil))
	}
	whole := d.Data
	for _, size := range keptSizes {
		if !tooLarge(err) {
			break
		}
		if size < len(whole) {
			d.Data, d.Size = whole[:size], len(whole)
			first, err = p.keep(ctx, d.message(nil))
		}
	}
	if err != nil {
		return false, fmt.Errorf("dead letter on %s: %w", DeadLetterSubject(d.Key.Source), err)
	}
	return first, nil
}

func (p *Publisher) keep(ctx context.Context, msg *nats.Msg) (first bool, err error) {
	ack, err := p.js.PublishMsg(ctx, msg)
	if ctx.Err() == nil || err == nil {
		p.tell(msg.Subject, err)
	}
	return err == nil && !ack.Duplicate, err
}

// message is the dead letter with these headers of the original.
func (d DeadLetter) message(original schemas.Header) *nats.Msg {
	msg := &nats.Msg{Subject: DeadLetterSubject(d.Key.Source), Header: nats.Header{}, Data: d.Data}
	for name, values := range original {
		if !headerName().MatchString(name) {
			continue
		}
		encoded, changed := encodeAll(values)
		if changed || notTheirs().MatchString(name) {
			name, values = HeaderOriginalPrefix+name, encoded
		}
		msg.Header[name] = values
	}
	set := func(name, value string) { msg.Header.Set(name, schemas.EncodeHeader(oneLine(value))) }
	set(HeaderDeadLetterCode, d.Code)
	reason := d.Reason
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	set(HeaderDeadLetterReason, reason)
	set(HeaderDeadLetterSubject, d.Subject)
	set(HeaderDeadLetterSequence, strconv.FormatUint(d.Sequence, 10))
	set(HeaderDeadLetterTime, d.Time.UTC().Format(time.RFC3339Nano))
	set(HeaderDeadLetterKey, d.Key.Name)
	set(HeaderDeadLetterRequestID, d.RequestID)
	if d.Size > 0 {
		set(HeaderDeadLetterSize, strconv.Itoa(d.Size))
	}
	// The time is part of the id because sequences start again when a stream is
	// created again.
	set(nats.MsgIdHdr, fmt.Sprintf("%s/%d/%d", cmp.Or(d.Stream, RequestsStream), d.Sequence, d.Time.UnixNano()))
	return msg
}

// encodeAll encodes the values of a header; changed reports whether one needed it.
func encodeAll(values []string) (encoded []string, changed bool) {
	encoded = make([]string, len(values))
	for i, value := range values {
		encoded[i] = schemas.EncodeHeader(value)
		changed = changed || encoded[i] != value
	}
	return encoded, changed
}

var (
	// headerName are the names that nats.go writes: tokens of RFC 7230.
	headerName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]+$") })
	notTheirs  = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?i:Nats-.*|Backhaul-(Dlq|Original)-.*|Status|Description)$`)
	})
	// instruction are the headers by which a publisher instructs JetStream.
	instruction = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?i:Nats-.*)$`) })
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
