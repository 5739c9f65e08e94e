package trigger

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"backhaul/schemas"
)

// Every sample has a listed format, and every format a sample.
func TestFormats(t *testing.T) {
	seen := make(map[Format]bool)
	for name := range samples {
		changes, _ := Decode(nil, readTestdata(t, name))
		for _, c := range changes {
			seen[c.Format] = true
			if !slices.Contains(Formats, c.Format) {
				t.Errorf("%s: the format %q is not in the list", name, c.Format)
			}
		}
	}
	for _, format := range Formats {
		if !seen[format] {
			t.Errorf("no sample has the format %s", format)
		}
	}
}

// How each sender writes keys, and where that is not known.
func TestDecode_keysOfSenders(t *testing.T) {
	const key = "a+b%20c"
	versity := strings.Replace(strings.Replace(s3Event("aws:s3", "s3:ObjectCreated:Put", "c", key, "9"), `"s3":{`, `"s3":{"configurationId":"kafka-global",`, 1), `"eventVersion"`, `"userIdentity":{"PrincipalId":"u"},"eventVersion"`, 1)
	oci := `{"eventType":"com.oraclecloud.objectstorage.createobject","data":{"resourceName":"a+b%20c","additionalDetails":{"bucketName":"b"}}}`
	for name, c := range map[string]struct{ data, key, raw string }{
		"AWS":            {s3Event("aws:s3", "ObjectCreated:Put", "c", key, "0055AED6DCD90281E5"), "a b c", ""},
		"MinIO":          {s3Event("minio:s3", "s3:ObjectCreated:Put", "c", key, "17C0A0B0C0D0E0F1"), "a b c", ""},
		"RustFS":         {s3Event("rustfs:s3", "s3:ObjectCreated:Put", "c", key, "17C0A0B0C0D0E0F1"), "a b c", ""},
		"Ceph":           {s3Event("ceph:s3", "ObjectCreated:Put", "c", key, "01"), key, ""},
		"Scality":        {s3Event("scality:s3", "s3:ObjectCreated:Put", "c", key, ""), key, ""},
		"NooBaa":         {s3Event("noobaa:s3", "ObjectCreated:Put", "c", key, "1"), key, ""},
		"NooBaa, named":  {s3Event("mysystem:s3", "ObjectCreated:Put", "c", key, "1"), "a b c", key},
		"Versity":        {versity, key, ""},
		"aws:s3":         {s3Event("aws:s3", "ObjectCreated:Put", "c", key, "9"), "a b c", key},
		"AWS, -global":   {strings.Replace(versity, "PrincipalId", "principalId", 1), "a b c", key},
		"OCI":            {oci, "a b c", key},
		"OCI, a blank":   {strings.Replace(oci, "a+b%20c", "a+b%20 c", 1), "a+b%20 c", ""},
		"Alibaba OSS":    {`{"eventName":"ObjectCreated:PutObject","eventSource":"acs:oss","oss":{"bucket":{"name":"b"},"object":{"key":"a+b%20c"}}}`, "a b c", key},
		"OSS, a percent": {`{"eventName":"ObjectCreated:PutObject","eventSource":"acs:oss","oss":{"bucket":{"name":"b"},"object":{"key":"100%"}}}`, "100%", ""},
		"B2":             {`{"eventType":"b2:ObjectCreated:Upload","bucketName":"b","objectName":"a+b%20c"}`, key, ""},
		"IBM":            {`{"bucket_name":"b","event_type":"Object:Write","object_name":"a+b%20c"}`, key, ""},
	} {
		changes, err := Decode(nil, []byte(c.data))
		if err != nil || len(changes) != 1 || changes[0].Key != c.key || changes[0].Raw != c.raw {
			t.Errorf("%s: %v, %+v; want %q and %q", name, err, changes, c.key, c.raw)
		}
	}
}

