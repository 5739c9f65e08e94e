package vendorapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// inUTF16 is text in UTF-16, with or without a byte order mark.
func inUTF16(text string, bigEndian, mark bool) string {
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xFEFF}, units...)
	}
	var b strings.Builder
	for _, u := range units {
		if bigEndian {
			b.WriteString(string([]byte{byte(u >> 8), byte(u)}))
		} else {
			b.WriteString(string([]byte{byte(u), byte(u >> 8)}))
		}
	}
	return b.String()
}

// inLatin1 is text in ISO-8859-1.
func inLatin1(text string) string {
	var b []byte
	for _, r := range text {
		b = append(b, byte(r))
	}
	return string(b)
}

// charsetCases are ways to write an answer whose prolog or header names a
// character set, or a version of XML, that is not to be taken at its word.
var charsetCases = []struct {
	name        string
	contentType string
	write       func(xml string) string // the document, without a prolog, as bytes
}{
	{"utf-16 claimed, UTF-8", "", prolog("utf-16", nil)},
	{"UTF-16 claimed by the header too", "text/xml; charset=utf-16", prolog("utf-16", nil)},
	{"ISO-8859-1 claimed, UTF-8", "", prolog("ISO-8859-1", nil)},
	{"us-ascii claimed, UTF-8", "text/xml; charset=us-ascii", prolog("us-ascii", nil)},
	{"an unknown charset claimed, UTF-8", "text/xml; charset=x-commvault", prolog("x-commvault", nil)},
	{"ISO-8859-1", "", prolog("ISO-8859-1", inLatin1)},
	{"us-ascii claimed, Latin-1", "", prolog("us-ascii", inLatin1)},
	{"utf-16 claimed, Latin-1", "", prolog("utf-16", inLatin1)},
	{"Latin-1 by the header", "application/xml; charset=ISO-8859-1", inLatin1},
	{"windows-1252", "", prolog("windows-1252", inLatin1)},
	{"ISO-8859-15", "", prolog("ISO-8859-15", inLatin1)},
	{"Latin-1, single quotes", "", func(xml string) string { return inLatin1("<?xml version='1.0' encoding='latin1'?>" + xml) }},
	{"UTF-16 LE with a mark", "", func(xml string) string { return inUTF16(`<?xml version="1.0" encoding="utf-16"?>`+xml, false, true) }},
	{"UTF-16 BE with a mark", "", func(xml string) string { return inUTF16(`<?xml version="1.0" encoding="utf-16"?>`+xml, true, true) }},
	{"UTF-16 LE without a mark", "", func(xml string) string { return inUTF16(xml, false, false) }},
	{"UTF-16 BE without a mark", "", func(xml string) string { return inUTF16(xml, true, false) }},
	{"UTF-8 with a mark, utf-16 claimed", "", func(xml string) string { return "\xef\xbb\xbf" + prolog("utf-16", nil)(xml) }},
	{"XML 1.1", "", func(xml string) string { return `<?xml version="1.1"?>` + xml }},
}

func prolog(charset string, encode func(string) string) func(string) string {
	return func(xml string) string {
		text := fmt.Sprintf("<?xml version=\"1.0\" encoding=\"%s\" standalone=\"no\" ?>\r\n%s", charset, xml)
		if encode == nil {
			return text
		}
		return encode(text)
	}
}

// answers replies with the document as the case writes it.
func answers(contentType string, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		reply(w, 200, body)
	}
}

