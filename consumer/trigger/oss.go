package trigger

import "strings"

// events reads the list in which Alibaba OSS and Backblaze B2 send their events.
func (d *decoder) events(list []byte) {
	before := len(d.changes) + len(d.faults)
	d.document(list)
	if len(d.changes)+len(d.faults) == before && !d.full {
		d.unknownFormat("looks like Alibaba OSS or Backblaze B2, but events is empty")
	}
}

// oss reads one event of Alibaba Cloud OSS, which sends them in the list events:
// https://www.alibabacloud.com/help/en/fc/user-guide/overview-of-oss-event-triggers (to functions) and
// https://www.alibabacloud.com/help/en/mns/user-guide/create-a-rule-to-generate-oss-event-notifications
// (to queues). Names of buckets are unique in OSS. Whether keys are encoded is not documented: a
// key with a plus or percent sign keeps both readings. There is no sequencer and no documented
// version, so no deletion cancels a creation.
func (d *decoder) oss(m *members) {
	var e struct {
		Bucket struct {
			Name text `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key  text   `json:"key"`
			Size number `json:"size"`
		} `json:"object"`
	}
	var user struct {
		Principal text `json:"principalId"`
	}
	_ = m.parse("userIdentity", &user) // an error loses only the user
	if err := m.parse("oss", &e); err != nil {
		d.fault("oss is not as Alibaba OSS writes it: %v", err)
		return
	}
	c := Change{
		Format: FormatOSS, Source: "acs:oss", Event: string(m.text("eventName")), System: "oss:" + string(m.text("region")), sole: true,
		Container: string(e.Bucket.Name), Key: string(e.Object.Key), Size: e.Object.Size.or(-1), Time: timeOf(m.text("eventTime")),
		User: string(user.Principal),
	}
	family, action, _ := strings.Cut(strings.TrimPrefix(c.Event, "oss:"), ":")
	if family == "ObjectReplication" { // from another region
		family, action = action, ""
	}
	switch {
	case family == "ObjectCreated":
		c.Kind = KindCreated
	case family == "ObjectModified" && action == "": // of a replication, which does not tell content from metadata
		c.Kind = KindCreated
	case family == "ObjectRemoved" && action != "AbortMultipartUpload":
		c.Kind = KindDeleted
	default:
		c.Kind, c.Note = KindNone, "not an event that changes content"
	}
	c.decodeKey("") // without an encoding, it decodes any key
	d.object(c, "oss.bucket.name", "oss.object.key")
}
