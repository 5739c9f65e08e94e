package trigger

import (
	"cmp"
	"strings"
)

// ibm reads a notification of IBM Cloud Object Storage: the body that Code Engine sends, which
// has the notification of the store in the member notification, or that alone, as Cloud Functions
// sent it. Shapes: https://cloud.ibm.com/docs/codeengine (Object Storage event producer), samples
// in github.com/IBM/CodeEngine (cos-event). Keys are raw, sizes are text. Names of buckets are
// unique in IBM Cloud. There is no sequencer and no version, so no deletion cancels a creation.
// Other values of event_type than those of writing and deleting are not known.
func (d *decoder) ibm(m *members) {
	type notification struct {
		Bucket text   `json:"bucket_name"`
		Event  text   `json:"event_type"`
		Key    text   `json:"object_name"`
		Length number `json:"object_length"`
		Time   text   `json:"request_time"`
	}
	n := notification{Bucket: m.text("bucket_name"), Event: m.text("event_type"), Key: m.text("object_name"), Time: m.text("request_time")}
	_ = m.parse("object_length", &n.Length) // a number accepts any type
	if err := m.parse("notification", &n); err != nil {
		d.fault("notification is not as IBM Cloud Object Storage writes it: %v", err)
		return
	}
	c := Change{
		Format: FormatIBM, Event: string(cmp.Or(n.Event, m.text("operation"))), System: "ibm-cos", sole: true,
		Container: string(cmp.Or(n.Bucket, m.text("bucket"))), Key: string(cmp.Or(n.Key, m.text("key"))),
		Size: n.Length.or(-1), Time: timeOf(n.Time),
	}
	switch action, is := strings.CutPrefix(c.Event, "Object:"); {
	case !is:
		d.unknownFormat("looks like IBM Cloud Object Storage, but its event_type is %.100q", c.Event)
		return
	case action == "Write":
		c.Kind = KindCreated
	case action == "Delete":
		c.Kind = KindDeleted
	default:
		c.Kind, c.Note = KindNone, "not an event that changes content"
	}
	d.object(c, "notification.bucket_name", "notification.object_name")
}
