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

func TestEveryFormat(t *testing.T) {
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

func TestBinaryCloudEvents(t *testing.T) {
	put := string(readTestdata(t, "minio-put.json"))
	for name, c := range map[string]struct {
		header schemas.Header
		data   string
		want   string
	}{
		"Azure": {
			schemas.Header{"Ce-Specversion": {"1.0"}, "ce-id": {"1"}, "CE-Type": {"Microsoft.Storage.BlobCreated"}, "ce-time": {"2026-11-23T10:15:30Z"},
				"ce-source": {"/subscriptions/s/storageAccounts/acc"}, "ce-subject": {"/blobServices/default/containers/c/blobs/50%2525%20%C3%A4.txt"}},
			`{"api":"PutBlob","contentLength":3,"sequencer":"1"}`, `azure-cloudevents created acc:c "50%25 ä.txt" size=3 seq=1`,
		},
		"Azure, not encoded": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobCreated"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/50%-done größe"}},
			`{"api":"PutBlob","contentLength":3,"sequencer":"1"}`, `azure-cloudevents created acc:c "50%-done größe" size=3 seq=1`,
		},
		"Azure, not encoded, with what looks encoded": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobCreated"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/a%20b"}},
			`{"contentLength":3,"url":"https://acc.blob.core.windows.net/c/a%2520b?x"}`, `azure-cloudevents created acc:c "a%20b" size=3`,
		},
		"Azure, encoded, with a URL": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobDeleted"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/a%20b"}},
			`{"url":"https://acc.blob.core.windows.net/c/a%20b"}`, `azure-cloudevents deleted acc:c "a b"`,
		},
		"Azure, in Latin-1": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobCreated"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/gr\xfcn"}},
			`{"contentLength":3,"url":"https://acc.blob.core.windows.net/c/gr%C3%BCn"}`, `azure-cloudevents created acc:c "grün" size=3`,
		},
		"Azure, a URL of another container": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobCreated"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/a"}},
			`{"contentLength":3,"url":"https://127.0.0.1:10000/acc/c/b"}`, `azure-cloudevents created acc:c "a" size=3`,
		},
		"Eventarc": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"google.cloud.storage.object.v1.finalized"},
				"ce-source": {"//storage.googleapis.com/projects/_/buckets/lab"}, "ce-subject": {"objects/a/b%20c"}, "ce-datacontenttype": {"application/json"}},
			`{"generation":"5","size":"4"}`, `gcs-eventarc created lab "a/b c" size=4 seq=5`,
		},
		"another notification": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"com.example.minio"}}, put,
			`minio created media "raw/ä b+c.mov" size=2048 seq=17C0A0B0C0D0E0F1`,
		},
		"structured all the same": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"com.example.other"}}, string(readTestdata(t, "cloudevent-of-s3.json")),
			`aws-s3 created invoices "a b.txt" size=7 seq=0A`,
		},
		"attributes as headers": {
			schemas.Header{"Eventtype": {"OBJECT_FINALIZE"}, "bucketId": {"lab"}, "objectId": {"x+%41"}, "objectGeneration": {"9"}}, "",
			`gcs-pubsub created lab "x+%41" seq=9`,
		},
	} {
		changes, err := Decode(c.header, []byte(c.data))
		if err != nil || len(changes) != 1 || brief(changes[0]) != c.want {
			t.Errorf("%s: %v %+v, want %s", name, err, changes, c.want)
		}
	}
}

// A second envelope of the same kind is not taken off.
func TestEnvelopesAreTakenOffOnce(t *testing.T) {
	inner := string(readTestdata(t, "aws-sns.json"))
	_, err := Decode(nil, []byte(`{"Type":"Notification","TopicArn":"arn:aws:sns:x","Message":`+fmt.Sprintf("%q", strings.ReplaceAll(inner, "\n", ""))+`}`))
	if err == nil || !strings.Contains(err.Error(), "SNS notification within") {
		t.Errorf("got %v", err)
	}
	deep := strings.Repeat("[", 20) + strings.Repeat("]", 20)
	if _, err := Decode(nil, []byte(deep)); err == nil || !strings.Contains(err.Error(), "deep") {
		t.Errorf("nested arrays: %v", err)
	}
}

