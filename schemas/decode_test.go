package schemas_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"backhaul/schemas"
)

// full is the sample as a value, with every member set.
func full() schemas.BackupRequest {
	return schemas.BackupRequest{
		RequestID: "inv-2026-11-23-0007", ClientName: "s-adhoc-object-storage", InstanceName: "s-adhoc-object-storage",
		BackupsetName: "defaultBackupSet", SubclientName: "stestgroup", StoragePolicyName: "default-plan",
		AppName: "Cloud Apps", BackupLevel: schemas.LevelIncremental, AdHocBackup: true,
		OnDemandInputFile: "/sk/s-directive-file-blob.txt", NotAfter: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC),
		Labels: map[string]string{"ticket": "CHG-17"},
	}
}

// least is a request of the two required members, with the defaults.
func least() schemas.BackupRequest {
	return schemas.BackupRequest{
		ClientName: "c", InstanceName: "c", BackupsetName: schemas.DefaultBackupsetName,
		SubclientName: "s", AppName: schemas.DefaultAppName, BackupLevel: schemas.LevelIncremental,
	}
}

func TestDecodeRequest(t *testing.T) {
	with := func(change func(*schemas.BackupRequest)) schemas.BackupRequest {
		req := least()
		change(&req)
		return req
	}
	tests := []struct {
		name, data string
		want       schemas.BackupRequest
	}{
		{"sample", sample, full()},
		{"defaults", `{"clientName":"c","subclientName":"s"}`, least()},
		{"empty labels are none", `{"clientName":"c","subclientName":"s","labels":{}}`, least()},
		{"space around", " \r\n\t{\"clientName\":\"c\",\"subclientName\":\"s\"} \n", least()},
		{"escaped names", `{"\u0063lientName":"\u0063","subclientName":"\u0073"}`, least()},
		{"input file makes it ad hoc", `{"clientName":"c","subclientName":"s","onDemandInputFile":"/f"}`,
			with(func(r *schemas.BackupRequest) { r.OnDemandInputFile, r.AdHocBackup = "/f", true })},
		{"input file, yet not ad hoc", `{"clientName":"c","subclientName":"s","onDemandInputFile":"/f","adHocBackup":false}`,
			with(func(r *schemas.BackupRequest) { r.OnDemandInputFile = "/f" })},
		{"the same in base64", envelope(`"data_base64":"` + base64.StdEncoding.EncodeToString(
			[]byte(`{"clientName":"c","subclientName":"s","onDemandInputFile":"/f","adHocBackup":false}`)) + `"`),
			with(func(r *schemas.BackupRequest) { r.RequestID, r.OnDemandInputFile = "e-1", "/f" })},
		{"ad hoc without input file", `{"adHocBackup":true,"clientName":"c","subclientName":"s"}`,
			with(func(r *schemas.BackupRequest) { r.AdHocBackup = true })},
		{"time is kept in UTC", `{"clientName":"c","subclientName":"s","notAfter":"2027-01-01T00:30:00.25+01:00"}`,
			with(func(r *schemas.BackupRequest) { r.NotAfter = time.Date(2026, 12, 31, 23, 30, 0, 250e6, time.UTC) })},
		{"the last moment", `{"clientName":"c","subclientName":"s","notAfter":"9999-12-31T23:59:59.9999999+00:00"}`,
			with(func(r *schemas.BackupRequest) { r.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 999999900, time.UTC) })},
		{"limits count characters, not bytes", `{"clientName":"c","subclientName":"` + strings.Repeat("😀", 256) + `"}`,
			with(func(r *schemas.BackupRequest) { r.SubclientName = strings.Repeat("😀", 256) })},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := schemas.DecodeRequest(nil, []byte(test.data))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, schemas.RequestMessage{Request: test.want}) {
				t.Errorf("got\n%+v, want\n%+v", got.Request, test.want)
			}
		})
	}
}

// field and text of one problem.
type pair [2]string

func problemsOf(t *testing.T, err error) []pair {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	invalid, ok := errors.AsType[*schemas.InvalidError](fmt.Errorf("wrapped: %w", err))
	if !ok {
		t.Fatalf("the error is a %T", err)
	}
	var pairs []pair
	for _, p := range invalid.Problems {
		pairs = append(pairs, pair{p.Field, p.Text})
		if !strings.Contains(err.Error(), p.String()) {
			t.Errorf("%q lacks %q", err, p)
		}
	}
	return pairs
}

