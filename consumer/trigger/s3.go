package trigger

import (
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
)

// record is one element of Records, as S3 and compatible stores send it, and as AWS Lambda
// gets it from SQS and SNS.
type record struct {
	EventVersion text `json:"eventVersion"`
	EventSource  text `json:"eventSource"`
	EventName    text `json:"eventName"`
	EventTime    text `json:"eventTime"`
	Region       text `json:"awsRegion"`
	Response     struct {
		Deployment text `json:"x-minio-deployment-id"`
	} `json:"responseElements"`
	S3 struct {
		Bucket struct {
			Name text `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key       text   `json:"key"`
			Size      number `json:"size"`
			VersionID text   `json:"versionId"`
			Sequencer text   `json:"sequencer"`
		} `json:"object"`
	} `json:"s3"`

	SQSBody   text `json:"body"`
	SNSSource text `json:"EventSource"`
	SNS       struct {
		Message text `json:"Message"`
	} `json:"Sns"`
}

func (d *decoder) records(records *list[record]) {
	if len(records.items) == 0 {
		d.add(Change{Format: FormatS3Compatible, Kind: KindNone, Size: -1, Note: "it has no records; some stores test a target with that"})
	}
	for i := range records.items {
		switch r := &records.items[i]; {
		case d.full:
			return
		case r.SQSBody != "" && r.EventSource == "aws:sqs":
			d.unwrap(envelopeSQS, string(r.SQSBody))
		case r.SNS.Message != "" && r.SNSSource == "aws:sns":
			d.unwrap(envelopeSNS, string(r.SNS.Message))
		default:
			d.record(i, r)
		}
	}
	if records.more {
		d.tooMany()
	}
}

// bare reads a record without the list around it.
func (d *decoder) bare(data []byte) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		d.syntax(err)
		return
	}
	d.record(0, &r)
}

// record reads one S3 record. AWS documents it on the page "Event message structure": a
// receiver should accept any version with the same major number.
func (d *decoder) record(i int, r *record) {
	object := &r.S3.Object
	c := Change{
		Format: s3Format(r.EventSource), Source: string(r.EventSource), Event: string(r.EventName), Container: string(r.S3.Bucket.Name), Key: string(object.Key),
		Time: timeOf(r.EventTime), Sequencer: string(object.Sequencer), Version: string(object.VersionID), Size: object.Size.or(-1),
	}
	if major, _, _ := strings.Cut(string(r.EventVersion), "."); major != "2" && major != "" {
		d.fault("Records[%d]: eventVersion is %q, only 2.x is known", i, r.EventVersion)
		return
	}
	if c.Event == "" && c.Container == "" {
		d.unknownFormat("Records[%d] has neither an eventName nor a bucket", i)
		return
	}
	c.Kind, c.Note = s3Kind(&c)
	c.System, c.sole = r.system()
	if !c.decodeKey(r.writesForms()) {
		d.fault("Records[%d]: s3.object.key is %.100q, which is not form encoded", i, c.Key)
		d.broken(c)
		return
	}
	if c.Format == FormatMinIO && c.Kind == KindCreated {
		c.Size = object.Size.or(0) // MinIO omits a size of 0
	}
	d.object(c, "Records[%d]: s3.bucket.name", "Records[%d]: s3.object.key", i)
}

// system returns the name of the system that wrote the record, and whether no other has it.
func (r *record) system() (name string, sole bool) {
	switch {
	case r.EventSource == "minio:s3" && r.Response.Deployment != "":
		return "minio:" + string(r.Response.Deployment), true
	case r.ofAWS():
		return "aws:" + string(r.Region), true
	default:
		return "", false
	}
}

// ofAWS reports whether the record has what only AWS writes: its eventSource with a sequencer
// of 18 digits that begins with 00, and the name of a region. Those who imitate it write the
// time in nanoseconds (16 digits), a counter or nothing.
func (r *record) ofAWS() bool {
	s := string(r.S3.Object.Sequencer)
	return r.EventSource == "aws:s3" && len(s) == 18 && strings.HasPrefix(s, "00") && digits(s, hexDigits) && strings.Count(string(r.Region), "-") >= 2
}

// writesForms reports whether the sender is known to write form-encoded keys.
func (r *record) writesForms() bool { return r.EventSource == "minio:s3" || r.ofAWS() }

// decodeKey decodes the key of an S3 record, exactly once. known is set if the sender surely
// writes form-encoded keys. From another sender, a byte that no form has proves that the key
// is raw, and a plus or percent sign leaves both readings: the key is decoded then, and Raw has
// the other reading. decodeKey returns false if the key cannot be decoded.
func (c *Change) decodeKey(known bool) bool {
	if c.Format == FormatCeph {
		return true // it does not encode keys: record.object_key in its rgw_notify.cc
	}
	if !known && strings.ContainsFunc(c.Key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return true
	}
	key, err := url.QueryUnescape(c.Key)
	if err != nil {
		return !known
	}
	if !known && key != c.Key {
		c.Raw = c.Key
	}
	c.Key = key
	return true
}

// object adds a change, or a fault if its container or key is missing. container and key are
// formats with args that name their members.
func (d *decoder) object(c Change, container, key string, args ...any) {
	switch {
	case c.Kind == KindNone:
	case c.Container == "":
		d.fault(container+" is missing or not a string", args...)
		return
	case c.Key == "" && !c.Broken:
		d.fault(key+" is missing or not a string", args...)
		d.broken(c)
		return
	case c.Kind == KindCreated && !c.Tree && c.Size == 0 && strings.HasSuffix(c.Key, "/"):
		// It stands for an empty directory. A directive file would list the whole
		// directory by it.
		c.Kind, c.Note = KindNone, "a folder marker, an empty object whose name ends in a slash"
	}
	d.add(c)
}

// broken adds a change for a record that names its container and no key: anything in the
// container may have changed. The notification becomes a dead letter too.
func (d *decoder) broken(c Change) {
	if c.Container == "" || c.Kind == KindNone || d.brokenIn[c.Container] {
		return
	}
	if d.brokenIn == nil {
		d.brokenIn = make(map[string]bool)
	}
	d.brokenIn[c.Container] = true // one for all records: it stands for the whole container
	c.Kind, c.Key, c.Raw, c.Version, c.Marker, c.Sequencer = KindCreated, "", "", "", "", ""
	c.Tree, c.Broken, c.Size = true, true, -1
	d.add(c)
}

func s3Format(eventSource text) Format {
	switch eventSource {
	case "aws:s3":
		return FormatS3
	case "minio:s3":
		return FormatMinIO
	case "ceph:s3":
		return FormatCeph
	default:
		return FormatS3Compatible
	}
}

// s3Kind returns what the event of a record does to its object. If the event deletes the
// name, s3Kind clears the version, which is that of the delete marker.
func s3Kind(c *Change) (kind Kind, note string) {
	name := strings.TrimPrefix(c.Event, "s3:")
	family, action, _ := strings.Cut(name, ":")
	switch family {
	case "ObjectCreated":
		switch action {
		case "PutTagging", "DeleteTagging", "PutRetention", "PutLegalHold": // MinIO's names
			return KindNone, "metadata only, the content is the same"
		}
		return KindCreated, ""
	case "ObjectRemoved", "LifecycleExpiration":
		switch action {
		case "NoOP":
			return KindNone, "nothing was there to delete"
		case "DeleteMarkerCreated":
			c.Version, c.Marker = "", c.Version
		case "DeleteAllVersions":
			c.Version = ""
		}
		return KindDeleted, ""
	case "ObjectSynced": // Ceph: copied from another zone
		switch action {
		case "Delete", "DeletionMarkerCreated":
			c.Version, c.Marker = "", c.Version
			return KindDeleted, ""
		}
		return KindCreated, ""
	case "ObjectLifecycle": // Ceph
		if action == "Expiration:Current" {
			c.Version, c.Marker = "", c.Version
			return KindDeleted, ""
		}
		return KindNone, "the object's current content stays"
	case "ObjectTagging", "ObjectAcl", "ObjectAnnotation":
		return KindNone, "metadata only, the content is the same"
	case "ObjectAccessed":
		return KindNone, "the object was only read"
	case "":
		return KindNone, "it has no eventName"
	default:
		return KindNone, "not an event that changes content"
	}
}

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
}

// eventBridge reads an S3 event of EventBridge, whose keys are not encoded.
func (d *decoder) eventBridge(doc *document) {
	if doc.Source != "aws.s3" {
		d.unknownFormat("is an EventBridge event of %.100q, not of aws.s3", doc.Source)
		return
	}
	var detail eventBridgeObject
	if err := json.Unmarshal(orNull(doc.Detail), &detail); err != nil {
		d.fault("detail is not as S3 writes it: %v", err)
		return
	}
	c := Change{
		Format: FormatEventBridge, Source: string(doc.Source), Event: string(doc.DetailType), Container: string(detail.Bucket.Name), Key: string(detail.Object.Key),
		Size: detail.Object.Size.or(-1), Time: timeOf(doc.Time), Sequencer: string(detail.Object.Sequencer), Version: string(detail.Object.VersionID),
		System: "aws:" + string(doc.Region), sole: true,
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
