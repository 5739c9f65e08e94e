package trigger

import (
	"fmt"
	"strings"
	"testing"
)

// manyRoutes leads to the content groups c/g0, c/g1 and so on. Half of the
// routes share a container, the others have their own; the last ones take the
// samples, so that everything before them has to be passed.
func manyRoutes(b testing.TB, n int) *Routes {
	var text strings.Builder
	text.WriteString("routes:\n")
	const samples = 4
	for i := range n - samples {
		container := "invoices"
		if i%2 == 1 {
			container = fmt.Sprintf("tenant-%d", i)
		}
		fmt.Fprintf(&text, "- {container: %s, prefix: department-%d/, window: {quiet: 1s}%s", container, i, to(fmt.Sprintf("g%d", i)))
	}
	for i, container := range []string{"invoices", "media", "photos", "lab"} {
		fmt.Fprintf(&text, "- {container: %s%s", container, to(fmt.Sprintf("last-%d", i)))
	}
	return parse(b, text.String())
}

// One notification from its bytes to its route.
func BenchmarkDecodeAndRoute(b *testing.B) {
	eventGrid := []byte(`[{"topic":"/subscriptions/00000000-0000-4000-8000-000000000000/resourceGroups/archive/providers/Microsoft.Storage/storageAccounts/contosoarchive",
"subject":"/blobServices/default/containers/photos/blobs/2026/11/23/a.jpg","eventType":"Microsoft.Storage.BlobCreated","eventTime":"2026-11-23T10:15:30.1234567Z",
"id":"9f3c0000-001e-0000-0000-000000000001","data":{"api":"PutBlob","clientRequestId":"9f3c0000-0000-4000-8000-000000000002","requestId":"9f3c0000-001e-0000-0000-000000000000",
"eTag":"\"0x8D4BCC2E4835CD0\"","contentType":"image/jpeg","contentLength":524288,"blobType":"BlockBlob","url":"https://contosoarchive.blob.core.windows.net/photos/2026/11/23/a.jpg",
"sequencer":"00000000000004420000000000028963","storageDiagnostics":{"batchId":"b0000000-0000-4000-8000-000000000000"}},"dataVersion":"","metadataVersion":"1"}]`)
	template := parse(b, `routes:
- {container: "other-*"`+to("other")+`
- {container: "*", clientName: c, subclientName: "{container}"}`)
	for _, routes := range []int{1, 50, 5000, 20_000} {
		rs := template
		if routes > 1 {
			rs = manyRoutes(b, routes)
		}
		for _, c := range []struct {
			name string
			data []byte
		}{
			{"S3", readTestdata(b, "aws-s3-put.json")},
			{"S3/SQS/SNS", readTestdata(b, "aws-sqs-of-sns.json")},
			{"MinIO", readTestdata(b, "minio-put.json")},
			{"EventGrid", eventGrid},
			{"PubSub", readTestdata(b, "gcs-pubsub-push.json")},
		} {
			b.Run(fmt.Sprintf("%s/routes=%d", c.name, routes), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(c.data)))
				for b.Loop() {
					changes, err := Decode(nil, c.data)
					if err != nil || len(changes) != 1 {
						b.Fatalf("%d changes, %v", len(changes), err)
					}
					if found, reason := rs.Match(changes[0]); len(found) != 1 && changes[0].Kind == KindCreated {
						b.Fatal(reason)
					}
				}
			})
		}
	}
}
