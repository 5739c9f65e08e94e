package trigger

import "strings"

// r2 reads a notification of Cloudflare R2, as it is pulled from its queue:
// https://developers.cloudflare.com/r2/buckets/event-notifications/ (Message format). Keys are
// not documented as encoded, and are taken as they are. Buckets of two accounts may have one
// name. There is no sequencer, so no deletion cancels a creation.
func (d *decoder) r2(m *members) {
	var object struct {
		Key  text   `json:"key"`
		Size number `json:"size"`
	}
	if err := m.parse("object", &object); err != nil {
		d.fault("object is not as R2 writes it: %v", err)
		return
	}
	c := Change{
		Format: FormatR2, Event: string(m.text("action")), System: "r2", Container: string(m.text("bucket")), Key: string(object.Key),
		Size: object.Size.or(-1), Time: timeOf(m.text("eventTime")),
	}
	if account := m.text("account"); account != "" {
		c.Account, c.sole = strings.ToLower(string(account)), true
	}
	switch c.Event {
	case "PutObject", "CopyObject", "CompleteMultipartUpload":
		c.Kind = KindCreated
	case "DeleteObject", "LifecycleDeletion":
		c.Kind = KindDeleted
	default:
		c.Kind, c.Note = KindNone, "not an event that changes content"
	}
	d.object(c, "bucket", "object.key")
}
