package trigger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/schemas"
)

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// brief is a change on one line.
func brief(c Change) string {
	place := c.Container
	if c.Account != "" {
		place = c.Account + ":" + place
	}
	s := fmt.Sprintf("%s %s %s %q", c.Format, c.Kind, place, c.Key)
	if c.Tree {
		s += " tree"
	}
	if c.Size >= 0 {
		s += fmt.Sprintf(" size=%d", c.Size)
	}
	if c.Sequencer != "" {
		s += " seq=" + c.Sequencer
	}
	if c.Version != "" {
		s += " version=" + c.Version
	}
	return s
}

// azureChanges is what both schemas of Event Grid say.
func azureChanges(format Format) []string {
	const seq = " seq=00000000000004420000000000028963"
	lines := []string{
		`created contosoarchive:photos "2026/a b%20c.jpg" size=524288`,
		`deleted contosoarchive:photos "gone.jpg"`,
		`none contosoarchive:photos "cold.jpg" size=9`,
		`none contosoarchive:lake "in/x.csv" size=0`,
		`created contosoarchive:lake "in/x.csv" size=77`,
		`none contosoarchive:lake "sftp/y.csv" size=0`,
		`created contosoarchive:lake "sftp/y.csv" size=0`,
		`created contosoarchive:lake "new name.csv"`,
		`deleted contosoarchive:lake "old+name.csv"`,
		`created contosoarchive:lake "done/" tree`,
		`deleted contosoarchive:lake "to do/" tree`,
		`deleted contosoarchive:lake "tmp/" tree`,
		`none contosoarchive:lake "fresh"`,
	}
	for i := range lines {
		lines[i] = string(format) + " " + lines[i] + seq
	}
	return lines
}

