package trigger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"backhaul/schemas"
)

// Limits of one notification.
const (
	// MaxSize is the largest payload in bytes that is decoded.
	MaxSize = 8 << 20
	// MaxChanges is how many changes one notification may have.
	MaxChanges = 10_000
	// maxDepth is how deep documents may be nested: SQS around SNS around a CloudEvent
	// around an array around a notification, and one more.
	maxDepth = 6
	// maxDocuments is how many documents one notification may have, envelopes and elements
	// of arrays included. SQS around SNS needs three for one change.
	maxDocuments = 4 * MaxChanges
	// maxFaults bounds the faults that are reported for one notification.
	maxFaults = 8
)

// DecodeError is why a notification, or a part of it, cannot be decoded. The same bytes
// always fail again, so they become a dead letter and are not redelivered.
type DecodeError struct {
	// Unknown is set if the format is not known.
	Unknown bool
	// Reason has all faults.
	Reason string
	// Head is the beginning of the payload, at most 200 bytes.
	Head []byte
}

func (e *DecodeError) Error() string {
	what := "notification"
	if e.Unknown {
		what = "unknown format"
	}
	return fmt.Sprintf("%s: %s; it begins with %s", what, e.Reason, strconv.QuoteToASCII(string(e.Head)))
}

const headSize = 200

// Decode decodes a notification of any format. The error is a [*DecodeError]; Decode then
// also returns the changes that could be decoded. A test event, or one that changes no
// content, is a change of [KindNone].
func Decode(h schemas.Header, data []byte) ([]Change, error) {
	d := decoder{}
	switch {
	case len(data) > MaxSize:
		d.fault("has %d bytes, the limit is %d", len(data), MaxSize)
	case h.CopyOf() != "":
		d.fault("is a copy of %s, stored by naming this subject as a reply subject, and no notification", h.CopyOf())
	case d.pubSubHeader(h, data):
	default:
		d.message(h, data)
	}
	if len(d.faults) == 0 {
		return d.changes, nil
	}
	return d.changes, &DecodeError{
		Unknown: d.unknown, Reason: strings.Join(d.faults, "; "),
		Head: bytes.Clone(data[:min(len(data), headSize)]),
	}
}

// decoder decodes one notification.
type decoder struct {
	changes []Change
	faults  []string
	unknown bool
	full    bool
	depth   int
	// headers is set while the attributes of a CloudEvent are from headers.
	headers bool
	// documents counts the documents read so far.
	documents int
	// brokenIn has the containers of records without a key.
	brokenIn map[string]bool
	// unwrapped has the kinds of envelopes around the current document.
	unwrapped envelope
}

func (d *decoder) fault(format string, args ...any) {
	switch {
	case len(d.faults) < maxFaults:
		d.faults = append(d.faults, clip(fmt.Sprintf(format, args...)))
	case len(d.faults) == maxFaults:
		d.faults = append(d.faults, "and more")
	}
}

