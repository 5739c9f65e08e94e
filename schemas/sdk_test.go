package schemas_test

import (
	"encoding/json"
	"maps"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"backhaul/schemas"
)

// The tests of this file have the CloudEvents SDK as a second opinion.

// awkward has what headers and JSON must encode.
func awkward() schemas.CloudEvent {
	failed := events()["job-failed"].(*schemas.JobFailed)
	failed.ClientName, failed.SubclientName = `größe "50%"`, "a b\u2028😀"
	return schemas.NewCloudEvent(`billing/50% "größe"/job-failed`, failed, traceparent)
}

func cloudEvents() map[string]schemas.CloudEvent {
	all := map[string]schemas.CloudEvent{"awkward": awkward()}
	for name, e := range events() {
		all[name] = schemas.NewCloudEvent("billing/"+e.Names().RequestID+"/"+string(e.Kind()), e, traceparent)
	}
	return all
}

func TestStructured_isValidForTheSDK(t *testing.T) {
	for name, e := range cloudEvents() {
		t.Run(name, func(t *testing.T) {
			var got event.Event
			if err := json.Unmarshal(e.Structured(), &got); err != nil {
				t.Fatal(err)
			}
			compareWithSDK(t, e, got)
		})
	}
}

func TestBinaryHeader_isValidForTheSDK(t *testing.T) {
	for name, e := range cloudEvents() {
		t.Run(name, func(t *testing.T) {
			got := event.New()
			for header, values := range maps.All(e.BinaryHeader()) {
				if strings.ContainsFunc(values[0], func(c rune) bool { return c <= ' ' || c > '~' || c == '"' }) {
					t.Errorf("header %s is %q, which the binding does not allow", header, values[0])
				}
				value, err := url.PathUnescape(values[0])
				if err != nil {
					t.Fatal(err)
				}
				attribute, isAttribute := strings.CutPrefix(header, "ce-")
				switch {
				case attribute == "specversion":
					got.SetSpecVersion(value)
				case attribute == "id":
					got.SetID(value)
				case attribute == "source":
					got.SetSource(value)
				case attribute == "type":
					got.SetType(value)
				case attribute == "subject":
					got.SetSubject(value)
				case attribute == "datacontenttype":
					got.SetDataContentType(value)
				case attribute == "time":
					when, err := time.Parse(time.RFC3339Nano, value)
					if err != nil {
						t.Fatal(err)
					}
					got.SetTime(when)
				case header == "traceparent":
					got.SetExtension(header, value)
				default:
					t.Errorf("unexpected header %s (attribute: %v)", header, isAttribute)
				}
			}
			if err := got.SetData("application/json", e.Data); err != nil {
				t.Fatal(err)
			}
			compareWithSDK(t, e, got)
		})
	}
}

func compareWithSDK(t *testing.T, e schemas.CloudEvent, got event.Event) {
	t.Helper()
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	read := schemas.CloudEvent{
		ID: got.ID(), Source: got.Source(), Type: got.Type(), Subject: got.Subject(), Time: got.Time(),
		Data: got.Data(),
	}
	read.Traceparent, _ = got.Extensions()["traceparent"].(string)
	if !reflect.DeepEqual(read, e) {
		t.Errorf("the SDK reads\n%+v with %s, want\n%+v with %s", read, read.Data, e, e.Data)
	}
	if got.SpecVersion() != "1.0" || got.DataContentType() != "application/json" {
		t.Errorf("the SDK reads version %q and data of type %q", got.SpecVersion(), got.DataContentType())
	}
}

func TestDecodeRequest_readsThoseOfTheSDK(t *testing.T) {
	build := func(data []byte) event.Event {
		e := event.New()
		e.SetID("größe 50%")
		e.SetSource("https://orders.example/eu")
		e.SetType("com.example.backup.wanted")
		e.SetSubject("any")
		e.SetTime(at(0))
		e.SetExtension("traceparent", traceparent)
		e.SetExtension("sequence", 7)
		e.SetExtension("urgent", true)
		if err := e.SetData("application/json", json.RawMessage(data)); err != nil {
			t.Fatal(err)
		}
		return e
	}
	plain := build([]byte(`{"clientName":"c","subclientName":"s"}`))
	encoded := plain.Clone()
	encoded.DataBase64 = true
	own := build([]byte(sample))

	anonymous := least()
	anonymous.RequestID = plain.ID()
	tests := []struct {
		name  string
		event event.Event
		want  schemas.BackupRequest
	}{
		{"data", plain, anonymous}, {"data_base64", encoded, anonymous}, {"own id", own, full()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data := marshal(t, test.event)
			if strings.Contains(string(data), "data_base64") != (test.name == "data_base64") {
				t.Fatalf("not the form that was asked for: %s", data)
			}
			got, err := schemas.DecodeRequest(nil, data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, schemas.RequestMessage{Request: test.want, Traceparent: traceparent}) {
				t.Errorf("got\n%+v, want\n%+v", got, test.want)
			}
		})
	}
}

// What we wrap as a request, in either mode, we read as that request.
func TestDecodeRequest_readsOwnEnvelopes(t *testing.T) {
	e := awkward()
	e.Source = "/billing" // an event of ours is not a request
	e.Data = []byte(`{"clientName":"c","subclientName":"s"}`)
	want := least()
	want.RequestID = e.ID
	for name, message := range map[string]struct {
		header schemas.Header
		data   []byte
	}{"structured": {nil, e.Structured()}, "binary": {e.BinaryHeader(), e.Data}} {
		got, err := schemas.DecodeRequest(message.header, message.data)
		if err != nil || !reflect.DeepEqual(got, schemas.RequestMessage{Request: want, Traceparent: traceparent}) {
			t.Errorf("%s: got\n%+v, want\n%+v (%v)", name, got, want, err)
		}
	}
}
