package trigger

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"backhaul/publisher"
	"backhaul/schemas"
)

// s3Event is what many stores and gateways send in the shape of AWS.
func s3Event(source, event, container, key, sequencer string) string {
	return fmt.Sprintf(`{"Records":[{"eventVersion":"2.1","eventSource":%q,"awsRegion":"us-east-1","eventName":%q,"eventTime":"2026-11-23T10:00:00Z",`+
		`"s3":{"bucket":{"name":%q},"object":{"key":%q,"size":1,"sequencer":%q}}}]}`, source, event, container, key, sequencer)
}

func (b *bench) publishOn(subject, data string) {
	b.Helper()
	if _, err := b.js.Publish(b.Context(), subject, []byte(data)); err != nil {
		b.Fatal(err)
	}
}

// The creation at one site and the deletion of the same key at another are about two objects.
func TestTwoSystemsWithOneBucketName(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.publishOn("storage.event.sitea", put("a", "x"))
	b.publishOn("storage.event.siteb", removed("a", "x"))
	b.run("routes:\n" +
		"- {container: a, subject: storage.event.siteb, clientName: c, subclientName: b, window: {" + soon + "}}\n" +
		"- {container: a, system: site*, clientName: c, subclientName: a, window: {" + soon + "}}\n")
	req := b.requested(1)[0]
	b.settled()
	if req.SubclientName != "a" || len(b.requests()) != 1 {
		t.Errorf("%d requests, the first is %s", len(b.requests()), req.JSON())
	}
}

// Where the order of sequencers is not sure, the object is asked for.
func TestOrderThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for key, steps := range map[string][]string{"a": {"9", "A", "10"}, "b": {"8FFF", "9000", "12"}, "c": {"1", "", ""}} {
		for n, event := range []string{"ObjectCreated:Put", "ObjectRemoved:Delete", "ObjectCreated:Put"} {
			if steps[n] != "" {
				b.publish(s3Event("aws:s3", event, "a", key, steps[n]))
			}
		}
	}
	b.publish(s3Event("aws:s3", "ObjectRemoved:Delete", "a", "c", "10"))
	b.run(routesFor(soon, "a"))
	b.requested(1)
	b.settled()
	var got []string
	for _, req := range b.requests() { // several, if the reading was slow
		got = append(got, b.listed(req)...)
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, []string{"/a/a", "/a/b", "/a/c"}) {
		t.Errorf("the requests cover %q", got)
	}
}

// A key that may be encoded or not is in no list: the list would name another file.
func TestKeysThatMayBeEncoded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for n, key := range []string{"2026/a+b.pdf", "2026/q%2Fz.pdf"} {
		b.publish(s3Event("x:s3", "ObjectCreated:Put", "plain", key, fmt.Sprint(n)))
		b.publish(s3Event("x:s3", "ObjectCreated:Put", "raw", key, fmt.Sprint(n)))
		b.publish(s3Event("aws:s3", "ObjectCreated:Put", "form", key, fmt.Sprint(n)))
	}
	b.publish(s3Event("aws:s3", "ObjectCreated:Put", "proven", "a b+é%2F.pdf", "1"), s3Event("x:s3", "ObjectCreated:Put", "proven", "100%", "1"))
	b.run(routesFor(soon, "plain", "proven") + strings.Replace(routesFor(soon, "raw"), "routes:\n- {", "- {keys: raw, ", 1) +
		strings.Replace(routesFor(soon, "form"), "routes:\n- {", "- {keys: form, ", 1))
	requests := b.requested(4)
	b.settled()
	for _, req := range requests {
		var got []string
		if req.OnDemandInputFile != "" {
			got = b.listed(req)
		}
		want := map[string][]string{
			"raw": {"/raw/2026/a+b.pdf", "/raw/2026/q%2Fz.pdf"}, "form": {"/form/2026/a b.pdf", "/form/2026/q/z.pdf"},
			"proven": {"/proven/100%", "/proven/a b+é%2F.pdf"},
		}[req.SubclientName]
		if !slices.Equal(got, want) {
			t.Errorf("%s: the paths are %q, want %q", req.SubclientName, got, want)
		}
		why := req.Labels[LabelDirectiveWhy]
		if req.SubclientName == "plain" && !strings.HasPrefix(why, `2 not listed: its key may be encoded or not`) || req.SubclientName != "plain" && why != "" {
			t.Errorf("%s: the label says %q", req.SubclientName, why)
		}
	}
}

// The routes of both readings of a key are asked, each once.
func TestMatch_ofBothReadings(t *testing.T) {
	rs := parse(t, "routes:\n- {container: c, prefix: a+b/"+to("raw")+"- {container: c, prefix: \"a b/\""+to("form")+"- {container: c, prefix: x+y/, keys: form"+to("never")+
		"- {container: c, prefix: l/, ignore: true}\n- {container: c, prefix: d/, directive: {container: c, prefix: \"lists +/\"}"+to("d"))
	for key, want := range map[string]string{
		"a+b/k":        "form raw routed",
		"x+y/k":        "no-route", // the raw reading has the prefix, and the route takes the other
		"l/+":          "ignored",
		"d/+":          "d routed",
		"lists++/x":    "no-route",
		"lists+%2B/x":  "directive",
		"lists%20+%2F": "no-route",
	} {
		c := Change{Format: FormatS3Compatible, Kind: KindCreated, Container: "c", Key: key, Size: -1}
		if !c.decodeKey("") {
			t.Fatal(key)
		}
		routes, reason := rs.Match(c)
		var got []string
		for _, r := range routes {
			got = append(got, r.Request.SubclientName)
		}
		if s := strings.Join(append(got, string(reason)), " "); s != want {
			t.Errorf("%q: got %s, want %s", key, s, want)
		}
	}
}