func TestDecodeRequest_refuses(t *testing.T) {
	// Each test adds a member to a valid request.
	members := []struct {
		name, member string
		want         []pair
	}{
		{"typing error", `"subClient":"x"`, []pair{{"/subClient", "is not a member of a backup request"}}},
		{"near miss", `"storagePolicyname":"x"`, []pair{{"/storagePolicyname", "is not a member of a backup request; did you mean storagePolicyName?"}}},
		{"swapped letters", `"lables":{}`, []pair{{"/lables", "is not a member of a backup request; did you mean labels?"}}},
		{"pointer escapes", `"a/b~c":[{"x":1}]`, []pair{{"/a~1b~0c", "is not a member of a backup request"}}},
		{"nameless", `"":1`, []pair{{"/", "is not a member of a backup request"}}},
		{"level in lower case", `"backupLevel":"full"`, []pair{{"/backupLevel", `is "full", must be one of FULL, INCREMENTAL, DIFFERENTIAL, SYNTHETIC_FULL`}}},
		{"level as a number", `"backupLevel":2`, []pair{{"/backupLevel", "must be a string, not a number"}}},
		{"null", `"appName":null`, []pair{{"/appName", "must be a string, not null"}}},
		{"null labels", `"labels":null`, []pair{{"/labels", "must be an object of strings, not null"}}},
		{"null switch", `"adHocBackup":null`, []pair{{"/adHocBackup", "must be true or false, not null"}}},
		{"switch as text", `"adHocBackup":"true"`, []pair{{"/adHocBackup", "must be true or false, not a string"}}},
		{"empty", `"requestId":""`, []pair{{"/requestId", "must not be empty"}}},
		{"too long", `"appName":"` + strings.Repeat("ä", 257) + `"`, []pair{{"/appName", "has 257 characters, the limit is 256"}}},
		{"control character", `"appName":"a\nb"`, []pair{{"/appName", "must not have control characters"}}},
		{"not in XML", `"appName":"\uffff"`, []pair{{"/appName", "must not have control characters"}}},
		{"relative path", `"onDemandInputFile":"sk/f"`, []pair{{"/onDemandInputFile", `is "sk/f", must be an absolute path such as /container/directive.txt`}}},
		{"path too long", `"onDemandInputFile":"/` + strings.Repeat("x", 4096) + `"`, []pair{{"/onDemandInputFile", "has 4097 characters, the limit is 4096"}}},
		{"no such day", `"notAfter":"2026-02-30T00:00:00Z"`, []pair{{"/notAfter", `is "2026-02-30T00:00:00Z", must be a time such as 2026-11-24T00:00:00Z`}}},
		{"leap second", `"notAfter":"2026-12-31T23:59:60Z"`, []pair{{"/notAfter", `is "2026-12-31T23:59:60Z", must be a time such as 2026-11-24T00:00:00Z`}}},
		{"lower case time", `"notAfter":"2026-12-31t23:59:59z"`, []pair{{"/notAfter", `is "2026-12-31t23:59:59z", must be a time such as 2026-11-24T00:00:00Z`}}},
		{"the zero time, which would be no limit", `"notAfter":"0001-01-01T00:00:00Z"`, []pair{{"/notAfter", `is "0001-01-01T00:00:00Z", must be a time such as 2026-11-24T00:00:00Z`}}},
		{"year 10000 in UTC", `"notAfter":"9999-12-31T23:59:59-01:00"`, []pair{{"/notAfter", `is "9999-12-31T23:59:59-01:00", must be in UTC (with a Z at the end) outside the years 2000 to 2999`}}},
		{"seconds since 1970", `"notAfter":1795000000`, []pair{{"/notAfter", "must be a string, not a number"}}},
		{"label name", `"labels":{"-a/b":"x"}`, []pair{{"/labels/-a~1b", "is not a label name: 1 to 63 letters, digits and . _ / -, starting with a letter or digit"}}},
		{"label value", `"labels":{"a":{}}`, []pair{{"/labels/a", "must be a string, not an object"}}},
		{"given twice", `"appName":"a","clientName":"other"`, []pair{{"/clientName", "is given twice"}}},
		{"label given twice", `"labels":{"a":"x","a":"x"}`, []pair{{"/labels/a", "is given twice"}}},
		{"too many labels", `"labels":{` + manyLabels(33) + `}`, []pair{{"/labels", "has 33 labels, the limit is 32"}}},
		{"several at once", `"appName":7,"x":null,"labels":{"a":"x","":"y","b":""}`, []pair{
			{"/appName", "must be a string, not a number"},
			{"/x", "is not a member of a backup request"},
			{"/labels/", "is not a label name: 1 to 63 letters, digits and . _ / -, starting with a letter or digit"},
			{"/labels/b", "must not be empty"},
		}},
	}
	for _, test := range members {
		t.Run(test.name, func(t *testing.T) {
			m, err := schemas.DecodeRequest(nil, []byte(`{"clientName":"c","subclientName":"s",`+test.member+`}`))
			if got := problemsOf(t, err); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got\n%q, want\n%q", got, test.want)
			}
			if m.Request.ClientName != "c" || m.Request.SubclientName != "s" {
				t.Errorf("the names are %q and %q, want what could be read", m.Request.ClientName, m.Request.SubclientName)
			}
		})
	}

	documents := []struct {
		name, data string
		want       []pair
	}{
		{"empty payload", "", []pair{{"", "is empty, must be a JSON object"}}},
		{"blank payload", " \n", []pair{{"", "is empty, must be a JSON object"}}},
		{"null", "null", []pair{{"", "must be a JSON object, not null"}}},
		{"array", "[" + sample + "]", []pair{{"", "must be a JSON object, not an array"}}},
		{"broken behind no object", "[1", []pair{{"", "must be a JSON object, not an array"}, {"", "is not valid JSON: it does not end, at byte 2"}}},
		{"binary garbage", "\x01\xff\x8b", []pair{{"", `is not valid JSON: invalid character '\x01' at start of value, at byte 0`}}},
		{"byte order mark", "\ufeff" + sample, []pair{{"", "is not valid JSON: it begins with a byte order mark, save it as UTF-8 without one"}}},
		{"required", `{}`, []pair{
			{"/clientName", "is required: the name of the object storage client"},
			{"/subclientName", "is required: the name of the content group"}}},
		{"required and wrong", `{"clientName":7,"subclientName":""}`, []pair{
			{"/clientName", "must be a string, not a number"},
			{"/subclientName", "must not be empty"}}},
		{"UTF-16", "{\x00}\x00", []pair{{"", "is not valid JSON: it is UTF-16, save it as UTF-8"}}},
		{"UTF-16 with a mark", "\xfe\xff\x00{\x00}", []pair{{"", "is not valid JSON: it is UTF-16, save it as UTF-8"}}},
		{"stray comma", `{"clientName":"c","subclientName":"s" ,}`, []pair{{"", "is not valid JSON: there is a comma before the closing bracket, at byte 38"}}},
		{"trailing document", `{"clientName":"c","subclientName":"s"}{}`, []pair{{"", "is not valid JSON: more than one JSON document"}}},
		{"trailing data", `{"clientName":"c","subclientName":"s"} x`, []pair{{"", "is not valid JSON: invalid character 'x' at start of value, at byte 39"}}},
		{"cut off", `{"requestId":7,"labels":{"a":`, []pair{
			{"/requestId", "must be a string, not a number"},
			{"/labels/a", "is not valid JSON: it does not end, at byte 29"}}},
		{"no value", `{"clientName":}`, []pair{{"/clientName", "is not valid JSON: invalid character '}' at start of value, at byte 14"}}},
		{"no document", `]`, []pair{{"", "is not valid JSON: invalid character ']' at start of value, at byte 0"}}},
		{"invalid UTF-8", "{\"clientName\":\"\xff\"}", []pair{{"/clientName", "is not valid JSON: invalid UTF-8, at byte 15"}}},
		{"half a surrogate pair", `{"clientName":"\ud800"}`, []pair{{"/clientName", "is not valid JSON: invalid surrogate pair `\\ud800\"}` in string, at byte 15"}}},
		{"too large", `{"x":"` + strings.Repeat("x", schemas.MaxRequestSize) + `"}`, []pair{{"", "has 262152 bytes, the limit is 262144"}}},
	}
	for _, test := range documents {
		t.Run(test.name, func(t *testing.T) {
			_, err := schemas.DecodeRequest(nil, []byte(test.data))
			if got := problemsOf(t, err); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got\n%q, want\n%q", got, test.want)
			}
		})
	}
}