// The forms in which one notification may come.
func TestDecode_formsOfFormats(t *testing.T) {
	event := string(readTestdata(t, "oci-cloudevents.json"))
	_, data, _ := strings.Cut(event, `"data":`)
	data = strings.TrimSuffix(strings.TrimSpace(data), "}")
	for name, c := range map[string]struct {
		header schemas.Header
		data   string
		want   string
	}{
		"OCI, by headers": {schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"com.oraclecloud.objectstorage.deleteobject"}}, data, `oci deleted archivens:ledger "x.pdf"`},
		"IBM, by headers": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"com.ibm.cloud.cos.document.write"}, "ce-subject": {"k"}},
			`{"bucket":"b","endpoint":"","key":"k","notification":{"event_type":"Object:Write","object_length":"7"},"operation":"Object:Write"}`, `ibm-cos created b "k" size=7`,
		},
		"IBM, operation alone": {nil, `{"bucket":"b","key":"k","notification":{},"operation":"Object:Delete"}`, `ibm-cos deleted b "k"`},
		"IBM, the notification counts": {
			nil, `{"bucket":"x","key":"x","notification":{"bucket_name":"b","object_name":"k","event_type":"Object:Write"},"operation":"Object:Delete"}`, `ibm-cos created b "k"`,
		},
		"OSS through EventBridge of Alibaba": {
			nil, `{"specversion":"1.0","type":"oss:ObjectCreated:PutObject","source":"acs.oss","data":{"eventName":"ObjectCreated:PutObject","eventSource":"acs:oss","oss":{"bucket":{"name":"b"},"object":{"key":"k","size":1}}}}`,
			`alibaba-oss created b "k" size=1`,
		},
		"Scality, an old version": {nil, strings.Replace(s3Event("scality:s3", "s3:ObjectCreated:Put", "b", "k", ""), `"2.1"`, `"0.1"`, 1), `scality created b "k" size=1`},
		"Scality in SQS": {
			nil, `[{"messageId":"1","eventSource":"aws:sqs","attributes":{},"body":` + jsonText(s3Event("scality:s3", "s3:ObjectCreated:Put", "b", "k", "")) + `}]`, `scality created b "k" size=1`,
		},
		"escaped names":        {nil, `{"spec\u0076ersion":"1.0","type":"x","data":{"Ev\u0065nt":"s3:T\u0065stEvent","Bucket":"b"}}`, `aws-s3 none b ""`},
		"escaped Records":      {nil, `{"\u0052ecords":[]}`, `s3-compatible none  ""`},
		"a text in Versity":    {nil, `{"Service":"S3","Event":"s3:TestEvent","Time":"2026-11-23T10:15:30Z","Bucket":"Test-Bucket"}`, `aws-s3 none Test-Bucket ""`},
		"an empty text":        {nil, `{"Body":"","Messages":[{"MessageId":"1","Body":"{\"Event\":\"s3:TestEvent\"}"}]}`, `aws-s3 none  ""`},
		"a test":               {nil, "This is a Test message.", `test none  ""`},
		"a test in an array":   {nil, `["test"]`, `test none  ""`},
		"a test with a colon":  {nil, "Test: notification 7", `test none  ""`},
		"a test of a delivery": {nil, `"TEST"`, `test none  ""`},
	} {
		changes, err := Decode(c.header, []byte(c.data))
		if err != nil || len(changes) != 1 || brief(changes[0]) != c.want {
			t.Errorf("%s: %v %+v, want %s", name, err, changes, c.want)
		}
	}
}

