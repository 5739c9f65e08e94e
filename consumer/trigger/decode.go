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
	// maxDepth is how deep documents may be within each other: SQS around SNS
	// around a CloudEvent around an array around a notification, and one to spare.
	maxDepth = 6
	// maxDocuments is how many documents one notification may hold in all, envelopes
	// and elements of arrays included: SQS around SNS takes three for one change.
	maxDocuments = 4 * MaxChanges
	// maxFaults bounds what is said of one notification.
	maxFaults = 8
)

// DecodeError says why a notification, or a part of it, cannot be understood.
// The same bytes never will be: they are set aside, not tried again.
type DecodeError struct {
	// Unknown: nothing in it tells what format it has.
	Unknown bool
	// Reason is what is wrong.
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

// Decode reads a notification of any format. Any error is a [*DecodeError]; the
// changes that could be read nevertheless are returned beside it. A test event,
// or one that changes no content, is a change of [KindNone].
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

// decoder reads one notification.
type decoder struct {
	changes []Change
	faults  []string
	unknown bool
	full    bool
	depth   int
	// headers: the attributes of the CloudEvent come from headers.
	headers bool
	// documents counts those that were begun.
	documents int
	// unwrapped has the envelopes that were taken off: each kind once.
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

// tooMany ends the reading.
func (d *decoder) tooMany() {
	if !d.full {
		d.full = true
		d.fault("has more than %d changes", MaxChanges)
	}
}

// document is every member that tells one format from another, or is needed of
// it. Names of JSON members are compared with their case.
type document struct {
	// S3 and what imitates it; MinIO has a second EventName and Key outside.
	Records list[record] `json:"Records"`
	Event   text         `json:"Event"`
	Bucket  text         `json:"Bucket"`

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

	// Pub/Sub: pushed with its subscription, pulled with the id to acknowledge it by, or
	// the message alone.
	Message      jsontext.Value `json:"message"`
	Subscription text           `json:"subscription"`
	AckID        text           `json:"ackId"`
	Attributes   jsontext.Value `json:"attributes"`
	MessageID    text           `json:"messageId"`

	// SNS.
	SNSType    text `json:"Type"`
	SNSTopic   text `json:"TopicArn"`
	SNSMessage text `json:"Message"`

	// SQS: one message, or what ReceiveMessage answers.
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

// structured tells whether the payload is a CloudEvent by itself. Some
// publishers of those set the headers of binary mode as well.
func structured(data []byte) bool {
	if !bytes.Contains(data, []byte(`"specversion"`)) {
		return false
	}
	var doc struct {
		SpecVersion text `json:"specversion"`
	}
	return json.Unmarshal(data, &doc) == nil && doc.SpecVersion != ""
}

// document reads one JSON document, and what is wrapped in it.
func (d *decoder) document(data []byte) {
	if d.depth == maxDepth {
		d.fault("has documents within documents, more than %d deep", maxDepth)
		return
	}
	if d.documents++; d.documents > maxDocuments {
		if !d.full {
			d.full = true
			d.fault("has more than %d documents within it", maxDocuments)
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
		d.detect(&doc)
	default:
		if !jsontext.Value(data).IsValid() {
			d.unknownFormat("is not JSON")
			return
		}
		d.unknownFormat("is neither a JSON object nor an array")
	}
}

// detect takes the first format that fits. The order is part of the contract:
// a document that fits several is always taken for the same one.
//
// An envelope is taken for one only with a member that its sender always writes. An
// answer of JetStream can be stored on storage.event.x too (deploy/nats/README.md, Reply
// subjects), and one about a stored message has that message in it.
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
	case doc.Message.Kind() == '{', doc.Attributes != nil:
		d.pubSub(doc)
	case doc.SNSType != "" || doc.SNSMessage != "":
		d.sns(doc)
	case doc.Body != "" || doc.Messages.given:
		d.sqs(doc)
	default:
		d.unknownFormat("no member of it is known from any notification")
	}
}

// array reads each element as a document of its own.
func (d *decoder) array(data []byte) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data)) // which does not copy
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
		d.syntax(errors.New("something follows behind its end"))
	}
}

// syntax notes what keeps a document from being read at all.
func (d *decoder) syntax(err error) {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		d.unknownFormat("is not JSON: %v at byte %d", syntax.Err, syntax.ByteOffset)
		return
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		d.unknownFormat("%s has another type than in any notification", semantic.JSONPointer)
		return
	}
	d.unknownFormat("is not JSON: %v", err)
}
