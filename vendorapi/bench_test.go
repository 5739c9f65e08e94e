package vendorapi

import (
	"fmt"
	"strings"
	"testing"
)

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

// BenchmarkJobPage reads a page of 1000 jobs with every member of the vendor's samples.
func BenchmarkJobPage(b *testing.B) {
	const summary = `{"jobSummary":{"jobId":%d,"status":"Completed","localizedStatus":"Completed","jobType":"Backup","backupLevel":2,"backupLevelName":"Incremental",
		"jobStartTime":1700000000,"jobEndTime":1700000060,"lastUpdateTime":1700000060,"jobElapsedTime":60,"percentComplete":100,"sizeOfApplication":123456789,
		"sizeOfMediaOnDisk":12345678,"percentSavings":90,"totalNumOfFiles":4711,"totalFailedFiles":0,"totalFailedFolders":0,"isVisible":true,"isAged":false,
		"pendingReason":"","pendingReasonErrorCode":"","jobSubmitErrorCode":0,"currentPhaseName":"","userName":{"userName":"backhaul","userId":1},
		"subclient":{"clientId":2,"clientName":"s-adhoc-object-storage","instanceId":3,"instanceName":"s-adhoc-object-storage","backupsetId":4,
		"backupsetName":"defaultBackupSet","subclientId":5,"subclientName":"stestgroup","appName":"Cloud Apps","applicationId":134}}}`
	rows := make([]string, pageSize)
	for i := range rows {
		rows[i] = fmt.Sprintf(summary, 1000+i)
	}
	resp := response{Status: 200, Body: []byte(`{"totalRecordsWithoutPaging":1000,"jobs":[` + strings.Join(rows, ",") + `]}`)}
	b.ReportAllocs()
	b.SetBytes(int64(len(resp.Body)))
	for b.Loop() {
		if page, err := readJobPage(resp, 0); err != nil || len(page.Jobs) != pageSize {
			b.Fatal(len(page.Jobs), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pageSize, "ns/job")
}
