package schemas_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"backhaul/schemas"
)

func FuzzDecodeRequest(f *testing.F) {
	f.Add("", "", "", []byte(sample))
	f.Add("", "", "m-1", []byte(`{"clientName":"c","subclientName":"s"}`))
	f.Add("", "", "", []byte(envelope(`"data":`+sample)))
	f.Add("application/cloudevents+json", "", "m-1", []byte(envelope(`"time":"2026-11-23T10:00:00Z","data_base64":"eyJjbGllbnROYW1lIjoiYyIsInN1YmNsaWVudE5hbWUiOiJzIn0="`)))
	f.Add("application/json", "e%2D1", "", []byte(`{"clientName":"c","subclientName":"s","notAfter":"9999-12-31T23:59:59-01:00"}`))
	f.Add("application/cloudevents-batch+json", "", "", []byte(`[]`))
	f.Add("", "\"\\\"", "\xff", []byte(`{"clientName":"c","clientName":"d","labels":{"a":"x","a":[]}}`))
	f.Add("", "", "", []byte("{\"labels\":{\"\xff\":"))
	f.Add("", "", "", []byte(strings.Repeat(`{"labels":[`, 50)))
	schema := compile(f, "backup-request.v1", "")
	f.Fuzz(func(t *testing.T, contentType, eventID, msgID string, data []byte) {
		h := schemas.Header{"Content-Type": {contentType}, "nats-msg-id": {msgID}}
		if eventID != "" {
			h["CE-Id"], h["ce-specversion"], h["ce-source"], h["ce-type"] = []string{eventID}, []string{"1.0"}, []string{"s"}, []string{"t"}
		}
		before := bytes.Clone(data)
		m, err := schemas.DecodeRequest(h, data)
		if !bytes.Equal(before, data) {
			t.Error("the payload was changed")
		}
		if err != nil {
			if invalid, ok := errors.AsType[*schemas.InvalidError](err); !ok || len(invalid.Problems) == 0 || len(err.Error()) > 12<<10 {
				t.Errorf("a %T of %d bytes: %.1000v", err, len(err.Error()), err)
			}
			return
		}
		written := m.Request.JSON()
		again, err := schemas.DecodeRequest(nil, written)
		if err != nil || !reflect.DeepEqual(again.Request, m.Request) {
			t.Errorf("%s is read again as\n%+v, was\n%+v (%v)", written, again.Request, m.Request, err)
		}
		documents := [][]byte{written}
		if _, err := schemas.DecodeRequest(nil, data); err == nil && !bytes.Contains(data, []byte("specversion")) {
			documents = append(documents, data) // as a plain request
		}
		for _, document := range documents {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
			if err != nil {
				t.Fatalf("%v in %s", err, document)
			}
			if err := schema.Validate(v); err != nil {
				t.Errorf("the schema refuses %s: %v", document, err)
			}
		}
	})
}

func FuzzDecodeEvent(f *testing.F) {
	for _, event := range events() {
		f.Add(string(event.Kind()), schemas.EncodeEvent(event))
	}
	f.Add("no-such-kind", []byte(`{}`))
	f.Add("job-started", []byte(`{"jobIds":null,"labels":{"":""},"startedAt":"0001-01-01T00:00:00Z","attempts":-0}`))
	f.Add("job-failed", []byte(`{"failedAt":"9999-12-31T23:59:59-01:00","errorMessage":"\ud800"}`))
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		first, err := schemas.DecodeEvent(schemas.Kind(kind), data)
		if err != nil {
			return
		}
		if string(first.Kind()) != kind {
			t.Errorf("a %s event was read as %s", kind, first.Kind())
		}
		written := schemas.EncodeEvent(first)
		second, err := schemas.DecodeEvent(first.Kind(), written)
		if err != nil {
			if !strings.Contains(err.Error(), "time.Time") { // UTC can need a year that JSON cannot have
				t.Errorf("%s: %v", written, err)
			}
			return
		}
		if again := schemas.EncodeEvent(second); !bytes.Equal(again, written) {
			t.Errorf("written\n%s, then\n%s", written, again)
		}
	})
}
