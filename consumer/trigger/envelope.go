package trigger

import (
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// envelope is a set of kinds of envelopes.
type envelope uint8

const (
	envelopeSQS envelope = 1 << iota
	envelopeSNS
	envelopePush
	envelopeEvent
)

var envelopeNames = map[envelope]string{
	envelopeSQS: "an SQS message", envelopeSNS: "an SNS notification", envelopePush: "a Pub/Sub message", envelopeEvent: "a CloudEvent",
}

// unwrap reads the content of an envelope. Each kind is unwrapped once: a queue that feeds
// itself must not make a message endless.
func (d *decoder) unwrap(kind envelope, content []byte) {
	if d.unwrapped&kind != 0 {
		d.fault("is %s within %[1]s", envelopeNames[kind])
		return
	}
	d.unwrapped |= kind
	d.headers = false // the content is JSON
	defer func() { d.unwrapped &^= kind }()
	d.document(content)
}

// sns reads a message of SNS without raw delivery.
func (d *decoder) sns(m *members) {
	switch kind := m.text("Type"); kind {
	case "Notification":
		if !m.filled("TopicArn") {
			d.unknownFormat("looks like SNS, but has no TopicArn, which SNS always sends")
			return
		}
		d.unwrap(envelopeSNS, m.content("Message"))
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		d.add(Change{Format: FormatSNS, Event: string(kind), Kind: KindNone, Size: -1,
			Note: "SNS asks to confirm a subscription; whatever brings its messages to NATS must answer"})
	default:
		d.unknownFormat("looks like SNS, but its Type is %.100q, which SNS does not send", kind)
	}
}

// sqsMessage is one message in the result of ReceiveMessage.
type sqsMessage struct {
	ID   text `json:"MessageId"`
	Body text `json:"Body"`
}

func (d *decoder) sqsMessage(hasID bool, body []byte) {
	if !hasID {
		d.unknownFormat("looks like SQS, but has no MessageId, which SQS always sends")
		return
	}
	d.unwrap(envelopeSQS, body)
}

// sqs reads one message of SQS, or the result of ReceiveMessage.
func (d *decoder) sqs(m *members) {
	if m.filled("Body") {
		d.sqsMessage(m.filled("MessageId"), m.content("Body"))
		return
	}
	var messages list[sqsMessage]
	if err := m.parse("Messages", &messages); err != nil {
		d.syntaxAt("/Messages", err)
		return
	}
	if len(messages.items) == 0 {
		d.unknownFormat("looks like SQS, but Messages is empty")
	}
	for _, message := range messages.items {
		if d.full {
			return
		}
		d.sqsMessage(message.ID != "", []byte(message.Body))
	}
	if messages.more {
		d.tooMany()
	}
}

// sqsRecord reads a record of SQS without the list around it, as EventBridge Pipes sends it to
// its target. An input template may have parsed its body:
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-sqs.html and
// eb-pipes-input-transformation.html.
func (d *decoder) sqsRecord(m *members) {
	if !m.filled("messageId") {
		d.unknownFormat("looks like SQS, but has no messageId, which SQS always sends")
		return
	}
	if body := m.value("body"); body.Kind() != '"' {
		d.unwrap(envelopeSQS, body)
		return
	}
	d.unwrap(envelopeSQS, m.content("body"))
}

// cloudEvent has the attributes and data of a CloudEvent.
type cloudEvent struct {
	kind, source, subject, time text
	data                        jsontext.Value
	base64                      text // the data, if it is given like this
}

// cloudEvent reads a CloudEvent. The data of one with an unknown type may itself be a
// notification.
func (d *decoder) cloudEvent(e cloudEvent) {
	if e.base64 != "" {
		data, err := base64.StdEncoding.DecodeString(string(e.base64))
		if err != nil {
			d.fault("data_base64 is not base64: %v", err)
			return
		}
		e.data = data
	}
	if e.data.Kind() == '"' { // JSON as a text
		var inner text
		if err := json.Unmarshal(e.data, &inner); err != nil {
			d.fault("data is not JSON: %v", err)
			return
		}
		e.data = jsontext.Value(inner)
	}
	switch {
	case ofAzure(e.kind):
		d.azure(azureEvent{FormatAzureCloudEvents, e.kind, e.source, e.subject, e.time, e.data})
	case strings.HasPrefix(string(e.kind), eventarcPrefix):
		d.eventarc(e)
	case strings.HasPrefix(string(e.kind), ociPrefix):
		d.oci(e.kind, e.time, e.data)
	case len(e.data) == 0:
		d.unknownFormat("is a CloudEvent of the type %.100q, without data", e.kind)
	default:
		d.unwrap(envelopeEvent, e.data)
	}
}
