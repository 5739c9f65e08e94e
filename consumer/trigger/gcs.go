package trigger

import (
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"backhaul/schemas"
)

// pubSubAttributes are the attributes that Cloud Storage sets on a Pub/Sub message. The
// message's data is the object's resource, or empty.
type pubSubAttributes struct {
	BucketID      text `json:"bucketId"`
	ObjectID      text `json:"objectId"`
	Generation    text `json:"objectGeneration"`
	EventType     text `json:"eventType"`
	EventTime     text `json:"eventTime"`
	OverwrittenBy text `json:"overwrittenByGeneration"`
}

// pubSubMessage is the message in a pulled message and in a push request.
type pubSubMessage struct {
	ID         text             `json:"messageId"`
	Data       text             `json:"data"`
	Attributes pubSubAttributes `json:"attributes"`
}

// pubSubHeader reads a notification whose attributes are headers of the NATS message. It
// reports whether there are such headers.
func (d *decoder) pubSubHeader(h schemas.Header, data []byte) bool {
	a := pubSubAttributes{EventType: text(h.Get("eventType"))}
	if _, ok := gcsKinds[a.EventType]; !ok {
		return false
	}
	for name, field := range map[string]*text{
		"bucketId": &a.BucketID, "objectId": &a.ObjectID, "objectGeneration": &a.Generation,
		"eventTime": &a.EventTime, "overwrittenByGeneration": &a.OverwrittenBy,
	} {
		*field = text(h.Get(name))
	}
	d.gcs(FormatPubSub, a, data, "header ")
	return true
}

func (d *decoder) pubSub(doc *members) {
	m := pubSubMessage{ID: doc.text("messageId"), Data: doc.text("data")}
	at := "message.attributes."
	var err error
	switch {
	case !doc.is("message", '{'):
		at = "attributes."
		err = doc.parse("attributes", &m.Attributes)
	case !doc.filled("subscription") && !doc.filled("ackId"):
		d.unknownFormat("%s", doc.resembles())
		return
	default:
		m = pubSubMessage{}
		err = doc.parse("message", &m)
	}
	if err != nil {
		d.unknownFormat("%sis not as in a Pub/Sub message: %v", at, err)
		return
	}
	data, err := base64.StdEncoding.DecodeString(string(m.Data))
	if m.Attributes.EventType != "" || m.Attributes.BucketID != "" {
		d.gcs(FormatPubSub, m.Attributes, data, at)
		return
	}
	if err != nil || len(data) == 0 || m.ID == "" {
		d.unknownFormat("is a Pub/Sub message without the attributes of Cloud Storage")
		return
	}
	d.unwrap(envelopePush, data)
}

var gcsKinds = map[text]Kind{
	"OBJECT_FINALIZE": KindCreated, "OBJECT_DELETE": KindDeleted, "OBJECT_ARCHIVE": KindDeleted, "OBJECT_METADATA_UPDATE": KindNone,
}

// gcs reads a notification of Cloud Storage. Faults name its attributes with the prefix at.
func (d *decoder) gcs(format Format, a pubSubAttributes, resource []byte, at string) {
	var object struct {
		Size number `json:"size"`
	}
	_ = json.Unmarshal(orNull(resource), &object) // an error loses only the size
	c := Change{
		Format: format, Event: string(a.EventType), System: "gcs", sole: true, Container: string(a.BucketID), Key: string(a.ObjectID),
		Size: object.Size.or(-1), Time: timeOf(a.EventTime), Sequencer: string(a.Generation),
	}
	switch kind, known := gcsKinds[a.EventType]; {
	case !known:
		c.Kind, c.Note = KindNone, "not an event that changes content"
	case kind == KindDeleted && a.OverwrittenBy != "":
		c.Kind, c.Note = KindNone, "the old content of an object that was overwritten; another notification has the new one"
	case kind == KindNone:
		c.Kind, c.Note = KindNone, "metadata only, the content is the same"
	default:
		c.Kind = kind
	}
	d.object(c, at+"bucketId", at+"objectId")
}

const eventarcPrefix = "google.cloud.storage.object.v1."

// eventarc reads a CloudEvent of Cloud Storage, whose data is the object's resource.
func (d *decoder) eventarc(e cloudEvent) {
	var object struct {
		Bucket     text   `json:"bucket"`
		Name       text   `json:"name"`
		Generation text   `json:"generation"`
		Size       number `json:"size"`
	}
	if err := json.Unmarshal(orNull(e.data), &object); err != nil {
		d.fault("data is not an object of Cloud Storage: %v", err)
		return
	}
	c := Change{
		Format: FormatEventarc, Event: strings.TrimPrefix(string(e.kind), eventarcPrefix), System: "gcs", sole: true, Container: string(object.Bucket), Key: string(object.Name),
		Size: object.Size.or(-1), Time: timeOf(e.time), Sequencer: string(object.Generation),
	}
	if c.Container == "" {
		_, c.Container, _ = strings.Cut(string(e.source), "/buckets/")
	}
	if c.Key == "" {
		c.Key, _ = strings.CutPrefix(string(e.subject), "objects/")
	}
	switch c.Event {
	case "finalized":
		c.Kind = KindCreated
	case "deleted", "archived":
		c.Kind = KindDeleted
	case "metadataUpdated":
		c.Kind, c.Note = KindNone, "metadata only, the content is the same"
	default:
		c.Kind, c.Note = KindNone, "not an event that changes content"
	}
	d.object(c, "data.bucket", "data.name")
}

// orNull returns the value, or null if it is empty.
func orNull[T ~[]byte](value T) jsontext.Value {
	if len(value) == 0 {
		return jsontext.Value("null")
	}
	return jsontext.Value(value)
}