// What is close to a format is refused, and the fault names the format.
func TestDecode_namesWhatItResembles(t *testing.T) {
	for data, want := range map[string]string{
		`{"records":[]}`: "looks like S3, but its list is named records",
		`{"Records":[{"eventVersion":"3.0","eventSource":"OBS","eventName":"ObjectCreated:Put","obs":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}`: "Records[0] looks like S3, but is of Huawei OBS",
		`{"Records":[{"event":{"eventName":"cos:ObjectCreated:Put"},"cos":{"cosBucket":{"name":"b"}}}]}`:                                              "Records[0] looks like S3, but is of Tencent COS",
		`{"Records":[{"eventVersion":"3.0","eventName":"ObjectCreated:Put"}]}`:                                                                        `looks like S3, but its eventVersion is "3.0"`,
		`{"Records":[{"eventSource":"minio:s3","eventVersion":"1.0","eventName":"ObjectCreated:Put"}]}`:                                               `looks like S3, but its eventVersion is "1.0"`,
		`{"s3":{"bucket":{}}}`: "looks like a record of S3, but has no eventName",
		`{"eventType":"Microsoft.Resources.ResourceWriteSuccess"}`:                                 "looks like Azure Event Grid, but its eventType is",
		`{"cloudEventsVersion":"0.1","eventType":"com.oraclecloud.computeapi.launchinstance.end"}`: "looks like an event of OCI, but its eventType is",
		`{"eventType":"com.oraclecloud.databaseservice.x"}`:                                        "looks like an event of OCI",
		`{"messages":[{"event_metadata":{},"details":{}}]}`:                                        "looks like Yandex Object Storage",
		`{"key":"/buckets/b/k","event_type":"create","message":{}}`:                                "looks like the filer of SeaweedFS",
		`{"message":{"attributes":{"bucketId":"b"},"messageId":"1"}}`:                              "looks like Pub/Sub, but has neither the subscription nor the ackId",
		`{"oss":{},"eventSource":"x"}`:                                                             "looks like Alibaba OSS, but its eventSource",
		`{"events":[]}`:                                                                            "looks like Alibaba OSS or Backblaze B2, but events is empty",
		`{"events":[{"x":1}]}`:                                                                     "[0]: has no member",
		`{"action":"PutObject","bucket":"b"}`:                                                      "looks like Cloudflare R2, but object",
		`{"operation":"Object:Write","bucket":"b","key":"k"}`:                                      "looks like IBM Cloud Object Storage, but has no notification",
		`{"notification":{"event_type":"x"}}`:                                                      `looks like IBM Cloud Object Storage, but its event_type is "x"`,
		`{"body":"{}"}`:                                                                            "looks like SQS, but its eventSource is not aws:sqs",
		`{"body":"{}","eventSource":"aws:sqs"}`:                                                    "looks like SQS, but has no messageId",
		`{"Message":"{}"}`:                                                                         "looks like SNS",
		`{"message":"x"}`:                                                                          "looks like Pub/Sub, but its message is not an object",
		`{"detail-type":"x","source":"aws.ec2"}`:                                                   "looks like EventBridge, but is of",
		"a test of {braces}":                                                                       "is not JSON",
		"bucket/test/key":                                                                          "is not JSON",
		"protest":                                                                                  "is not JSON",
		"test\xff":                                                                                 "is not JSON",
		strings.Repeat("test ", 60):                                                                "is not JSON",
		`"attest"`:                                                                                 "neither a JSON object nor an array",
	} {
		changes, err := Decode(nil, []byte(data))
		if _, ok := errors.AsType[*DecodeError](err); !ok || !strings.Contains(err.Error(), want) || len(changes) != 0 {
			t.Errorf("%s: %d changes, %v; want %q", data, len(changes), err, want)
		}
	}
}

// Required members are named by each format.
func TestDecode_namesWhatIsMissing(t *testing.T) {
	for data, want := range map[string]string{
		`{"eventType":"b2:ObjectCreated:Upload","objectName":"k"}`:                                                                      "bucketName is missing",
		`{"eventType":"b2:ObjectCreated:Upload","bucketName":"b"}`:                                                                      "objectName is missing",
		`{"eventType":"com.oraclecloud.objectstorage.createobject","data":{"resourceName":"k"}}`:                                        "data.additionalDetails.bucketName is missing",
		`{"eventType":"com.oraclecloud.objectstorage.createobject","data":{"additionalDetails":{"bucketName":"b"}}}`:                    "data.resourceName is missing",
		`{"eventType":"com.oraclecloud.objectstorage.createobject","data":[]}`:                                                          "data is not as Object Storage of OCI",
		`{"notification":{"event_type":"Object:Write","object_name":"k"}}`:                                                              "notification.bucket_name is missing",
		`{"notification":{"event_type":"Object:Write","bucket_name":"k"}}`:                                                              "notification.object_name is missing",
		`{"eventSource":"acs:oss","eventName":"ObjectCreated:PutObject","oss":{"object":{"key":"k"}}}`:                                  "oss.bucket.name is missing",
		`{"eventSource":"acs:oss","eventName":"ObjectCreated:PutObject","oss":{"bucket":{"name":"b"},"object":{"key":7}}}`:              "oss.object.key is missing",
		`{"eventSource":"acs:oss","eventName":"ObjectCreated:PutObject","oss":{"bucket":[]}}`:                                           "oss is not as Alibaba OSS",
		`{"Records":[{"eventSource":"rustfs:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"50%"}}}]}`: "form encoded",
	} {
		_, err := Decode(nil, []byte(data))
		if e, ok := errors.AsType[*DecodeError](err); !ok || e.Unknown || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", data, err, want)
		}
	}
}

// An object with more members than are looked at is read by those.
func TestDecode_boundsMembers(t *testing.T) {
	var b strings.Builder
	for n := range maxMembers {
		b.WriteString(`"m` + strings.Repeat("x", n) + `":0,`)
	}
	if _, err := Decode(nil, []byte("{"+b.String()+`"Event":"s3:TestEvent"}`)); err == nil || !strings.Contains(err.Error(), "no member") {
		t.Errorf("behind the limit: %v", err)
	}
	if changes, err := Decode(nil, []byte(`{"Event":"s3:TestEvent",`+b.String()+`"z":0}`)); err != nil || len(changes) != 1 {
		t.Errorf("before the limit: %d changes, %v", len(changes), err)
	}
}
