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
func (d *decoder) unwrap(kind envelope, content string) { d.unwrapBytes(kind, []byte(content)) }

func (d *decoder) unwrapBytes(kind envelope, content []byte) {
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
func (d *decoder) sns(doc *document) {
	switch doc.SNSType {
	case "Notification":
		if doc.SNSTopic == "" {
			d.unknownFormat("has no TopicArn, which SNS always sends")
			return
		}
		d.unwrap(envelopeSNS, string(doc.SNSMessage))
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		d.add(Change{Format: FormatSNS, Event: string(doc.SNSType), Kind: KindNone, Size: -1,
			Note: "SNS asks to confirm a subscription; whatever brings its messages to NATS must answer"})
	default:
		d.unknownFormat("Type is %.100q, which SNS does not send", doc.SNSType)
	}
}

type sqsMessage struct {
	SQSID text `json:"MessageId"`
	Body  text `json:"Body"`
}

func (d *decoder) sqsMessage(m sqsMessage) {
	if m.SQSID == "" {
		d.unknownFormat("has no MessageId, which SQS always sends")
		return
	}
	d.unwrap(envelopeSQS, string(m.Body))
}

// sqs reads one message of SQS, or the result of ReceiveMessage.
func (d *decoder) sqs(doc *document) {
	if doc.Body != "" {
		d.sqsMessage(doc.sqsMessage)
		return
	}
	if len(doc.Messages.items) == 0 {
		d.unknownFormat("Messages is empty")
	}
	for _, message := range doc.Messages.items {
		if d.full {
			return
		}
		d.sqsMessage(message)
	}
	if doc.Messages.more {
		d.tooMany()
	}
}

// cloudEvent reads a CloudEvent. The data of one with an unknown type may itself be a
// notification.
func (d *decoder) cloudEvent(doc *document) {
	if doc.DataBase64 != "" {
		data, err := base64.StdEncoding.DecodeString(string(doc.DataBase64))
		if err != nil {
			d.fault("data_base64 is not base64: %v", err)
			return
		}
		doc.Data = data
	}
	if doc.Data.Kind() == '"' { // JSON as a text
		var inner text
		if err := json.Unmarshal(doc.Data, &inner); err != nil {
			d.fault("data is not JSON: %v", err)
			return
		}
		doc.Data = jsontext.Value(inner)
	}
	switch kind := string(doc.Type); {
	case strings.HasPrefix(kind, azurePrefix), strings.HasPrefix(kind, "Microsoft.EventGrid."):
		d.azure(FormatAzureCloudEvents, doc.Type, doc.Source, doc.Subject, doc.Time, doc.Data)
	case strings.HasPrefix(kind, eventarcPrefix):
		d.eventarc(doc)
	case len(doc.Data) == 0:
		d.unknownFormat("is a CloudEvent of the type %.100q, without data", kind)
	default:
		d.unwrapBytes(envelopeEvent, doc.Data)
	}
}
