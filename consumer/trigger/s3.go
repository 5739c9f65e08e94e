package trigger

import (
	"cmp"
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
	User         struct {
		Principal text `json:"principalId"`
		Versity   text `json:"PrincipalId"`
	} `json:"userIdentity"`
	Response struct {
		Deployment text `json:"x-minio-deployment-id"`
	} `json:"responseElements"`
	S3 struct {
		Configuration text `json:"configurationId"`
		Bucket        struct {
			Name text `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key       text   `json:"key"`
			Size      number `json:"size"`
			VersionID text   `json:"versionId"`
			Sequencer text   `json:"sequencer"`
		} `json:"object"`
	} `json:"s3"`

	// What others have in the place of s3.
	OBS present `json:"obs"`
	COS present `json:"cos"`

	SQSBody   text `json:"body"`
	SNSSource text `json:"EventSource"`
	SNS       struct {
		Message text `json:"Message"`
	} `json:"Sns"`
}

// records reads the list of S3 and compatible stores, and of AWS Lambda.
func (d *decoder) records(records *list[record]) {
	if len(records.items) == 0 {
		d.add(Change{Format: FormatS3Compatible, Kind: KindNone, Size: -1, Note: "it has no records; some stores test a target with that"})
	}
	for i := range records.items {
		switch r := &records.items[i]; {
		case d.full:
			return
		case r.SQSBody != "" && r.EventSource == "aws:sqs":
			d.unwrap(envelopeSQS, []byte(r.SQSBody))
		case r.SNS.Message != "" && r.SNSSource == "aws:sns":
			d.unwrap(envelopeSNS, []byte(r.SNS.Message))
		default:
			d.record(i, r)
		}
	}
	if records.more {
		d.tooMany()
	}
}

// bare reads a record without the list around it.
func (d *decoder) bare(m *members) {
	var r record
	if err := json.Unmarshal(m.data, &r, checked); err != nil {
		d.syntax(err)
		return
	}
	d.record(0, &r)
}

// record reads one S3 record. AWS documents it on the page "Event message structure": a
// receiver should accept any version with the same major number.
func (d *decoder) record(i int, r *record) {
	object, from := &r.S3.Object, r.sender()
	c := Change{
		Format: from.format, Source: string(r.EventSource), Event: string(r.EventName), Container: string(r.S3.Bucket.Name), Key: string(object.Key),
		Time: timeOf(r.EventTime), Sequencer: string(object.Sequencer), Version: string(object.VersionID), Size: object.Size.or(-1),
		User: string(cmp.Or(r.User.Principal, r.User.Versity)),
	}
	if other := r.resembles(); other != "" {
		d.unknownFormat("Records[%d] looks like S3, but is of %s, which is not read", i, other)
		return
	}
	if major, _, _ := strings.Cut(string(r.EventVersion), "."); major != "2" && major != "" && from.format != FormatScality {
		d.fault("Records[%d]: looks like S3, but its eventVersion is %q; 2.x is known, and what Scality writes", i, r.EventVersion)
		return
	}
	if c.Event == "" && c.Container == "" {
		d.unknownFormat("Records[%d] has neither an eventName nor a bucket", i)
		return
	}
	c.Kind, c.Note = s3Kind(&c)
	c.System, c.sole = r.system()
	if !c.decodeKey(from.keys) {
		d.fault("Records[%d]: s3.object.key is %.100q, which is not form encoded", i, c.Key)
		d.broken(c)
		return
	}
	switch {
	case c.Format == FormatMinIO && c.Kind == KindCreated:
		c.Size = object.Size.or(0) // MinIO omits a size of 0
	case c.Format == FormatNooBaa:
		c.Size = -1 // it writes the length of its answer
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

// decodeKey decodes the key of a change, exactly once. keys is how its sender surely writes
// keys; "" if that is not known. Then a byte that no form has proves that the key is raw, and
// a plus or percent sign leaves both readings: the key is decoded, and Raw has the other
// reading. decodeKey returns false if the key cannot be decoded.
func (c *Change) decodeKey(keys Keys) bool {
	if keys == KeysRaw || keys == "" && strings.ContainsFunc(c.Key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return true
	}
	key, err := url.QueryUnescape(c.Key)
	if err != nil {
		return keys == ""
	}
	if keys == "" && key != c.Key {
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