func manyLabels(n int) string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf(`"l%d":"x"`, i))
	}
	return strings.Join(names, ",")
}

// The error names what was read of a request with problems, and nothing else.
func TestDecodeRequest_returnsWhatCouldBeRead(t *testing.T) {
	h := schemas.Header{"traceparent": {traceparent}}
	tests := []struct{ name, data string }{
		{"unknown member", `{"requestId":"r","clientName":"c","nonsense":1,"labels":{"a":"x","b":7,"-":"y"}}`},
		{"wrong level", `{"labels":{"a":"x"},"backupLevel":"full","clientName":"c","requestId":"r"}`},
		{"cut off", `{"requestId":"r","clientName":"c","labels":{"a":"x"},"subclientName":"s`},
		{"no UTF-8 further on", "{\"requestId\":\"r\",\"clientName\":\"c\",\"labels\":{\"a\":\"x\"},\"x\":\"\xff\"}"},
	}
	want := schemas.RequestMessage{
		Request:     schemas.BackupRequest{RequestID: "r", ClientName: "c", Labels: map[string]string{"a": "x"}},
		Traceparent: traceparent,
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := schemas.DecodeRequest(h, []byte(test.data))
			if err == nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v, want\n%+v and an error: %v", got, want, err)
			}
		})
	}
}