// A record that cannot be read may be about anything in its container.
func TestABadRecordBesideAGoodOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	bad := `{"eventVersion":"2.0","eventSource":"minio:s3","eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"a"},"object":{"key":"50%"}}}`
	b.publish(`{"Records":[` + minioRecord("s3:ObjectCreated:Put", "a", "x/1") + "," + bad + "]}")
	route := func(prefix, group string) string {
		return "- {container: a, prefix: " + prefix + ", clientName: c, subclientName: " + group + ", window: {" + soon + "}, directive: {container: lists, prefix: backhaul/}}\n"
	}
	b.run("routes:\n" + route("x/", "x") + route("y/", "y") + "- {container: b, clientName: c, subclientName: b}\n")
	requests := b.requested(2)
	b.settled()
	for _, req := range requests {
		if req.OnDemandInputFile != "" || req.Labels[LabelDirective] != DirectiveUnlistable || !strings.Contains(req.Labels[LabelDirectiveWhy], "names no key") {
			t.Errorf("the request is %s", req.JSON())
		}
	}
	if letters := b.stored(publisher.DeadLetterStream); len(requests) != 2 || len(letters) != 1 {
		t.Errorf("%d requests and %d dead letters, want 2 and 1", len(requests), len(letters))
	}
}

// The system that a change says, and whether another may say the same.
func TestDecode_namesTheSystem(t *testing.T) {
	for name, c := range map[string]struct {
		header schemas.Header
		data   string
		want   string
		sole   bool
	}{
		"AWS":             {nil, s3Event("aws:s3", "ObjectCreated:Put", "a", "k", "0055AED6DCD90281E5"), "aws:us-east-1", true},
		"as AWS":          {nil, s3Event("aws:s3", "ObjectCreated:Put", "a", "k", "17C0A0B0C0D0E0F1"), "sitea", false},
		"MinIO":           {nil, string(readTestdata(t, "minio-put.json")), "minio:6f9c1a2b-0000-4000-8000-00000000000a", true},
		"MinIO, no id":    {nil, put("a", "k"), "sitea", false},
		"another":         {nil, s3Event("x:s3", "ObjectCreated:Put", "a", "k", "1"), "sitea", false},
		"EventBridge":     {nil, `{"detail-type":"Object Created","source":"aws.s3","region":"eu-west-1","detail":{"bucket":{"name":"b"},"object":{"key":"k"}}}`, "aws:eu-west-1", true},
		"Cloud Storage":   {nil, `{"attributes":{"eventType":"OBJECT_FINALIZE","bucketId":"b","objectId":"o"}}`, "gcs", true},
		"Azure":           {nil, `{"eventType":"Microsoft.Storage.BlobCreated","subject":"/blobServices/default/containers/c/blobs/b","data":{}}`, "azure", true},
		"Eventarc":        {nil, string(readTestdata(t, "gcs-eventarc-pubsub.json")), "gcs", true},
		"RustFS":          {nil, s3Event("rustfs:s3", "ObjectCreated:Put", "a", "k", "17C0A0B0C0D0E0F1"), "sitea", false},
		"Backblaze B2":    {nil, `{"eventType":"b2:ObjectCreated:Upload","bucketName":"b","objectName":"k"}`, "b2", true},
		"R2":              {nil, `{"action":"PutObject","account":"A","bucket":"b","object":{"key":"k"}}`, "r2", true},
		"R2, no account":  {nil, `{"action":"PutObject","bucket":"b","object":{"key":"k"}}`, "r2", false},
		"IBM":             {nil, string(readTestdata(t, "ibm-cos-functions.json")), "ibm-cos", true},
		"Alibaba OSS":     {nil, `{"eventName":"ObjectCreated:PutObject","eventSource":"acs:oss","region":"cn-x","oss":{"bucket":{"name":"b"},"object":{"key":"k"}}}`, "oss:cn-x", true},
		"OCI":             {nil, `{"eventType":"com.oraclecloud.objectstorage.createobject","data":{"resourceName":"k","additionalDetails":{"bucketName":"b","namespace":"n","bucketId":"ocid1.bucket.oc1.phx.x"}}}`, "oci:phx", true},
		"OCI, no region":  {nil, string(readTestdata(t, "oci-cloudevents.json")), "sitea", false},
		"nothing of that": {nil, `{"Event":"s3:TestEvent"}`, "sitea", false},
	} {
		changes, err := Decode(c.header, []byte(c.data))
		if err != nil || len(changes) != 1 {
			t.Fatalf("%s: %d changes, %v", name, len(changes), err)
		}
		changes[0].From("storage.event.sitea")
		if got := changes[0]; got.System != c.want || got.sole != c.sole || got.Subject != "storage.event.sitea" {
			t.Errorf("%s: got %q, alone %t", name, got.System, got.sole)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"a*", "ab", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false},
		{"a*b*c", "a-b-c", true}, {"a*b*c", "acb", false}, {"a*a", "a", false}, {"a**b", "ab", true}, {"*a*", "bab", true}, {"", "a", false},
	} {
		if got := matches(c.pattern, c.text); got != c.want {
			t.Errorf("%q, %q: got %t", c.pattern, c.text, got)
		}
	}
}
