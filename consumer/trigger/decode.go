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

// document has the members of all formats that distinguish a format or are needed of it.
// Names of members are case-sensitive.
type document struct {
	// S3 and compatible stores; MinIO has a second EventName and Key here.
	Records list[record] `json:"Records"`
	Event   text         `json:"Event"`
	Bucket  text         `json:"Bucket"`
	// One record by itself, as some functions forward it.
	EventName text           `json:"eventName"`
	S3        jsontext.Value `json:"s3"`

	// CloudEvents; Event Grid and EventBridge share some of the names.
	SpecVersion text           `json:"specversion"`
	Type        text           `json:"type"`
	Source      text           `json:"source"`
	Subject     text           `json:"subject"`
	Time        text           `json:"time"`
	Data        jsontext.Value `json:"data"`
	DataBase64  text           `json:"data_base64"`

	// Event Grid's own schema.
	EventType text `json:"eventType"`
	EventTime text `json:"eventTime"`
	Topic     text `json:"topic"`

	// EventBridge.
	DetailType text           `json:"detail-type"`
	Detail     jsontext.Value `json:"detail"`
	Region     text           `json:"region"`

	// Cloudflare R2.
	Action   text           `json:"action"`
	R2Bucket text           `json:"bucket"`
	Object   jsontext.Value `json:"object"`

	// Pub/Sub: pushed with its subscription, pulled with its ackId, or the message alone.
	Message      jsontext.Value `json:"message"`
	Subscription text           `json:"subscription"`
	AckID        text           `json:"ackId"`
	Attributes   jsontext.Value `json:"attributes"`
	MessageID    text           `json:"messageId"`

	// SNS.
	SNSType    text `json:"Type"`
	SNSTopic   text `json:"TopicArn"`
	SNSMessage text `json:"Message"`

	// SQS: one message, or the result of ReceiveMessage.
	sqsMessage
	Messages list[sqsMessage] `json:"Messages"`
}

// message reads the payload of a NATS message.
func (d *decoder) message(h schemas.Header, data []byte) {
	if h.Get("ce-specversion") == "" || structured(data) {
		d.document(data)
		return
	}
	var doc document
	for _, attribute := range []struct {
		name  string
		value *text
	}{{"type", &doc.Type}, {"source", &doc.Source}, {"subject", &doc.Subject}, {"time", &doc.Time}} {
		*attribute.value = text(h.Attribute(attribute.name))
	}
	doc.Data, d.headers = data, true
	d.cloudEvent(&doc)
}

// structured reports whether the payload is a CloudEvent in structured mode. Some publishers
// set the headers of binary mode as well.
func structured(data []byte) bool {
	if !bytes.Contains(data, []byte(`"specversion"`)) {
		return false
	}
	var doc struct {
		SpecVersion text `json:"specversion"`
	}
	return json.Unmarshal(data, &doc) == nil && doc.SpecVersion != ""
}

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
	switch jsontext.Value(data).Kind() {
	case '[':
		d.array(data)
	case '{':
		var doc document
		if err := json.Unmarshal(data, &doc); err != nil {
			d.syntax(err)
			return
		}
		if doc.EventName != "" && doc.S3.Kind() == '{' && !doc.Records.given {
			d.bare(data)
			return
		}
		d.detect(&doc)
	default:
		if !jsontext.Value(data).IsValid() {
			d.unknownFormat("is not JSON")
			return
		}
		d.unknownFormat("is neither a JSON object nor an array")
	}
}

// detect decodes a document as the first format that fits. The order is part of the
// contract: a document that fits several formats is always decoded as the same one.
//
// An envelope must have a member that its sender always writes. An answer of JetStream can
// be stored on storage.event.x too (deploy/nats/README.md, Reply subjects), and an answer
// about a stored message contains that message.
func (d *decoder) detect(doc *document) {
	switch {
	case strings.HasPrefix(string(doc.Type), schemas.ServerTypePrefix):
		d.unknownFormat("is an answer of the NATS server, of the type %.100s, and no notification", doc.Type)
	case doc.Event == "s3:TestEvent":
		d.add(Change{Format: FormatS3, Event: "s3:TestEvent", Kind: KindNone, Container: string(doc.Bucket), Size: -1,
			Note: "the test that is sent when notifications are set up"})
	case doc.Records.given:
		d.records(&doc.Records)
	case doc.SpecVersion != "":
		d.cloudEvent(doc)
	case strings.HasPrefix(string(doc.EventType), azurePrefix) || strings.HasPrefix(string(doc.EventType), "Microsoft.EventGrid."):
		d.azure(FormatEventGrid, doc.EventType, doc.Topic, doc.Subject, doc.EventTime, doc.Data)
	case doc.DetailType != "":
		d.eventBridge(doc)
	case doc.Action != "" && doc.Object.Kind() == '{':
		d.r2(doc)
	case doc.Message.Kind() == '{', doc.Attributes != nil:
		d.pubSub(doc)
	case doc.SNSType != "" || doc.SNSMessage != "":
		d.sns(doc)
	case doc.Body != "" || doc.Messages.given:
		d.sqs(doc)
	default:
		d.unknownFormat("has no member that a known notification has")
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
func (d *decoder) syntax(err error) {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		d.unknownFormat("is not JSON: %v at byte %d", syntax.Err, syntax.ByteOffset)
		return
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		d.unknownFormat("%s has a type that it has in no known notification", semantic.JSONPointer)
		return
	}
	d.unknownFormat("is not JSON: %v", err)
}
