package vendorapi

import "testing"

// BenchmarkRequest builds the request of the vendor's page.
func BenchmarkRequest(b *testing.B) {
	task := testTask()
	var data []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if data, err = bodies[FormatXML].write(data[:0], task); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClassify reads the vendor's sample answers, and the JSON of a start.
func BenchmarkClassify(b *testing.B) {
	for name, body := range map[string][]byte{
		"started": sample(b, "sample_started.xml"),
		"refused": sample(b, "sample_refused.xml"),
		"json":    []byte(`{"taskId":4038,"jobIds":["5976"]}`),
	} {
		b.Run(name, func(b *testing.B) {
			resp := response{Status: 200, Body: body}
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := classify(resp); (err == nil) == (name == "refused") {
					b.Fatal(err)
				}
			}
		})
	}
}
