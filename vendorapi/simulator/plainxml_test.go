package simulator

import (
	"encoding/xml"
	"os"
	"reflect"
	"strings"
	"testing"

	"backhaul/vendorapi/secretstest"
)

// plainSamples returns bodies, and whether readPlainXML reads them.
func plainSamples(t testing.TB) map[string]bool {
	t.Helper()
	page, err := os.ReadFile("testdata/post-run-backup-job.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "Sample Request\n")
	sample, _, found := strings.Cut(rest, "Sample Response\n")
	if !found {
		t.Fatal("the vendor's page has no sample")
	}
	wrap := func(inner string) string { return "<TMMsg_CreateTaskReq>" + inner + "</TMMsg_CreateTaskReq>" }
	group := func(text string) string {
		return wrap("<taskInfo><associations><subclientName>" + text + "</subclientName></associations></taskInfo>")
	}
	return map[string]bool{
		strings.TrimSpace(sample): true,
		wrap(""):                  true,
		wrap("<taskInfo/>"):       true,
		wrap("<taskInfo><subTasks/><subTasks /></taskInfo>"):    true,
		wrap("<taskInfo><associations/></taskInfo><taskInfo/>"): true,
		group(" x "):               true,
		group("Zürich"):            true,
		group("a &amp; b"):         false,
		group("<![CDATA[x]]>"):     false,
		group("x<!-- y -->z"):      false,
		group("x\ry"):              false,
		group("x<y/>z"):            false,
		group("\x01"):              false,
		group("\xff"):              false,
		wrap(`<taskInfo id="1"/>`): false,
		wrap("<a></b>"):            false,
		wrap("<a>"):                false,
		wrap("") + "<b/>":          false,
		"<Other/>":                 false,
		"<TMMsg_CreateTaskReq/>":   false,
		wrap(strings.Repeat("<a>", 20) + strings.Repeat("</a>", 20)): false,
	}
}

func TestReadPlainXML(t *testing.T) {
	for body, want := range plainSamples(t) {
		var req createTask
		if got := readPlainXML([]byte(body), &req); got != want {
			t.Errorf("%t, want %t: %.200s", got, want, body)
		}
		secretstest.NotShown(t, New(Config{}).Secrets(), req)
	}
}

// FuzzReadPlainXML checks that readPlainXML and encoding/xml read the same.
func FuzzReadPlainXML(f *testing.F) {
	for body := range plainSamples(f) {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var quick, thorough createTask
		if !readPlainXML(body, &quick) {
			if !reflect.DeepEqual(quick, createTask{}) {
				t.Fatalf("%q: not read, but %+v", body, quick)
			}
			return
		}
		if err := xml.Unmarshal(body, &thorough); err != nil || !reflect.DeepEqual(quick, thorough) {
			t.Fatalf("%q:\nquick    %+v\nthorough %+v, %v", body, quick, thorough, err)
		}
	})
}
