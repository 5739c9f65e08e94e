package schemas_test

import (
	"encoding/base64"
	"reflect"
	"testing"

	"backhaul/schemas"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// envelope makes a structured event around data of a few more members.
func envelope(members string) string {
	return `{"specversion":"1.0","id":"e-1","source":"/orders","type":"com.example.backup",` + members + `}`
}

func TestDecodeRequest_readsEveryForm(t *testing.T) {
	const data = `{"clientName":"c","subclientName":"s"}`
	encoded := base64.StdEncoding.EncodeToString([]byte(data))
	binary := schemas.Header{
		"Ce-SpecVersion": {"1.0"}, "CE-ID": {"e%2D1"}, "ce-source": {`"/orders"`}, "cE-Type": {"com.example.backup"},
		"ce-time": {"2026-11-23T10:00:00+01:00"}, "ce-datacontenttype": {"application/vnd.example+json; charset=utf-8"},
		"ce-partitionkey": {"any"}, "Traceparent": {traceparent},
	}
	tests := []struct {
		name   string
		header schemas.Header
		data   string
		trace  string
	}{
		{"plain", schemas.Header{"Nats-Msg-Id": {"e-1"}, "TRACEPARENT": {traceparent}}, data, traceparent},
		{"plain, trace of another form", schemas.Header{"Nats-Msg-Id": {"e-1"}, "traceparent": {"00-1-2-01"}}, data, ""},
		{"structured by content type", schemas.Header{"content-type": {"Application/CloudEvents+json; charset=UTF-8"}}, envelope(`"data":` + data), ""},
		{"structured by short content type", schemas.Header{"Content-Type": {"application/cloudevents"}}, envelope(`"data":` + data), ""},
		{"structured by specversion", nil, envelope(`"data":` + data), ""},
		{"structured by specversion, last", nil, `{"data":` + data + `,"type":"t","source":"s","id":"e-1","specversion":"1.0"}`, ""},
		{"structured beside headers", binary, envelope(`"data":` + data), traceparent},
		{"structured with every attribute", nil, envelope(`"subject":"x","time":"2026-11-23T10:00:00Z","datacontenttype":"application/json",
			"dataschema":"urn:x","traceparent":"` + traceparent + `","partitionkey":"k","sequence":7,"sampled":true,"gone":null,"data":` + data), traceparent},
		{"structured, the header's trace first", schemas.Header{"traceparent": {traceparent}},
			envelope(`"traceparent":"00-00000000000000000000000000000001-0000000000000001-00","data":` + data), traceparent},
		{"structured, the header's trace unreadable", schemas.Header{"traceparent": {"?"}}, envelope(`"traceparent":"` + traceparent + `","data":` + data), traceparent},
		{"structured with unset attributes", nil, envelope(`"time":null,"datacontenttype":null,"data":` + data), ""},
		{"structured in base64", nil, envelope(`"data_base64":"` + encoded + `"`), ""},
		{"binary with mixed case and encoding", binary, data, traceparent},
		{"binary with a trace attribute", schemas.Header{"ce-specversion": {"1.0"}, "ce-id": {"e-1"}, "ce-source": {"s"},
			"ce-type": {"t"}, "ce-traceparent": {traceparent}}, data, traceparent},
	}
	want := least()
	want.RequestID = "e-1"
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := schemas.DecodeRequest(test.header, []byte(test.data))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, schemas.RequestMessage{Request: want, Traceparent: test.trace}) {
				t.Errorf("got\n%+v, want\n%+v with trace %q", got, want, test.trace)
			}
		})
	}
}

