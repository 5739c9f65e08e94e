package vendorapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// flatten lists an XML document's elements in their order, as their path with
// their text: the tree, without the white space between elements.
func flatten(t testing.TB, document []byte) []string {
	t.Helper()
	dec := xml.NewDecoder(bytes.NewReader(document))
	var path, list []string
	var at []int // where the open elements stand in the list
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("%v in %s", err, document)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if len(token.Attr) > 0 {
				t.Errorf("<%s> has attributes: the vendor's request has none", token.Name.Local)
			}
			path = append(path, token.Name.Local)
			at = append(at, len(list))
			list = append(list, strings.Join(path, "/")+"=")
		case xml.EndElement:
			path, at = path[:len(path)-1], at[:len(at)-1]
		case xml.CharData:
			if len(at) > 0 && len(bytes.TrimSpace(token)) > 0 {
				list[at[len(at)-1]] += string(token)
			}
		}
	}
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func xmlOf(t testing.TB, task Task) []byte {
	t.Helper()
	data, err := bodies[FormatXML].write(nil, task)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestCreateTask_samplesAreTheVendors ties the files to the page that they come from.
func TestCreateTask_samplesAreTheVendors(t *testing.T) {
	page, err := os.ReadFile("simulator/testdata/post-run-backup-job.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sample_request.xml", "sample_started.xml", "sample_refused.xml"} {
		if text := strings.TrimSpace(string(sample(t, name))); !strings.Contains(string(page), text) {
			t.Errorf("%s is not on the vendor's page as it stands", name)
		}
	}
}

func TestRender_isTheVendorsSample(t *testing.T) {
	const ours = "TMMsg_CreateTaskReq/taskInfo/subTasks/options/commonOpts/jobDescription="
	want := flatten(t, sample(t, "sample_request.xml"))
	if len(want) < 40 {
		t.Fatalf("the sample has only %d elements", len(want))
	}
	i := slices.Index(want, "TMMsg_CreateTaskReq/taskInfo/subTasks/options/commonOpts/notifyUserOnJobCompletion=false")
	if i < 0 {
		t.Fatal("the sample has no commonOpts")
	}
	want = slices.Insert(want, i+1, ours+testMarker)

	document := xmlOf(t, testTask())
	got := flatten(t, document)
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("element %d is missing: %s", i, want[i])
		case i >= len(want):
			t.Fatalf("element %d is one too many: %s", i, got[i])
		case got[i] != want[i]:
			t.Fatalf("element %d is %s, want %s", i, got[i], want[i])
		}
	}
	if !bytes.HasPrefix(document, []byte(`<?xml version="1.0" encoding="UTF-8" standalone="no" ?>`)) {
		t.Errorf("no XML declaration: %.80s", document)
	}
}

func TestRender_optionalElements(t *testing.T) {
	without := func(change func(*Task)) []string {
		task := testTask()
		change(&task)
		return flatten(t, xmlOf(t, task))
	}
	all := flatten(t, xmlOf(t, testTask()))
	for _, tt := range []struct {
		name   string
		change func(*Task)
		gone   []string
	}{
		{"plan", func(task *Task) { task.StoragePolicyName = "" }, []string{"mediaOpt=", "storagePolicy=", "storagePolicyName=default-plan"}},
		{"directive file", func(task *Task) { task.OnDemandInputFile = "" }, []string{"onDemandInputFile=/sk/s-directive-file-blob.txt"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := slices.DeleteFunc(slices.Clone(all), func(element string) bool {
				return slices.ContainsFunc(tt.gone, func(gone string) bool { return strings.HasSuffix(element, "/"+gone) })
			})
			if len(want) != len(all)-len(tt.gone) {
				t.Fatalf("the request had %d of the %d elements", len(all)-len(want), len(tt.gone))
			}
			if got := without(tt.change); !slices.Equal(got, want) {
				t.Errorf("got %q\nwant %q", got, want)
			}
		})
	}
	got := without(func(task *Task) { task.AdHocBackup = false })
	if !slices.Contains(got, "TMMsg_CreateTaskReq/taskInfo/subTasks/options/backupOpts/adHocBackup=false") {
		t.Error("adHocBackup is not false")
	}
}

// nasty are texts that an XML writer has to escape, or could take for markup or
// for a template.
var nasty = []string{
	`a & b`, `<subclientName>`, `</clientName><clientName>other`, `"quoted"`, `'quoted'`, `]]>`, `<![CDATA[x]]>`, `<!--`, `&amp;`, `&#65;`,
	"Zürich", "日本語", "🚒", "e\u0301", "\u00a0", "\u2028", " leading and trailing ", "tab\there", "line\nfeed", "return\rfeed", "\r\n",
	`{{.Marker}}`, `{{`, `%s`, `$(id)`, `C:\path\file`, "\uFFFD",
}