func TestWhatCannotBeDecoded(t *testing.T) {
	record := func(members string) string { return `{"Records":[{` + members + `}]}` }
	for name, c := range map[string]struct {
		data    string
		unknown bool
		want    string
		changes int
	}{
		"nothing":           {"", true, "is not JSON", 0},
		"text":              {"hello", true, `it begins with "hello"`, 0},
		"a number":          {"17", true, "neither", 0},
		"another document":  {`{"clientName":"c"}`, true, "no member", 0},
		"cut off":           {`{"Records":[{"eventName":"ObjectCrea`, true, "is not JSON: unexpected EOF", 0},
		"two documents":     {`{"Event":"s3:TestEvent"}{}`, true, "is not JSON", 0},
		"behind an array":   {`[] x`, true, "behind its end", 0},
		"one of an array":   {`[{"Event":"s3:TestEvent"},{"x":1}]`, true, "unknown format: [1]: no member", 1},
		"a name twice":      {`{"Event":"a","Event":"b"}`, true, "duplicate", 0},
		"not UTF-8":         {"{\"Event\":\"\xff\"}", true, "UTF-8", 0},
		"Records of texts":  {`{"Records":["a"]}`, true, "/Records/0", 0},
		"Records of other":  {`{"Records":"a"}`, true, "no member", 0},
		"no records":        {`{"Records":[]}`, true, "empty", 0},
		"other records":     {`{"Records":[{"kinesis":{}}]}`, true, "neither an eventName", 0},
		"version 3":         {record(`"eventVersion":"3.0","eventName":"ObjectCreated:Put"`), false, `"3.0"`, 0},
		"no bucket":         {record(`"eventName":"ObjectCreated:Put","s3":{"object":{"key":"k"}}`), false, "s3.bucket.name", 0},
		"no key":            {record(`"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":7}}`), false, "s3.object.key", 0},
		"half a percent":    {record(`"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"50%"}}`), false, "form encoded", 0},
		"one good, one not": {`[{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]},{"x":1}]`, true, "no member", 1},
		"other EventBridge": {`{"detail-type":"EC2 Instance State-change Notification","source":"aws.ec2","detail":{}}`, true, "aws.ec2", 0},
		"other Pub/Sub":     {`{"message":{"attributes":{"a":"b"},"data":""},"subscription":"s"}`, true, "Cloud Storage", 0},
		"other CloudEvent":  {`{"specversion":"1.0","type":"com.example","id":"1","source":"s"}`, true, "without data", 0},
		"other SNS":         {`{"Type":"Postcard","Message":"hi"}`, true, "Postcard", 0},
		"Azure, no blob":    {`{"eventType":"Microsoft.Storage.BlobCreated","subject":"/blobServices/default/containers/c","data":{}}`, false, "subject has no", 0},
		"Azure, no data":    {`{"eventType":"Microsoft.Storage.BlobCreated","subject":"x","data":[]}`, false, "data is not", 0},
		"GCS, no object":    {`{"attributes":{"eventType":"OBJECT_FINALIZE","bucketId":"b"}}`, false, "attributes.objectId", 0},
	} {
		changes, err := Decode(nil, []byte(c.data))
		e, ok := errors.AsType[*DecodeError](err)
		if !ok || e.Unknown != c.unknown || !strings.Contains(err.Error(), c.want) || len(changes) != c.changes {
			t.Errorf("%s: %d changes, %v; want %d, unknown %v, with %q", name, len(changes), err, c.changes, c.unknown, c.want)
		}
	}
}