func clip(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func (d *decoder) unknownFormat(format string, args ...any) {
	d.unknown = true
	d.fault(format, args...)
}

func (d *decoder) add(c Change) {
	if len(d.changes) < MaxChanges {
		d.changes = append(d.changes, c)
	} else {
		d.tooMany()
	}
}

// tooMany adds the fault of too many changes, and ends the decoding.
func (d *decoder) tooMany() {
	if !d.full {
		d.full = true
		d.fault("has more than %d changes", MaxChanges)
	}
}

// message reads the payload of a NATS message.
func (d *decoder) message(h schemas.Header, data []byte) {
	if h.Get("ce-specversion") == "" || structured(data) {
		d.document(data)
		return
	}
	event := cloudEvent{data: data}
	for name, value := range map[string]*text{"type": &event.kind, "source": &event.source, "subject": &event.subject, "time": &event.time} {
		*value = text(h.Attribute(name))
	}
	d.headers = true
	d.cloudEvent(event)
}

// structured reports whether the payload is a CloudEvent in structured mode. Some publishers
// set the headers of binary mode as well.
func structured(data []byte) bool {
	if !bytes.Contains(data, []byte(`"specversion"`)) {
		return false
	}
	m := members{data: data}
	return jsontext.Value(data).Kind() == '{' && json.Unmarshal(data, &m) == nil && m.filled("specversion")
}

// byteOrderMark begins the JSON of some writers, though it should not.
var byteOrderMark = []byte("\ufeff")

// document decodes one JSON document and the documents in it.
func (d *decoder) document(data []byte) {
	if d.depth == maxDepth {
		d.fault("has documents nested more than %d deep", maxDepth)
		return
	}
	if d.documents++; d.documents > maxDocuments {
		if !d.full {
			d.full = true
			d.fault("has more than %d documents in it", maxDocuments)
		}
		return
	}
	d.depth++
	defer func() { d.depth-- }()
	data = bytes.TrimPrefix(data, byteOrderMark)
	switch jsontext.Value(data).Kind() {
	case '[':
		d.array(data)
	case '{':
		var space [16]member
		m := members{data: data, list: space[:0]}
		if err := json.Unmarshal(data, &m); err != nil {
			d.syntax(err)
			return
		}
		d.detect(&m)
	default:
		d.noDocument(data)
	}
}

// detect decodes a document as the first format that fits. The order is part of the
// contract: a document that fits several formats is always decoded as the same one.
//
// An envelope must have a member that its sender always writes. An answer of JetStream can
// be stored on storage.event.x too (deploy/nats/README.md, Reply subjects), and an answer
// about a stored message contains that message.
func (d *decoder) detect(m *members) {
	kind, eventType, eventSource := m.text("type"), m.text("eventType"), m.text("eventSource")
	switch {
	case strings.HasPrefix(string(kind), schemas.ServerTypePrefix):
		d.unknownFormat("is an answer of the NATS server, of the type %.100s, and no notification", kind)
	case m.text("Event") == "s3:TestEvent":
		d.add(Change{Format: FormatS3, Event: "s3:TestEvent", Kind: KindNone, Container: string(m.text("Bucket")), Size: -1,
			Note: "the test that is sent when notifications are set up"})
	case m.records.given:
		d.records(&m.records)
	case m.filled("specversion"):
		d.cloudEvent(cloudEvent{kind, m.text("source"), m.text("subject"), m.text("time"), m.value("data"), m.text("data_base64")})
	case ofAzure(eventType):
		d.azure(azureEvent{FormatEventGrid, eventType, m.text("topic"), m.text("subject"), m.text("eventTime"), m.value("data")})
	case strings.HasPrefix(string(eventType), ociPrefix):
		d.oci(eventType, m.text("eventTime"), m.value("data"))
	case strings.HasPrefix(string(eventType), b2Prefix):
		d.b2(m)
	case m.filled("eventName") && m.is("s3", '{'):
		d.bare(m)
	case eventSource == "acs:oss" && m.is("oss", '{'):
		d.oss(m)
	case eventSource == "aws:sqs" && m.has("body"):
		d.sqsRecord(m)
	case m.filled("detail-type"):
		d.eventBridge(m)
	case m.is("events", '['):
		d.events(m.value("events"))
	case m.filled("action") && m.is("object", '{'):
		d.r2(m)
	case m.is("notification", '{') || m.filled("object_name"):
		d.ibm(m)
	case m.is("message", '{') || m.has("attributes"):
		d.pubSub(m)
	case m.filled("Type") || m.filled("Message"):
		d.sns(m)
	case m.filled("Body") || m.is("Messages", '['):
		d.sqs(m)
	default:
		d.unknownFormat("%s", m.resembles())
	}
}

// array decodes each element as a document.
func (d *decoder) array(data []byte) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data)) // a Buffer is not copied
	if _, err := dec.ReadToken(); err != nil {
		d.syntax(err)
		return
	}
	for n := 0; dec.PeekKind() != ']' && !d.full; n++ {
		if n == MaxChanges {
			d.tooMany()
			return
		}
		element, err := dec.ReadValue()
		if err != nil {
			d.syntax(err)
			return
		}
		before := len(d.faults)
		d.document(element)
		for i := before; i < min(len(d.faults), maxFaults); i++ {
			d.faults[i] = fmt.Sprintf("[%d]: %s", n, d.faults[i])
		}
	}
	if d.full {
		return
	}
	if _, err := dec.ReadToken(); err != nil {
		d.syntax(err)
		return
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		d.syntax(errors.New("has data after its end"))
	}
}

// syntax adds the fault of a document that cannot be parsed.
func (d *decoder) syntax(err error) { d.syntaxAt("", err) }

// syntaxAt adds the fault of a member that cannot be parsed. at is the JSON Pointer to it.
func (d *decoder) syntaxAt(at jsontext.Pointer, err error) {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		d.unknownFormat("is not JSON: %v at byte %d", syntax.Err, syntax.ByteOffset)
		return
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		d.unknownFormat("%s has a type that it has in no known notification", at+semantic.JSONPointer)
		return
	}
	d.unknownFormat("is not JSON: %v", err)
}
