package trigger

import "time"

const b2Prefix = "b2:"

// b2 reads one event of Backblaze B2, which sends them in the list events:
// https://www.backblaze.com/docs/cloud-storage-event-notifications-reference-guide. Keys are not
// documented as encoded, and are taken as they are. Names of buckets are unique in B2. There
// is no sequencer, and eventTimestamp is of the event and not of the change: a deletion
// cancels a creation only by its version.
func (d *decoder) b2(m *members) {
	var size, at number
	_ = m.parse("objectSize", &size) // a number accepts any type
	_ = m.parse("eventTimestamp", &at)
	c := Change{
		Format: FormatB2, Event: string(m.text("eventType")), System: "b2", sole: true, Container: string(m.text("bucketName")), Key: string(m.text("objectName")),
		Size: size.or(-1), Version: string(m.text("objectVersionId")),
	}
	if at.given {
		c.Time = time.UnixMilli(at.value).UTC()
	}
	switch c.Event {
	case "b2:ObjectCreated:Upload", "b2:ObjectCreated:MultipartUpload", "b2:ObjectCreated:Copy",
		"b2:ObjectCreated:Replica", "b2:ObjectCreated:MultipartReplica":
		c.Kind = KindCreated
	case "b2:ObjectDeleted:Delete", "b2:ObjectDeleted:LifecycleRule":
		c.Kind = KindDeleted // of one version
	case "b2:HideMarkerCreated:Hide", "b2:HideMarkerCreated:LifecycleRule":
		c.Kind = KindDeleted
		c.Version, c.Marker = "", c.Version
	case "b2:TestEvent":
		c.Kind, c.Note = KindNone, "the test that is sent when notifications are set up"
	default:
		c.Kind, c.Note = KindNone, "not an event that changes content"
	}
	d.object(c, "bucketName", "objectName")
}