func TestDecodeRequest_refusesEvents(t *testing.T) {
	const data = `"data":{"clientName":"c","subclientName":"s"}`
	const required = "is required by CloudEvents and must not be empty"
	binary := func(changed ...string) schemas.Header {
		h := schemas.Header{"ce-specversion": {"1.0"}, "ce-id": {"e-1"}, "ce-source": {"s"}, "ce-type": {"t"}}
		for i := 0; i < len(changed); i += 2 {
			h[changed[i]] = []string{changed[i+1]}
		}
		return h
	}
	tests := []struct {
		name   string
		header schemas.Header
		data   string
		want   []pair
	}{
		{"version", nil, `{"specversion":"0.3","id":"e-1","source":"s","type":"t",` + data + `}`, []pair{{"/specversion", `is "0.3", must be "1.0"`}}},
		{"version as a number", nil, `{"specversion":1.0,"id":"e-1","source":"s","type":"t",` + data + `}`, []pair{{"/specversion", "must be a string, not a number"}}},
		{"no id", nil, `{"specversion":"1.0","source":"s","type":"t",` + data + `}`, []pair{{"/id", required}}},
		{"nothing but the version", nil, `{"specversion":"1.0"}`, []pair{{"/id", required}, {"/source", required}, {"/type", required}, {"/data", "is required: the backup request"}}},
		{"no event at all", schemas.Header{"Content-Type": {"application/cloudevents+json"}}, `[]`, []pair{{"", "must be a CloudEvent, a JSON object, not an array"}}},
		{"empty", schemas.Header{"Content-Type": {"application/cloudevents+json"}}, ``, []pair{{"", "is empty, must be a JSON object"}}},
		{"no data", nil, envelope(`"time":"2026-11-23T10:00:00Z"`), []pair{{"/data", "is required: the backup request"}}},
		{"data is null", nil, envelope(`"data":null`), []pair{{"/data", "must be a JSON object, not null"}}},
		{"data is text", nil, envelope(`"data":"{}"`), []pair{{"/data", "must be a JSON object, not a string"}}},
		{"data and more data", nil, envelope(data + `,"data_base64":"e30="`), []pair{{"/data_base64", "must not be used together with other data"}}},
		{"not base64", nil, envelope(`"data_base64":"{}"`), []pair{{"/data_base64", "is not base64: illegal base64 data at input byte 0"}}},
		{"base64 of nothing", nil, envelope(`"data_base64":""`), []pair{{"/data", "is empty, must be a JSON object"}}},
		{"inside base64", nil, envelope(`"data_base64":"` + base64.StdEncoding.EncodeToString([]byte(`{"clientName":"c","subclientName":"s","x":[}`)) + `"`),
			[]pair{{"/data/x", "is not a member of a backup request"}, {"/data/x/0", "is not valid JSON: invalid character '}' at start of value, at byte 43"}}},
		{"data of another type", nil, envelope(`"datacontenttype":"application/xml",` + data), []pair{{"/datacontenttype", `is "application/xml", must be application/json`}}},
		{"attribute name", nil, envelope(`"trace_id":"x",` + data), []pair{{"/trace_id", "is not a CloudEvents attribute name: lower case letters and digits only"}}},
		{"a member of the request beside it", nil, envelope(`"labels":{"a":"x"},` + data), []pair{{"/labels", "must be a string, number or boolean: only data is structured"}}},
		{"attribute given twice", nil, envelope(`"id":"e-2",` + data), []pair{{"/id", "is given twice"}}},
		{"member of the data given twice", nil, envelope(`"data":{"clientName":"c","subclientName":"s","clientName":"d"}`), []pair{{"/data/clientName", "is given twice"}}},
		{"pointers lead through the data", nil, envelope(`"data":{"subclientName":"s","labels":{"a":1}}`),
			[]pair{{"/data/labels/a", "must be a string, not a number"}, {"/data/clientName", "is required: the name of the object storage client"}}},
		{"envelope and data", nil, `{"specversion":"1.0","source":"s","type":"t","data":{"clientName":"c"}}`,
			[]pair{{"/data/subclientName", "is required: the name of the content group"}, {"/id", required}}},
		{"trailing", nil, envelope(data) + "{}", []pair{{"", "is not valid JSON: more than one JSON document"}}},
		{"batch", schemas.Header{"Content-Type": {"application/cloudevents-batch+json"}}, "[" + envelope(data) + "]",
			[]pair{{"header Content-Type", "is a batch of CloudEvents; publish each as a message of its own"}}},

		{"binary version", binary("ce-specversion", "2.0"), `{"clientName":"c","subclientName":"s"}`, []pair{{"header ce-specversion", `is "2.0", must be "1.0"`}}},
		{"binary without id", binary("ce-id", ""), `{"clientName":"c","subclientName":"s"}`, []pair{{"header ce-id", required}}},
		{"binary id that is not UTF-8", binary("ce-id", "gr\xfcn"), `{"clientName":"c","subclientName":"s"}`, []pair{{"header ce-id", "must be UTF-8"}}},
		{"binary type", binary("ce-datacontenttype", "text/"), `{"clientName":"c","subclientName":"s"}`,
			[]pair{{"header ce-datacontenttype", `is "text/", must be application/json`}}},
		{"binary data", binary(), `{"subclientName":"s"}`, []pair{{"/clientName", "is required: the name of the object storage client"}}},
		{"binary too large", binary(), string(make([]byte, schemas.MaxRequestSize+1)), []pair{{"", "has 262145 bytes, the limit is 262144"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := schemas.DecodeRequest(test.header, []byte(test.data))
			if got := problemsOf(t, err); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got\n%q, want\n%q", got, test.want)
			}
		})
	}
}

// Many senders do not percent-encode. What does not decode is taken as it is.
func TestDecodeRequest_HeadersThatAreNotEncoded(t *testing.T) {
	for value, want := range map[string]string{
		"e-1": "e-1", "a%20b": "a b", "gr%C3%B6%C3%9Fe": "größe", "größe": "größe", `"quoted%20id"`: "quoted id",
		"50%-done": "50%-done", "100%": "100%", "50% größe": "50% größe", "%C0%A0": "%C0%A0", "%zz%20": "%zz%20", `say "hi`: `say "hi`, `"50%"`: `"50%"`,
	} {
		h := schemas.Header{"ce-specversion": {"1.0"}, "ce-id": {value}, "ce-source": {"50%-done"}, "ce-type": {"100% größe"}}
		m, err := schemas.DecodeRequest(h, []byte(`{"clientName":"c","subclientName":"s"}`))
		if err != nil || m.Request.RequestID != want || m.Notes != nil {
			t.Errorf("%q: the id is %q, want %q; %v %v", value, m.Request.RequestID, want, err, m.Notes)
		}
	}
}

