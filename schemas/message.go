package schemas

import (
	"mime"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"
)

// allowInvalidUTF8 replaces what is not UTF-8 instead of failing.
var allowInvalidUTF8 = jsontext.AllowInvalidUTF8(true)

// HeaderMsgID is JetStream's header for the publisher's own message id.
const HeaderMsgID = "Nats-Msg-Id"

// traceparentForm is version 00 of the W3C trace context.
var traceparentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// RequestMessage is a request as it arrived.
type RequestMessage struct {
	Request BackupRequest
	// Traceparent is the trace context that came with it, "" without a valid one.
	Traceparent string
}

// DecodeRequest reads a request in any of its three forms. The request id is
// the member requestId, else the CloudEvents id, else the header Nats-Msg-Id,
// else "". Any error is an [*InvalidError]; what could be read is returned
// beside it.
func DecodeRequest(h Header, data []byte) (RequestMessage, error) {
	m := RequestMessage{Traceparent: h.Get(HeaderTraceparent)}
	ps := m.decode(h, data)
	if !traceparentForm.MatchString(m.Traceparent) {
		m.Traceparent = ""
	}
	return m, ps.err()
}

func (m *RequestMessage) decode(h Header, data []byte) (ps problems) {
	fallbackID, field := h.Get(HeaderMsgID), "header "+HeaderMsgID
	defer func() {
		if m.Request.RequestID == "" && fallbackID != "" {
			if fault := textFault(fallbackID, maxName); fault != "" {
				ps.add(field, "%s", fault)
				return
			}
			m.Request.RequestID = fallbackID
		}
	}()
	if len(data) > MaxRequestSize {
		ps.add("", "has %d bytes, the limit is %d", len(data), MaxRequestSize)
		return ps
	}
	if media, _, _ := mime.ParseMediaType(h.Get("Content-Type")); media == "application/cloudevents-batch+json" {
		ps.add("header Content-Type", "is a batch of CloudEvents; publish each as a message of its own")
		return ps
	}

	at := ""
	var envelope problems
	switch {
	case isStructured(h, data):
		var e CloudEvent
		e, envelope = structuredEvent(data)
		if e.ID != "" {
			fallbackID, field = e.ID, "/id"
		}
		if m.Traceparent == "" {
			m.Traceparent = e.Traceparent
		}
		if e.Data == nil {
			return envelope
		}
		data, at = e.Data, "/data"
	case h.Get("ce-specversion") != "":
		var e CloudEvent
		e, envelope = binaryEvent(h, data)
		if e.ID != "" {
			fallbackID, field = e.ID, "header ce-id"
		}
	}
	m.Request, ps = decodeRequest(data, at)
	return append(envelope, ps...)
}