// TestClassify_otherCharsets: each kind of answer is read in every character set.
func TestClassify_otherCharsets(t *testing.T) {
	const started = `<TMMsg_CreateTaskResp taskId="4038"><jobIds val="5976"/></TMMsg_CreateTaskResp>`
	const refused = `<TMMsg_GenericResp errorMessage="Kein Subclient für größere Läufe" errorCode="587207178"/>`
	const loggedIn = `<DM2ContentIndexing_CheckCredentialResp aliasName="Müller" token="QSDK 5ec7e75ec7e75ec7e70001"/>`
	const wrong = `<DM2ContentIndexing_CheckCredentialResp><errList errLogMessage="Falsches Paßwort" errorCode="1116"/></DM2ContentIndexing_CheckCredentialResp>`
	list := strings.Replace(listInXML(1, time.Now(), "stestgroup"), `userName="backhaul"`, `userName="Jürgen"`, 1)
	details := detailsInXML(`<commonOpts jobDescription="` + testMarker + `" alertName="für"/>`)
	for _, tt := range charsetCases {
		t.Run(tt.name, func(t *testing.T) {
			at := func(xml string) http.HandlerFunc { return answers(tt.contentType, tt.write(xml)) }
			v := startVendor(t, map[string]http.HandlerFunc{
				"Login": at(loggedIn), "CreateTask": at(started), "Job": at(list), "Jobs": at(list), "TaskDetails": at(details),
			})
			c := newTestClient(t, v.url)
			job, err := c.CreateTask(t.Context(), testTask())
			wantJob(t, job, err)
			found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), time.Now().Add(-time.Minute))
			if err != nil || found.Job.ID != "7" {
				t.Errorf("found %+v, %v", found, err)
			}

			v = startVendor(t, map[string]http.HandlerFunc{"CreateTask": at(refused)})
			_, err = newTestClient(t, v.url).CreateTask(t.Context(), testTask())
			if e := wantVerdict(t, err, Refused); e.Code != "587207178" || e.Message != "Kein Subclient für größere Läufe" {
				t.Errorf("code %q, message %q", e.Code, e.Message)
			}

			v = startVendor(t, map[string]http.HandlerFunc{"Login": at(wrong)})
			_, err = newTestClient(t, v.url).CreateTask(t.Context(), testTask())
			if wantVerdict(t, err, NotSent); !strings.Contains(err.Error(), "code 1116: Falsches Paßwort") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestClassify_JSONInOtherCharsets: JSON has no prolog, only a header.
func TestClassify_JSONInOtherCharsets(t *testing.T) {
	const refused = `{"errorMessage":"für größere Läufe","errorCode":2}`
	for name, tt := range map[string]struct{ contentType, body string }{
		"UTF-8, utf-16 claimed":    {"application/json; charset=utf-16", refused},
		"UTF-8, Latin-1 claimed":   {"application/json; charset=ISO-8859-1", refused},
		"Latin-1":                  {"application/json; charset=ISO-8859-1", inLatin1(refused)},
		"UTF-16 LE with a mark":    {"application/json", inUTF16(refused, false, true)},
		"UTF-16 BE without a mark": {"application/json", inUTF16(refused, true, false)},
	} {
		t.Run(name, func(t *testing.T) {
			v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": answers(tt.contentType, tt.body)})
			_, err := newTestClient(t, v.url).CreateTask(t.Context(), testTask())
			if e := wantVerdict(t, err, Refused); e.Message != "für größere Läufe" {
				t.Errorf("message %q", e.Message)
			}
		})
	}
}

// TestInUnicode_decodesByTheLabel: what is neither UTF-8 nor Latin-1 is decoded by its label.
func TestInUnicode_decodesByTheLabel(t *testing.T) {
	for label, tt := range map[string]struct{ bytes, want string }{
		"shift_jis":    {"\x8e\xb8\x94\x73", "失敗"},
		"windows-1251": {"\xce\xf8\xe8\xe1\xea\xe0", "Ошибка"},
		"gb18030":      {"\xca\xa7\xb0\xdc", "失败"},
		"koi8-r":       {"\xef\xdb\xc9\xc2\xcb\xc1", "Ошибка"},
	} {
		body := `<?xml version="1.0" encoding="` + label + `"?><TMMsg_GenericResp errorMessage="` + tt.bytes + `" errorCode="2"/>`
		v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": answers("text/xml", body)})
		_, err := newTestClient(t, v.url).CreateTask(t.Context(), testTask())
		if e := wantVerdict(t, err, Refused); e.Message != tt.want {
			t.Errorf("%s: message %q, want %q", label, e.Message, tt.want)
		}
	}
}

// TestReadRenewal_otherCharsets: a pair that cannot be read is lost.
func TestReadRenewal_otherCharsets(t *testing.T) {
	old := tokenPair{Access: "old-5ec7e7", Refresh: "old-5ec7e7-refresh"}
	const renewed = `{"accessToken":"new-5ec7e7","refreshToken":"new-5ec7e7-refresh"}`
	v := startVendor(t, map[string]http.HandlerFunc{"Renew": answers("application/json; charset=utf-16", inUTF16(renewed, false, true))})
	next, err := newTestClient(t, v.url).renewPair(t.Context(), old)
	if err != nil || next.Access != "new-5ec7e7" || next.Refresh != "new-5ec7e7-refresh" {
		noSecrets(t, err)
		t.Errorf("not read: %v", err)
	}
}

// TestClassify_controlCharacters: XML forbids them, and messages have them.
func TestClassify_controlCharacters(t *testing.T) {
	for _, text := range []string{"a\x01b", "a&#x1;b", "a&#1;b", "a&#xFFFF;b", "a&#x0;b"} {
		v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": always(200, `<TMMsg_GenericResp errorMessage="`+text+`" errorCode="2"/>`)})
		_, err := newTestClient(t, v.url).CreateTask(t.Context(), testTask())
		if e := wantVerdict(t, err, Refused); e.Message != "a\uFFFDb" {
			t.Errorf("message %q", e.Message)
		}
	}
}