// An attribute that means nothing for a request does not fail it.
func TestDecodeRequest_NotesWhatIsNotUsed(t *testing.T) {
	const data = `"data":{"clientName":"c","subclientName":"s"}`
	binary := schemas.Header{"ce-specversion": {"1.0"}, "ce-id": {"e-1"}, "ce-source": {"s"}, "ce-type": {"t"}, "ce-time": {"2026-11-23T10:00Z"}}
	for name, c := range map[string]struct {
		header schemas.Header
		data   string
		want   string
	}{
		"binary time without seconds": {binary, `{"clientName":"c","subclientName":"s"}`, `header ce-time: is "2026-11-23T10:00Z", no RFC 3339 time; it is not used`},
		"time":                        {nil, envelope(`"time":"yesterday",` + data), `/time: is "yesterday", no RFC 3339 time; it is not used`},
		"time as a number":            {nil, envelope(`"time":17,` + data), "/time: must be a string, not a number; it is not used"},
		"traceparent as an object":    {nil, envelope(`"traceparent":{"a":[1]},` + data), "/traceparent: must be a string, not an object; it is not used"},
		"time, and a media type with a parameter that is none": {nil, envelope(`"time":"yesterday","datacontenttype":"application/json; charset",` + data), `/time: is "yesterday", no RFC 3339 time; it is not used`},
		"a structured extension":                               {nil, envelope(`"tags":["x"],` + data), "/tags: must be a string, number or boolean: only data is structured; it is not used"},
	} {
		m, err := schemas.DecodeRequest(c.header, []byte(c.data))
		if err != nil || m.Request.RequestID != "e-1" || len(m.Notes) != 1 || m.Notes[0].String() != c.want {
			t.Errorf("%s: %v, notes %q of %+v", name, err, m.Notes, m.Request)
		}
	}
}

// requestId > CloudEvents id > Nats-Msg-Id > none, whether the rest is in order
// or not.
func TestDecodeRequest_precedenceOfIDs(t *testing.T) {
	const own, none = `{"requestId":"own","clientName":"c","subclientName":"s"}`, `{"clientName":"c","subclientName":"s"}`
	msgID := schemas.Header{"nats-msg-id": {"msg"}}
	binary := func(id string) schemas.Header {
		return schemas.Header{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"s"}, "ce-type": {"t"}, "Nats-Msg-Id": {"msg"}}
	}
	long := string(make([]byte, 257))
	tests := []struct {
		name   string
		header schemas.Header
		data   string
		want   string
		valid  bool
	}{
		{"member over event", nil, envelope(`"data":` + own), "own", true},
		{"member over header", msgID, own, "own", true},
		{"member over both", binary("event"), own, "own", true},
		{"member over an event id that could not be one", binary(long), own, "own", true},
		{"event over header", msgID, envelope(`"data":` + none), "e-1", true},
		{"binary event over header", binary("event"), none, "event", true},
		{"header", msgID, none, "msg", true},
		{"none", nil, none, "", true},
		{"header in spite of problems", msgID, `{}`, "msg", false},
		{"header of a message that is no JSON", msgID, `?`, "msg", false},
		{"event id of data that is no JSON", binary("event"), `?`, "event", false},
		{"event id of data that is too large", binary("event"), string(make([]byte, schemas.MaxRequestSize+1)), "event", false},
		{"event id in front of what is no JSON", msgID, envelope(`"data":?`), "e-1", false},
		{"header when the event has none", binary(""), none, "msg", false},
		{"event id that is not encoded", binary("%"), none, "%", true},
		{"member that cannot be one", msgID, `{"requestId":"","clientName":"c","subclientName":"s"}`, "msg", false},
		{"event id that cannot be one", binary(long), none, "", false},
		{"header that cannot be one", schemas.Header{"Nats-Msg-Id": {"a\tb"}}, none, "", false},
		{"header that is no UTF-8", schemas.Header{"Nats-Msg-Id": {"a\xff"}}, none, "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := schemas.DecodeRequest(test.header, []byte(test.data))
			if m.Request.RequestID != test.want || (err == nil) != test.valid {
				t.Errorf("the id is %q, want %q; valid: %v, want %v (%v)", m.Request.RequestID, test.want, err == nil, test.valid, err)
			}
		})
	}
}

func TestHeader_Get(t *testing.T) {
	h := schemas.Header{"CE-ID": {"upper"}, "Ce-Id": {"title"}, "ce-type": {"exact", "second"}, "Ce-Type": {"other"}, "empty": nil}
	// Many times: the order of a map is another one each time.
	for range 100 {
		for name, want := range map[string]string{"ce-id": "upper", "Ce-Id": "title", "ce-type": "exact", "CE-TYPE": "other", "empty": "", "absent": ""} {
			if got := h.Get(name); got != want {
				t.Fatalf("Get(%q) = %q, want %q", name, got, want)
			}
		}
	}
}