// JetStream stores its answers on any subject that a client names as the reply subject,
// and what is in them may be a notification that somebody else sent.
func TestDecode_RefusesWhatNoStoreSent(t *testing.T) {
	notification := readTestdata(t, "aws-s3-put.json")
	text := base64.StdEncoding.EncodeToString(notification)
	answer := `{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{"subject":"backup.dlq.storage","seq":1,"data":"` + text + `","time":"2026-11-23T10:00:00Z"}}`
	quoted := jsonText(string(notification))
	for name, c := range map[string]struct {
		header schemas.Header
		data   string
		want   string
	}{
		"an answer of JetStream":                   {nil, answer, "answer of the NATS server"},
		"an answer in an array":                    {nil, `[` + answer + `]`, "answer of the NATS server"},
		"an answer in an envelope":                 {nil, `{"Type":"Notification","TopicArn":"arn:aws:sns:x","Message":` + jsonText(answer) + `}`, "answer of the NATS server"},
		"an answer with everything of a push":      {nil, strings.Replace(answer, `{"type"`, `{"subscription":"s","type"`, 1), "answer of the NATS server"},
		"a message without a subscription":         {nil, `{"message":{"data":"` + text + `"}}`, "subscription"},
		"the same with attributes":                 {nil, `{"message":{"attributes":{"eventType":"OBJECT_FINALIZE","bucketId":"b","objectId":"o"}}}`, "subscription"},
		"data beside attributes":                   {nil, `{"attributes":{},"data":"` + text + `"}`, "Cloud Storage"},
		"a push without the message's id":          {nil, `{"message":{"data":"` + text + `"},"subscription":"s"}`, "Cloud Storage"},
		"SNS without a topic":                      {nil, `{"Type":"Notification","Message":` + quoted + `}`, "TopicArn"},
		"SQS without an id":                        {nil, `{"Body":` + quoted + `}`, "MessageId"},
		"SQS messages without ids":                 {nil, `{"Messages":[{"Body":` + quoted + `}]}`, "MessageId"},
		"a record of SQS that does not say so":     {nil, `{"Records":[{"body":` + quoted + `}]}`, "neither an eventName"},
		"a record of SNS that does not say so":     {nil, `{"Records":[{"Sns":{"Message":` + quoted + `}}]}`, "neither an eventName"},
		"a dead letter":                            {schemas.Header{"backhaul-dlq-code": {"INVALID_REQUEST"}}, string(notification), "copy of a dead letter"},
		"a direct read":                            {schemas.Header{"Nats-Stream": {"BACKUP_DLQ"}, "Nats-Sequence": {"1"}}, string(notification), `copy of a message read from the stream "BACKUP_DLQ"`},
		"one of a batch of direct reads":           {schemas.Header{"Nats-Stream": {"X"}, "Nats-Last-Sequence": {"1"}, "Nats-Num-Pending": {"0"}}, string(notification), "copy of"},
		"a dead letter of Cloud Storage's headers": {schemas.Header{"Backhaul-Dlq-Code": {"X"}, "eventType": {"OBJECT_FINALIZE"}, "bucketId": {"b"}, "objectId": {"o"}}, "", "copy of"},
		"an event of ours":                         {schemas.Header{"ce-specversion": {"1.0"}, "ce-source": {"/backhaul"}, "ce-type": {"backhaul.job.failed.v1"}}, string(notification), "event of Backhaul"},
	} {
		changes, err := Decode(c.header, []byte(c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) || len(changes) != 0 {
			t.Errorf("%s: %d changes, %v; want none, with %q", name, len(changes), err, c.want)
		}
	}
	// What a stream republishes was published by somebody.
	republished := schemas.Header{"Nats-Stream": {"S3"}, "Nats-Subject": {"s3"}, "Nats-Sequence": {"7"}, "Nats-Last-Sequence": {"6"}}
	if changes, err := Decode(republished, notification); err != nil || len(changes) != 1 {
		t.Errorf("republished: %d changes, %v", len(changes), err)
	}
}

func TestLimits(t *testing.T) {
	if _, err := Decode(nil, make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("too large: %.300v", err)
	}
	one := `{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}},`
	many := `{"Records":[` + strings.TrimSuffix(strings.Repeat(one, MaxChanges+5), ",") + `]}`
	changes, err := Decode(nil, []byte(many))
	if len(changes) != MaxChanges || err == nil || !strings.Contains(err.Error(), "more than 10000") || len(err.Error()) > 2000 {
		t.Errorf("%d changes, %.300v", len(changes), err)
	}
	// A payload of many small things is not worked through to its end.
	for _, form := range []string{`[%s]`, `{"Records":[%s]}`, `{"Messages":[%s]}`} {
		data := fmt.Sprintf(form, strings.TrimSuffix(strings.Repeat("{},", 1_000_000), ","))
		allocated := testing.AllocsPerRun(1, func() { _, err = Decode(nil, []byte(data)) })
		if err == nil || !strings.Contains(err.Error(), "and more") && !strings.Contains(err.Error(), "more than 10000") || allocated > 20*MaxChanges {
			t.Errorf("%.20s…: %.0f allocations, %v", data, allocated, err)
		}
	}
	// Nor is one that has the small things in many arrays or texts.
	nested := `[` + strings.TrimSuffix(strings.Repeat(`[`+strings.TrimSuffix(strings.Repeat("{},", 9_000), ",")+`],`, 200), ",") + `]`
	allocated := testing.AllocsPerRun(1, func() { _, err = Decode(nil, []byte(nested)) })
	if err == nil || allocated > 20*maxDocuments {
		t.Errorf("nested arrays: %.0f allocations, %v", allocated, err)
	}
	faults := `[` + strings.TrimSuffix(strings.Repeat(`{"x":"`+strings.Repeat("y", 500)+`"},`, 500), ",") + `]`
	if _, err := Decode(nil, []byte(faults)); err == nil || len(err.Error()) > 2000 {
		t.Errorf("500 faults: an error of %d bytes", len(err.Error()))
	}
}

// What stands in a notification comes out as it is, whatever it means to others.
func TestKeysAreNeverNormalised(t *testing.T) {
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

func TestHeadIsShort(t *testing.T) {
	data := []byte("\x1b[31m" + strings.Repeat("é", 300))
	_, err := Decode(nil, data)
	e, ok := errors.AsType[*DecodeError](err)
	if !ok || len(e.Head) != 200 {
		t.Fatalf("got %v", err)
	}
	data[0] = 'x'
	if e.Head[0] != 0x1b || strings.ContainsRune(err.Error(), 0x1b) {
		t.Errorf("the head shares memory, or is shown as it is: %q", err)
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
			case c.Kind != KindNone && (c.Container == "" || c.Key == ""):
				t.Errorf("no object: %s", brief(c))
			case c.Tree && !strings.HasSuffix(c.Key, "/"), (c.Note == "") == (c.Kind == KindNone):
				t.Errorf("%s, note %q", brief(c), c.Note)
			case (path == "") == (why == "") || strings.ContainsAny(path, "\n\r"):
				t.Errorf("%s: path %q, because %q", brief(c), path, why)
			case c.Kind != KindNone && c.Replaces(c) && c.Sequencer != "":
				t.Errorf("%s replaces itself", brief(c))
			}
		}
	})
}

func TestTimesAreRead(t *testing.T) {
	changes, err := Decode(nil, readTestdata(t, "aws-s3-put.json"))
	if want := time.Date(2026, 11, 23, 10, 15, 30, 250_000_000, time.UTC); err != nil || !changes[0].Time.Equal(want) {
		t.Errorf("got %v, %v, want %s", changes, err, want)
	}
}
