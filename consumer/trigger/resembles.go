package trigger

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// resembles returns the fault of a document of no known format. It names the format that the
// document is close to.
func (m *members) resembles() string {
	eventType := m.text("eventType")
	switch {
	case m.has("Records"):
		return "looks like S3, but Records is not a list"
	case m.is("records", '['):
		return "looks like S3, but its list is named records, and names are case-sensitive"
	case m.is("s3", '{'):
		return "looks like a record of S3, but has no eventName"
	case strings.HasPrefix(string(eventType), "Microsoft."):
		return fmt.Sprintf("looks like Azure Event Grid, but its eventType is %.100q, not one of Azure storage", eventType)
	case m.has("cloudEventsVersion"), strings.HasPrefix(string(eventType), "com.oraclecloud."):
		return fmt.Sprintf("looks like an event of OCI, but its eventType is %.100q, not one of Object Storage", eventType)
	case m.is("messages", '['):
		return "looks like Yandex Object Storage, which is not read"
	case m.has("event_type") && m.has("key"):
		return "looks like the filer of SeaweedFS, which is not read"
	case m.has("oss"):
		return "looks like Alibaba OSS, but its eventSource is not acs:oss"
	case m.has("action") && m.has("bucket"):
		return "looks like Cloudflare R2, but object is missing or not an object"
	case m.has("operation") && m.has("bucket"):
		return "looks like IBM Cloud Object Storage, but has no notification"
	case m.has("body"):
		return "looks like SQS, but its eventSource is not aws:sqs"
	case m.is("message", '{'):
		return "looks like Pub/Sub, but has neither the subscription nor the ackId that Pub/Sub sends with a message"
	case m.has("message"), m.has("subscription"):
		return "looks like Pub/Sub, but its message is not an object"
	}
	return "has no member that a known notification has"
}

// resembles returns the name of a store that writes records almost as S3 does, but says other
// things with them; "" for S3. Shapes: event notification structures in
// https://support.huaweicloud.com/intl/en-us/usermanual-obs and
// https://serverless.com/framework/docs-providers-tencent-events-cos.
func (r *record) resembles() string {
	switch {
	case bool(r.OBS):
		return "Huawei OBS"
	case bool(r.COS):
		return "Tencent COS"
	}
	return ""
}

// gzipMark begins what gzip has written.
var gzipMark = []byte("\x1f\x8b")

// maxTest is the longest text in bytes that is taken for a test.
const maxTest = 256

// noDocument reads a payload that is neither an object nor an array: a test, or a fault. Some
// stores send a text when notifications are set up: NooBaa the JSON text "test notification"
// (test_notifications in src/util/notifications_util.js of github.com/noobaa/noobaa-core).
func (d *decoder) noDocument(data []byte) {
	words := bytes.Trim(data, "\" \t\r\n") // it may be a JSON text
	switch {
	case isTest(words):
		d.add(Change{Format: FormatTest, Event: string(words), Kind: KindNone, Size: -1, Note: "a text with the word test; some stores send that when notifications are set up"})
	case len(data) == 0:
		d.unknownFormat("is empty")
	case bytes.HasPrefix(data, gzipMark):
		d.unknownFormat("is compressed by gzip; publish the notification as the store has sent it")
	case jsontext.Value(data).IsValid():
		d.unknownFormat("is neither a JSON object nor an array")
	default:
		d.unknownFormat("is not JSON")
	}
}

// isTest reports whether a payload is a short text that has the word test.
func isTest(data []byte) bool {
	if len(data) > maxTest || !utf8.Valid(data) || strings.ContainsAny(string(data), "{}[]<>/=") {
		return false
	}
	for word := range strings.FieldsFuncSeq(string(data), func(c rune) bool { return !unicode.IsLetter(c) }) {
		if strings.EqualFold(word, "test") {
			return true
		}
	}
	return false
}