// An error goes into an event: whatever was sent, it must fit.
func TestInvalidError_isBounded(t *testing.T) {
	long := strings.Repeat("é", 60_000)
	tests := []struct{ name, data string }{
		{"many problems", "{" + strings.Repeat(`"x":1,`, 40_000) + `"x":1}`},
		{"a long name", `{"` + long + `":1}`},
		{"a long label name", `{"labels":{"` + long + `":"x"}}`},
		{"a long attribute name", `{"specversion":"1.0","` + long + `":"x","data":{}}`},
		{"long attributes", `{"specversion":"` + long + `","data":{}}`},
		{"deep nesting", `{"x":` + strings.Repeat("[", 100_000)},
		{"deep nesting with names", `{"x":` + strings.Repeat(`{"abcdefghijkl":`, 15_000)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := schemas.DecodeRequest(nil, []byte(test.data))
			if pairs := problemsOf(t, err); len(pairs) > 17 {
				t.Errorf("%d problems", len(pairs))
			}
			if size := len(err.Error()); size > 12<<10 {
				t.Errorf("the error has %d bytes", size)
			}
			if strings.ToValidUTF8(err.Error(), "") != err.Error() {
				t.Error("the error was cut inside a character")
			}
		})
	}
}

// Reading past the faults that are reported costs no more than reading past members that
// are in order: 60 such messages kept both cores busy for minutes. Allocations count the
// work, whatever machine this runs on.
func TestDecodeRequest_ManyFaultsCostLittle(t *testing.T) {
	const faults = 25_000
	list := func(format string) string {
		var b strings.Builder
		for i := range faults {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	tests := []struct{ name, data string }{
		{"unknown members", `{` + list(`"n%04x":1,`) + `"x":1}`},
		{"unknown members of a CloudEvent's data", envelope(`"data":{` + list(`"n%04x":1,`) + `"x":1}`)},
		{"attribute names", envelope(list(`"N%04x":1,`) + `"data":` + sample)},
		{"labels that are no text", `{"labels":{` + list(`"n%04x":1,`) + `"x":1}}`},
		{"label names", `{"labels":{` + list(`"-%04x":1,`) + `"x":1}}`},
		{"members given twice", `{` + strings.Repeat(`"x":1,`, faults) + `"x":1}`},
		{"a long name and many faults below it", `{"labels":{"` + strings.Repeat("x", 50_000) + `":1,` + strings.Repeat(`"-":1,`, faults) + `"x":1}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if len(test.data) > schemas.MaxRequestSize {
				t.Fatalf("%d bytes are not decoded at all", len(test.data))
			}
			allocations := testing.AllocsPerRun(1, func() {
				_, err := schemas.DecodeRequest(nil, []byte(test.data))
				if pairs := problemsOf(t, err); len(pairs) > 17 || len(pairs) > 3 && pairs[len(pairs)-1][1] != "and more" {
					t.Errorf("%d problems: %q", len(pairs), pairs)
				}
			})
			if perFault := allocations / faults; perFault > 4 {
				t.Errorf("%.1f allocations for each of %d faults", perFault, faults)
			}
		})
	}
}
