package trigger

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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
				began, n := cpuTime(b), 0
				for b.Loop() {
					n++
					changes, err := Decode(nil, c.data)
					if err != nil || len(changes) != 1 {
						b.Fatalf("%d changes, %v", len(changes), err)
					}
					if found, reason := rs.Match(changes[0]); len(found) != 1 && changes[0].Kind == KindCreated {
						b.Fatal(reason)
					}
				}
				reportCPU(b, began, n)
			})
		}
	}
}

// Notifications of every format, of 2,000 containers together, through one template for all of
// them, or after 2,000 templates that take none.
func BenchmarkDecodeAndRouteEveryFormat(b *testing.B) {
	one := `routes:
- {container: "*", clientName: c, subclientName: "{container}"}
`
	many := strings.Builder{}
	many.WriteString("routes:\n")
	for i := range 2000 {
		fmt.Fprintf(&many, "- {container: \"team-%d-*\", clientName: c%d, subclientName: \"{container}\"}\n", i, i)
	}
	many.WriteString(strings.TrimPrefix(one, "routes:\n"))
	all := everyFormat(b, 2000)
	decode := func(b *testing.B, n int) []Change {
		changes, err := Decode(nil, all[n%len(all)])
		if err != nil || len(changes) == 0 {
			b.Fatalf("%s: %d changes, %v", all[n%len(all)], len(changes), err)
		}
		return changes
	}
	for name, text := range map[string]string{"one template": one, "2001 templates": many.String()} {
		rs := parse(b, text)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			route := func(changes []Change) {
				for _, c := range changes {
					if found, reason := rs.Match(c); len(found) != 1 && c.Kind == KindCreated {
						b.Fatal(reason)
					}
				}
			}
			for n := range all { // a template is filled in once for each container
				route(decode(b, n))
			}
			began, n, changed := cpuTime(b), 0, 0
			for b.Loop() {
				changes := decode(b, n)
				route(changes)
				n, changed = n+1, changed+len(changes)
			}
			reportCPU(b, began, n)
			b.ReportMetric(float64(changed)/float64(n), "changes/op")
		})
	}
}

// everyFormat returns n notifications: the samples of all formats, each with several names of its
// container.
func everyFormat(t testing.TB, n int) (all [][]byte) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var samples [][]byte
	for _, file := range files {
		data := readTestdata(t, filepath.Base(file))
		changes, err := Decode(nil, data)
		if err != nil || len(changes) == 0 || changes[0].Container == "" {
			continue // such as a test event
		}
		samples = append(samples, bytes.ReplaceAll(data, []byte(changes[0].Container), []byte(changes[0].Container+"@@@@")))
	}
	if len(samples) < 30 {
		t.Fatalf("%d samples", len(samples))
	}
	for i := range n {
		all = append(all, bytes.ReplaceAll(samples[i%len(samples)], []byte("@@@@"), fmt.Appendf(nil, "%04d", i)))
	}
	return all
}

// cpuTime returns the processor time of the process so far. Unlike the time of a clock it does not
// depend on what else the machine does.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func reportCPU(b *testing.B, began time.Duration, n int) {
	b.Helper()
	b.ReportMetric(float64(cpuTime(b)-began)/float64(n), "cpu-ns/op")
}