// samples has every file of testdata and what it says. The payloads were written
// for this project after the vendors' documents.
var samples = map[string][]string{
	"aws-s3-put.json": {`aws-s3 created invoices "2026/11/résumé a+b.pdf" size=1024 seq=0055AED6DCD90281E5`},
	"aws-s3-2.6.json": {`aws-s3 created invoices "big/disk.img" size=5368709120 seq=0055AED6DCD90281E6 version=096fKKXTRTtl3on89fVO.nfljtsv6qko`},
	"aws-s3-many.json": {
		`aws-s3 created invoices "a//b" size=3 seq=01`,
		`aws-s3 deleted invoices "gone.txt" seq=02`,
		`aws-s3 deleted invoices "old-version.txt" seq=03 version=v1`,
		`aws-s3 deleted invoices "marked.txt" seq=04`,
		`aws-s3 deleted invoices "expired.txt" seq=05`,
		`aws-s3 none invoices "tagged.txt" version=v2`,
		`aws-s3 none invoices "acl.txt"`,
		`aws-s3 none invoices "restored.txt" size=9`,
		`aws-s3 none invoices "empty/" size=0 seq=06`,
		`aws-s3 created invoices "full/" size=12 seq=07`,
	},
	"aws-s3-test-event.json":    {`aws-s3 none invoices ""`},
	"aws-sns.json":              {`aws-s3 created invoices "a b.txt" size=7 seq=0A`},
	"aws-sqs-of-sns.json":       {`aws-s3 created invoices "a b.txt" size=7 seq=0A`},
	"aws-sqs-lambda.json":       {`aws-s3 created invoices "a b.txt" size=7 seq=0A`, `aws-s3 deleted invoices "c.txt" seq=0B`},
	"aws-sns-lambda.json":       {`aws-s3 created invoices "a b.txt" size=7 seq=0A`},
	"aws-sqs-receive.json":      {`aws-s3 created invoices "a b.txt" size=7 seq=0A`, `aws-s3 none invoices ""`},
	"aws-sns-confirmation.json": {`aws-sns none  ""`},

	"aws-eventbridge-created.json": {`aws-eventbridge created invoices "100% a+b %2F.pdf" size=5 seq=00617F08299329D189 version=IYV3p45BT0ac8hjHg1houSdS1a.Mro8e`},
	"aws-eventbridge-deleted.json": {
		`aws-eventbridge deleted invoices "a.pdf" seq=00617F0837B476E463`,
		`aws-eventbridge deleted invoices "b.pdf" seq=00617F0837B476E464 version=v7`,
		`aws-eventbridge none invoices "c.pdf" version=v8`,
	},

	"minio-put.json":      {`minio created media "raw/ä b+c.mov" size=2048 seq=17C0A0B0C0D0E0F1`},
	"minio-empty.json":    {`minio created media "raw/.keep" size=0 seq=17C0A0B0C0D0E0F2 version=null`},
	"minio-marker.json":   {`minio none media "raw/new/" size=0 seq=17C0A0B0C0D0E0F3`},
	"minio-delete.json":   {`minio deleted media "raw/a.mov" seq=17C0A0B0C0D0E0F4`},
	"minio-tagging.json":  {`minio none media "raw/a.mov" size=3 seq=17C0A0B0C0D0E0F5`},
	"minio-accessed.json": {`minio none media "raw/a.mov" size=3 seq=17C0A0B0C0D0E0F6`},

	"ceph.json": {
		`ceph created scans "50%+done.tif" size=1024 seq=F7E6D75DDDC97F01`,
		`ceph deleted scans "b c.tif" size=0 seq=F7E6D75DDDC98F01`,
		`ceph deleted scans "old.tif" seq=F7E6D75DDDC99F01`,
		`ceph none scans "older.tif" seq=F7E6D75DDDC9AF01 version=n1`,
		`ceph created scans "synced.tif" size=7 seq=F7E6D75DDDC9BF01`,
	},
	"s3-compatible.json": {`s3-compatible created invoices "x+y.bin" size=8 seq=01`},

	"s3-record.json":     {`s3-compatible created invoices "bare.txt" size=3 seq=0C`},
	"s3-no-records.json": {`s3-compatible none  ""`},
	"cloudflare-r2.json": {
		`cloudflare-r2 created 0123456789abcdef0123456789abcdef:assets "in/a+b %20.png" size=65536`,
		`cloudflare-r2 created 0123456789abcdef0123456789abcdef:assets "copy.png" size=7`,
		`cloudflare-r2 deleted 0123456789abcdef0123456789abcdef:assets "gone.png"`,
		`cloudflare-r2 none 0123456789abcdef0123456789abcdef:assets "read.png"`,
	},

	"backblaze-b2.json": {
		`backblaze-b2 created drafts "in/a+b %20.txt" size=10495842 version=4_z0001`,
		`backblaze-b2 created drafts "copy.txt" size=7 version=4_z0001`,
		`backblaze-b2 deleted drafts "hidden.txt" size=0`,
		`backblaze-b2 deleted drafts "old.txt" size=5 version=4_z0003`,
		`backblaze-b2 none drafts "live.txt"`,
		`backblaze-b2 none drafts ""`,
	},
	"scality.json": {
		`scality created ring "2026/a+b %20.pdf" size=1024`,
		`scality deleted ring "gone.pdf"`,
		`scality deleted ring "old.pdf" version=3938384`,
		`scality none ring "tagged.pdf" size=3`,
	},
	"noobaa.json": {
		`noobaa created photos "in/a+b %20.jpg" seq=19ab1c2d3e4`,
		`noobaa deleted photos "gone.jpg"`,
		`noobaa deleted photos "expired.jpg" seq=19ab1c2d3e5`,
	},
	"noobaa-test.json": {`test none  ""`},
	"rustfs.json": {
		`rustfs created media "raw/ä b+c.mov" size=2048 seq=17C0A0B0C0D0E0F1 version=v1`,
		`rustfs deleted media "raw/gone.mov" seq=17C0A0B0C0D0E0F2`,
	},
	"versity.json": {
		`versity created share "a+b%20.bin" size=8 seq=9`,
		`versity deleted share "gone.bin" size=0 seq=A`,
	},
	"oci.json": {
		`oci created archivens:ledger "2026/a b+c.pdf"`,
		`oci created archivens:ledger "b c.pdf"`,
		`oci deleted archivens:ledger "gone.pdf"`,
		`oci none archivens:ledger "cold.pdf"`,
		`oci none archivens:ledger "ledger"`,
	},
	"oci-cloudevents.json": {`oci created archivens:ledger "x.pdf"`},
	"ibm-cos.json": {
		`ibm-cos created records "scan 100%+a.pdf" size=4096`,
		`ibm-cos deleted records "gone.pdf"`,
		`ibm-cos none records "cold.pdf"`,
	},
	"ibm-cos-functions.json": {`ibm-cos created records "plain.pdf" size=5`},
	"alibaba-oss.json": {
		`alibaba-oss created films "2026/a b.mp4" size=122539`,
		`alibaba-oss created films "a b.mp4" size=1`,
		`alibaba-oss deleted films "gone.mp4" size=2`,
		`alibaba-oss none films "part.mp4"`,
		`alibaba-oss deleted films "far.mp4"`,
		`alibaba-oss created films "near.mp4" size=3`,
		`alibaba-oss none films "meta.mp4" size=3`,
		`alibaba-oss none films "read.mp4" size=3`,
	},
	"aws-pipes-sqs.json": {`aws-s3 created invoices "a b.txt" size=7 seq=0A`, `aws-s3 deleted invoices "c.txt" seq=0B`},

	"azure-event-grid.json":  azureChanges(FormatEventGrid),
	"azure-cloudevents.json": azureChanges(FormatAzureCloudEvents),
	"azure-validation.json":  {`azure-event-grid none contosoarchive: ""`},

	"gcs-pubsub-pull.json": {`gcs-pubsub created lab "re` + "\u0301" + `sume` + "\u0301" + ` 100%+.txt" size=4096 seq=1763892930250000`},
	"gcs-pubsub-push.json": {`gcs-pubsub deleted lab "a/b.txt" size=4096 seq=1763892930250001`},
	"gcs-pubsub-overwrite.json": {
		`gcs-pubsub created lab "a.txt" seq=1763892930250003`,
		`gcs-pubsub none lab "a.txt" seq=1763892930250002`,
		`gcs-pubsub deleted lab "b.txt" seq=1763892930250004`,
		`gcs-pubsub none lab "b.txt" seq=1763892930250004`,
	},
	"gcs-eventarc.json": {
		`gcs-eventarc created lab "in/a b.txt" size=12 seq=1763892930250005`,
		`gcs-eventarc deleted lab "in/c.txt" size=12 seq=1763892930250005`,
		`gcs-eventarc deleted lab "in/d.txt" size=12 seq=1763892930250005`,
		`gcs-eventarc none lab "in/e.txt" size=12 seq=1763892930250005`,
	},
	"gcs-eventarc-pubsub.json": {`gcs-pubsub created lab "n.txt" size=4096 seq=1763892930250006`},

	"cloudevent-of-s3.json":  {`aws-s3 created invoices "a b.txt" size=7 seq=0A`},
	"cloudevent-base64.json": {`aws-s3 created invoices "a b.txt" size=7 seq=0A`},
	"cloudevent-text.json":   {`aws-s3 created invoices "a b.txt" size=7 seq=0A`},
}

