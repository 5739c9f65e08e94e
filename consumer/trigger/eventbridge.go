package trigger

// eventBridgeObject is the detail of an S3 event on EventBridge.
type eventBridgeObject struct {
	Bucket struct {
		Name text `json:"name"`
	} `json:"bucket"`
	Object struct {
		Key       text   `json:"key"`
		Size      number `json:"size"`
		VersionID text   `json:"version-id"`
		Sequencer text   `json:"sequencer"`
	} `json:"object"`
	DeletionType text `json:"deletion-type"`
	Requester    text `json:"requester"`
}

// eventBridge reads an S3 event of EventBridge, whose keys are not encoded.
func (d *decoder) eventBridge(m *members) {
	source := m.text("source")
	if source != "aws.s3" {
		d.unknownFormat("looks like EventBridge, but is of %.100q, not of aws.s3", source)
		return
	}
	var detail eventBridgeObject
	if err := m.parse("detail", &detail); err != nil {
		d.fault("detail is not as S3 writes it: %v", err)
		return
	}
	c := Change{
		Format: FormatEventBridge, Source: string(source), Event: string(m.text("detail-type")), Container: string(detail.Bucket.Name), Key: string(detail.Object.Key),
		Size: detail.Object.Size.or(-1), Time: timeOf(m.text("time")), Sequencer: string(detail.Object.Sequencer), Version: string(detail.Object.VersionID),
		System: "aws:" + string(m.text("region")), sole: true, User: string(detail.Requester),
	}
	switch c.Event {
	case "Object Created":
		c.Kind = KindCreated
	case "Object Deleted":
		c.Kind = KindDeleted
		if detail.DeletionType == "Delete Marker Created" {
			c.Version, c.Marker = "", c.Version
		}
	default:
		c.Kind, c.Note = KindNone, "not an event that changes content"
	}
	d.object(c, "detail.bucket.name", "detail.object.key")
}