func TestRender_escapesNames(t *testing.T) {
	fields := map[string]func(*Task) *string{
		"associations/clientName":         func(t *Task) *string { return &t.ClientName },
		"associations/instanceName":       func(t *Task) *string { return &t.InstanceName },
		"associations/backupsetName":      func(t *Task) *string { return &t.BackupsetName },
		"associations/subclientName":      func(t *Task) *string { return &t.SubclientName },
		"associations/appName":            func(t *Task) *string { return &t.AppName },
		"backupOpts/backupLevel":          func(t *Task) *string { return &t.BackupLevel },
		"backupOpts/onDemandInputFile":    func(t *Task) *string { return &t.OnDemandInputFile },
		"commonOpts/jobDescription":       func(t *Task) *string { return &t.Marker },
		"storagePolicy/storagePolicyName": func(t *Task) *string { return &t.StoragePolicyName },
	}
	count := len(flatten(t, xmlOf(t, testTask())))
	for end, field := range fields {
		for _, text := range nasty {
			task := testTask()
			*field(&task) = text
			got := flatten(t, xmlOf(t, task))
			if len(got) != count {
				t.Errorf("%s = %q makes %d elements, want %d", end, text, len(got), count)
				continue
			}
			// White space alone is not written into the list, hence the second form.
			if !slices.ContainsFunc(got, func(element string) bool {
				return strings.HasSuffix(element, "/"+end+"="+text) || strings.TrimSpace(text) == "" && strings.HasSuffix(element, "/"+end+"=")
			}) {
				t.Errorf("%s = %q does not come back: %q", end, text, got)
			}
		}
	}
}

// TestRender_refusesNamesThatXMLCannotCarry: they would be replaced by U+FFFD, and another
// name is another backup.
func TestRender_refusesNamesThatXMLCannotCarry(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{})
	for _, text := range []string{"\x00", "a\x07b", "\x1b", "\ufffe", "\uffff", "\xff\xfe", "caf\xe9"} {
		task := testTask()
		task.SubclientName = text
		_, err := c.CreateTask(t.Context(), task)
		wantVerdict(t, err, NotSent)
	}
	if calls := sim.Account().CreateTaskCalls; calls != 0 {
		t.Errorf("%d calls were made", calls)
	}
}

// TestRender_refusesATaskWithoutAGroup: the vendor would start a job for each content group of
// the backup set.
func TestRender_refusesATaskWithoutAGroup(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{})
	for _, name := range []func(*Task) *string{
		func(t *Task) *string { return &t.SubclientName },
		func(t *Task) *string { return &t.ClientName },
	} {
		task := testTask()
		*name(&task) = ""
		_, err := c.CreateTask(t.Context(), task)
		wantVerdict(t, err, NotSent)
	}
	if n := sim.Account().CreateTaskCalls; n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestClassify_theVendorsSamples(t *testing.T) {
	job, err := classify(response{Status: 200, Body: sample(t, "sample_started.xml")})
	if err != nil {
		t.Fatal(err)
	}
	if job.ID != "5976" || job.TaskID != "4038" || !slices.Equal(job.IDs, []string{"5976"}) {
		t.Errorf("job %+v, want 5976 of task 4038", job)
	}

	_, err = classify(response{Status: 200, Body: sample(t, "sample_refused.xml")})
	e := wantVerdict(t, err, Refused)
	// The space at the end is the vendor's.
	if e.Code != "587207178" || e.Message != "Failed to start backups as no eligible subclients were found. " {
		t.Errorf("code %q, message %q", e.Code, e.Message)
	}
	if got := schemas.LogCode(e.Code); got != "35:4618" {
		t.Errorf("log code %q, want 35:4618", got)
	}
	const text = "CreateTask: refused: HTTP 200: code 587207178 (35:4618): Failed to start backups as no eligible subclients were found."
	if e.Error() != text {
		t.Errorf("error %q, want %q", e.Error(), text)
	}
}

// TestCreateTask_againstTheSimulator is the whole way, in both of the vendor's words for it.
func TestCreateTask_againstTheSimulator(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{})
	job, err := c.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	if job.ID != "5976" || job.TaskID != "4038" {
		t.Errorf("job %+v, want the page's 5976 of task 4038", job)
	}
	if ids := sim.Account().JobsByMarker[testMarker]; !slices.Equal(ids, []string{"5976"}) {
		t.Errorf("the vendor has jobs %q for our marker", ids)
	}

	unknown := testTask()
	unknown.SubclientName = "nobody"
	_, err = c.CreateTask(t.Context(), unknown)
	if e := wantVerdict(t, err, Refused); e.Code != "587207178" {
		t.Errorf("code %q", e.Code)
	}
	if n := sim.Account().JobsStarted; n != 1 {
		t.Errorf("%d jobs, want 1", n)
	}
}
