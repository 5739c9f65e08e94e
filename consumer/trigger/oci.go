package trigger

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const ociPrefix = "com.oraclecloud.objectstorage."

// oci reads an event of Oracle Cloud Infrastructure, in the form of CloudEvents 0.1 that its
// service Events sends (eventType, eventTime), or of 1.0 (type, time):
// https://docs.oracle.com/iaas/Content/Events/Reference/eventenvelopereference.htm and the events
// of Object Storage in Reference/eventsproducers.htm. It has no size and no sequencer. Whether
// resourceName is encoded, and how versions are named, is not documented: a key with a plus or
// percent sign keeps both readings, and no deletion cancels a creation.
func (d *decoder) oci(eventType, at text, data jsontext.Value) {
	var e struct {
		Name    text `json:"resourceName"`
		Details struct {
			Bucket    text `json:"bucketName"`
			BucketID  text `json:"bucketId"`
			Namespace text `json:"namespace"`
		} `json:"additionalDetails"`
	}
	if err := json.Unmarshal(orNull(data), &e); err != nil {
		d.fault("data is not as Object Storage of OCI writes it: %v", err)
		return
	}
	c := Change{
		Format: FormatOCI, Event: strings.TrimPrefix(string(eventType), ociPrefix), Account: strings.ToLower(string(e.Details.Namespace)),
		Container: string(e.Details.Bucket), Key: string(e.Name), Size: -1, Time: timeOf(at),
	}
	// ocid1.bucket.<realm>.<region>.<unique>
	if parts := strings.Split(string(e.Details.BucketID), "."); len(parts) == 5 && parts[3] != "" && c.Account != "" {
		c.System, c.sole = "oci:"+parts[3], true
	}
	switch c.Event {
	case "createobject", "updateobject":
		c.Kind = KindCreated
	case "deleteobject":
		c.Kind = KindDeleted
	default:
		c.Kind, c.Note = KindNone, "not an event that changes content"
	}
	c.decodeKey("") // without an encoding, it decodes any key
	d.object(c, "data.additionalDetails.bucketName", "data.resourceName")
}