func TestDecode_everyFormat(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(files) != len(samples) {
		t.Errorf("testdata has %d files, the table %d (%v)", len(files), len(samples), err)
	}
	for name, want := range samples {
		changes, err := Decode(nil, readTestdata(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, c := range changes {
			got = append(got, brief(c))
			if (c.Note == "") == (c.Kind == KindNone) {
				t.Errorf("%s: %s has the note %q", name, brief(c), c.Note)
			}
			if c.Kind != KindNone && (c.Time.IsZero() || c.Event == "") {
				t.Errorf("%s: %s has the time %s and the event %q", name, brief(c), c.Time, c.Event)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got\n  %s\nwant\n  %s", name, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
}

// Each document has one meaning, in the order of the package's table.
func TestDecode_oneChange(t *testing.T) {
	record := func(event, object string) string {
		return `"Records":[{"eventSource":"aws:s3","eventName":"` + event + `","s3":{"bucket":{"name":"b"},"object":{` + object + `}}}]`
	}
	s3 := "{" + record("ObjectCreated:Put", `"key":"k"`) + "}"
	quoted := fmt.Sprintf("%q", s3)
	const (
		marker = `aws-s3 none  ""`
		grid   = `{"eventType":"Microsoft.Storage.BlobCreated","subject":"/blobServices/default/containers/c/blobs/`
	)
	for data, want := range map[string]string{
		`{"Event":"s3:TestEvent",` + s3[1:]:                                                                                     marker,
		`{"specversion":"1.0","type":"x","data":{"Event":"s3:TestEvent"},` + s3[1:]:                                             `aws-s3 created b "k"`,
		`{"Type":"Notification","TopicArn":"t","Message":"{\"Event\":\"s3:TestEvent\"}","MessageId":"1","Body":` + quoted + `}`: marker,
		"{" + record("ObjectCreated:Put", `"key":"k","size":-5`) + "}":                                                          `aws-s3 created b "k"`,
		"{" + record("ObjectCreated:Put", `"key":"k","size":"5"`) + "}":                                                         `aws-s3 created b "k" size=5`,
		"{" + record("ObjectCreated:Put", `"key":"d/"`) + "}":                                                                   `aws-s3 created b "d/"`,
		"{" + record("ObjectRemoved:Delete", `"key":"d/"`) + "}":                                                                `aws-s3 deleted b "d/"`,
		grid + `a/blobs/b"}`: `azure-event-grid created c "a/blobs/b"`,
	} {
		changes, err := Decode(nil, []byte(data))
		if err != nil || len(changes) != 1 || brief(changes[0]) != want || changes[0].Size < -1 {
			t.Errorf("%s: %v, %+v, want %s", data, err, changes, want)
		}
	}
}

// What an event does, and whether it says so of one version.
func TestS3Kind(t *testing.T) {
	for event, want := range map[string]string{
		"ObjectCreated:CompleteMultipartUpload":   "created v",
		"s3:ObjectCreated:PutTagging":             "none v",
		"s3:ObjectCreated:DeleteTagging":          "none v",
		"s3:ObjectCreated:PutRetention":           "none v",
		"s3:ObjectCreated:PutLegalHold":           "none v",
		"ObjectRemoved:Delete":                    "deleted v",
		"ObjectRemoved:DeleteMarkerCreated":       "deleted ",
		"s3:ObjectRemoved:DeleteAllVersions":      "deleted ",
		"s3:ObjectRemoved:NoOP":                   "none v",
		"LifecycleExpiration:Delete":              "deleted v",
		"LifecycleExpiration:DeleteMarkerCreated": "deleted ",
		"ObjectSynced:Create":                     "created v",
		"ObjectSynced:Delete":                     "deleted ",
		"ObjectSynced:DeletionMarkerCreated":      "deleted ",
		"ObjectLifecycle:Expiration:Current":      "deleted ",
		"ObjectLifecycle:Expiration:NonCurrent":   "none v",
		"ObjectLifecycle:Transition:Current":      "none v",
		"ObjectTagging:Put":                       "none v",
		"ObjectAcl:Put":                           "none v",
		"ObjectAnnotation:Put":                    "none v",
		"ObjectAccessed:Get":                      "none v",
		"Replication:OperationFailedReplication":  "none v",
	} {
		c := Change{Event: event, Version: "v"}
		kind, note := s3Kind(&c)
		if got := string(kind) + " " + c.Version; got != want || (note == "") == (kind == KindNone) {
			t.Errorf("%s: %s, %q, want %s", event, got, note, want)
		}
	}
}

// What stands in a notification comes out as it is, whatever it means to others.
func TestDecode_neverNormalisesKeys(t *testing.T) {
	for _, key := range []string{"a//b", "./a", "../a", "/a", "a/", "é", "e\u0301", " a ", "a\nb", "a\x00b", "100%", "a+b", "%2F", "\\", "\u202e"} {
		quotedKey := jsonText(key)
		event := `{"detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"b"},"object":{"key":` + quotedKey + `,"size":1}}}`
		changes, err := Decode(nil, []byte(event))
		if err != nil || len(changes) != 1 || changes[0].Key != key {
			t.Errorf("%q came out as %+v, %v", key, changes, err)
		}
	}
	// A form-encoded key may hold any bytes at all.
	changes, err := Decode(nil, []byte(`{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"%FF%00%252B","size":1}}}]}`))
	if err != nil || len(changes) != 1 || changes[0].Key != "\xff\x00%2B" {
		t.Errorf("bytes: %+v, %v", changes, err)
	}
}

// jsonText is a JSON string.
func jsonText(s string) string {
	var b bytes.Buffer
	b.WriteByte('"')
	for _, c := range s {
		fmt.Fprintf(&b, `\u%04x`, c)
	}
	b.WriteByte('"')
	return b.String()
}

func TestDecode_readsTimes(t *testing.T) {
	changes, err := Decode(nil, readTestdata(t, "aws-s3-put.json"))
	if want := time.Date(2026, 11, 23, 10, 15, 30, 250_000_000, time.UTC); err != nil || !changes[0].Time.Equal(want) {
		t.Errorf("got %v, %v, want %s", changes, err, want)
	}
}

func FuzzDecode(f *testing.F) {
	for name := range samples {
		f.Add("", "", readTestdata(f, name))
	}
	f.Add("1.0", "Microsoft.Storage.BlobRenamed", []byte(`{"sourceUrl":"https://h/c/%zz"}`))
	f.Add("1.0", "x", []byte(base64.StdEncoding.EncodeToString([]byte("[]"))))
	f.Add("", "OBJECT_FINALIZE", []byte(nil))
	f.Fuzz(func(t *testing.T, specVersion, kind string, data []byte) {
		h := schemas.Header{"ce-specversion": {specVersion}, "ce-type": {kind}, "eventType": {kind}, "bucketId": {"b"}, "objectId": {"k"}}
		before := bytes.Clone(data)
		changes, err := Decode(h, data)
		if !bytes.Equal(before, data) {
			t.Error("the payload was changed")
		}
		if err != nil {
			if e, ok := errors.AsType[*DecodeError](err); !ok || e.Reason == "" || len(err.Error()) > 4<<10 {
				t.Errorf("a %T of %d bytes: %.1000v", err, len(err.Error()), err)
			}
		} else if len(changes) == 0 && !bytes.ContainsRune(data, '[') {
			t.Error("neither a change nor an error")
		}
		if len(changes) > MaxChanges {
			t.Errorf("%d changes", len(changes))
		}
		for _, c := range changes {
			path, why := c.Path()
			switch {
			case c.Kind != KindNone && (c.Container == "" || c.Key == "" && !c.Broken):
				t.Errorf("no object: %s", brief(c))
			case c.Tree && !c.Broken && !strings.HasSuffix(c.Key, "/"), (c.Note == "") == (c.Kind == KindNone):
				t.Errorf("%s, note %q", brief(c), c.Note)
			case (path == "") == (why == "") || strings.ContainsAny(path, "\n\r"):
				t.Errorf("%s: path %q, because %q", brief(c), path, why)
			case c.Kind == KindCreated && c.Sequencer != "" && !repeatsItself(c):
				t.Errorf("%s is not the same as itself", brief(c))
			}
		}
	})
}

func repeatsItself(c Change) bool {
	s := c.stamp()
	return s.repeats(&s)
}
