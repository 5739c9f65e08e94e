package trigger

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"backhaul/schemas"
)

func TestDecode_reportsFaults(t *testing.T) {
	record := func(members string) string { return `{"Records":[{` + members + `}]}` }
	for name, c := range map[string]struct {
		data    string
		unknown bool
		want    string
		changes int
	}{
		"nothing":           {"", true, "is empty", 0},
		"text":              {"hello", true, `it begins with "hello"`, 0},
		"a number":          {"17", true, "neither", 0},
		"another document":  {`{"clientName":"c"}`, true, "no member", 0},
		"cut off":           {`{"Records":[{"eventName":"ObjectCrea`, true, "is not JSON: unexpected EOF", 0},
		"two documents":     {`{"Event":"s3:TestEvent"}{}`, true, "is not JSON", 0},
		"behind an array":   {`[] x`, true, "has data after its end", 0},
		"one of an array":   {`[{"Event":"s3:TestEvent"},{"x":1}]`, true, "unknown format: [1]: has no member", 1},
		"a name twice":      {`{"Event":"a","Event":"b"}`, true, "duplicate", 0},
		"not UTF-8":         {"{\"Event\":\"\xff\"}", true, "UTF-8", 0},
		"Records of texts":  {`{"Records":["a"]}`, true, "/Records/0", 0},
		"Records of other":  {`{"Records":"a"}`, true, "looks like S3, but Records is not a list", 0},
		"R2, no key":        {`{"action":"PutObject","bucket":"b","object":{}}`, false, "object.key", 1},
		"other records":     {`{"Records":[{"kinesis":{}}]}`, true, "neither an eventName", 0},
		"version 3":         {record(`"eventVersion":"3.0","eventName":"ObjectCreated:Put"`), false, `"3.0"`, 0},
		"no bucket":         {record(`"eventName":"ObjectCreated:Put","s3":{"object":{"key":"k"}}`), false, "s3.bucket.name", 0},
		"no key":            {record(`"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":7}}`), false, "s3.object.key", 1},
		"half a percent":    {record(`"eventSource":"minio:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"50%"}}`), false, "form encoded", 1},
		"one good, one not": {`[{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]},{"x":1}]`, true, "no member", 1},
		"other EventBridge": {`{"detail-type":"EC2 Instance State-change Notification","source":"aws.ec2","detail":{}}`, true, "aws.ec2", 0},
		"other Pub/Sub":     {`{"message":{"attributes":{"a":"b"},"data":""},"subscription":"s"}`, true, "Cloud Storage", 0},
		"other CloudEvent":  {`{"specversion":"1.0","type":"com.example","id":"1","source":"s"}`, true, "without data", 0},
		"other SNS":         {`{"Type":"Postcard","Message":"hi"}`, true, "Postcard", 0},
		"Azure, no blob":    {`{"eventType":"Microsoft.Storage.BlobCreated","subject":"/blobServices/default/containers/c","data":{}}`, false, "subject has no", 1},
		"Azure, no data":    {`{"eventType":"Microsoft.Storage.BlobCreated","subject":"x","data":[]}`, false, "data is not", 0},
		"GCS, no object":    {`{"attributes":{"eventType":"OBJECT_FINALIZE","bucketId":"b"}}`, false, "attributes.objectId", 1},
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
func TestDecode_refusesWhatNoStoreSent(t *testing.T) {
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
		"an answer with records":                   {nil, strings.Replace(answer, `{"type"`, `{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}],"type"`, 1), "answer of the NATS server"},
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
