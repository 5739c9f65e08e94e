package schemas_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"backhaul/schemas"
)

func TestHash_isTheSameInEveryForm(t *testing.T) {
	var req map[string]any
	if err := json.Unmarshal([]byte(sample), &req); err != nil {
		t.Fatal(err)
	}
	id := req["requestId"].(string)
	delete(req, "requestId")
	anonymous := string(marshal(t, req))
	binary := schemas.Header{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"s"}, "ce-type": {"t"}}
	forms := []struct {
		name   string
		header schemas.Header
		data   string
	}{
		{"plain", nil, sample},
		{"plain, other order and defaults left out", schemas.Header{"Nats-Msg-Id": {id}},
			`{"labels":{"ticket":"CHG-17"},"notAfter":"2026-11-23T22:00:00.000-02:00","onDemandInputFile":"/sk/s-directive-file-blob.txt",
			 "storagePolicyName":"default-plan","subclientName":"stestgroup","clientName":"s-adhoc-object-storage"}`},
		{"structured", nil, `{"specversion":"1.0","id":"` + id + `","source":"s","type":"t","time":"2026-11-23T10:00:00Z","data":` + anonymous + `}`},
		{"structured with an id of its own", nil, `{"specversion":"1.0","id":"other","source":"s","type":"t","data":` + sample + `}`},
		{"binary", binary, anonymous},
	}
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			m, err := schemas.DecodeRequest(form.header, []byte(form.data))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := m.Request.Hash(), full().Hash(); got != want {
				t.Errorf("hash %s of %s, want %s of %s", got, m.Request.JSON(), want, full().JSON())
			}
		})
	}
}

// A member that is not in the hash could be changed under a used request id; a
// member that JSON or the decoder forgets would be lost on the way.
func TestHash_countsEveryMember(t *testing.T) {
	base := full()
	for field, value := range reflect.ValueOf(base).Fields() {
		t.Run(field.Name, func(t *testing.T) {
			if value.IsZero() {
				t.Fatal("full() does not set it: add it there and to the sample")
			}
			changed := full()
			switch target := reflect.ValueOf(&changed).Elem().FieldByIndex(field.Index); v := target.Addr().Interface().(type) {
			case *string:
				if field.Name == "BackupLevel" {
					*v = schemas.LevelFull
				} else {
					*v += "x"
				}
			case *bool:
				*v = !*v
			case *time.Time:
				*v = v.Add(time.Nanosecond)
			case *map[string]string:
				*v = map[string]string{"ticket": "CHG-18"}
			default:
				t.Fatalf("say here how to change a %s", field.Type)
			}
			if changed.Hash() == base.Hash() {
				t.Error("it is not in the hash")
			}
			again, err := schemas.DecodeRequest(nil, changed.JSON())
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(again.Request, changed) {
				t.Errorf("written and read again it is\n%+v, want\n%+v", again.Request, changed)
			}
		})
	}
	m, err := schemas.DecodeRequest(nil, []byte(sample))
	if err != nil || !reflect.DeepEqual(m.Request, base) {
		t.Errorf("the sample is\n%+v, want every member of\n%+v (%v)", m.Request, base, err)
	}
}

// The defaults are written out, so that reading them again changes nothing.
func TestNormalise_leavesANormalisedRequest(t *testing.T) {
	for _, data := range []string{
		sample,
		`{"clientName":"c","subclientName":"s"}`,
		`{"clientName":"c","subclientName":"s","onDemandInputFile":"/f","adHocBackup":false}`,
		`{"clientName":"c","subclientName":"s","adHocBackup":true,"labels":{}}`,
		`{"clientName":"c","subclientName":"s","notAfter":"2000-01-01T00:00:00+23:59"}`,
		`{"clientName":"c","subclientName":"s","notAfter":"2999-12-31T23:59:59.999999999-23:59"}`,
		`{"clientName":"c","subclientName":"s","notAfter":"1000-01-01T00:00:00Z"}`,
		`{"clientName":"c","subclientName":"s","notAfter":"9999-12-31T23:59:59.999999999Z"}`,
		`{"clientName":"<&>\u2028\"\\","subclientName":"\ud83d\ude00"}`,
	} {
		first, err := schemas.DecodeRequest(nil, []byte(data))
		if err != nil {
			t.Errorf("%s: %v", data, err)
			continue
		}
		second, err := schemas.DecodeRequest(nil, first.Request.JSON())
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%s is first\n%+v, then\n%+v (%v)", data, first.Request, second.Request, err)
		}
	}
}

func TestNaming_repeatsTheRequest(t *testing.T) {
	req := full()
	naming := req.Naming("billing")
	if naming.Source != "billing" {
		t.Errorf("source is %q", naming.Source)
	}
	request := reflect.ValueOf(req)
	for field, value := range reflect.ValueOf(naming).Fields() {
		if field.Name == "Source" || field.Name == "ReplayOf" { // of the message, not of the request
			continue
		}
		if want := request.FieldByName(field.Name); !reflect.DeepEqual(value.Interface(), want.Interface()) {
			t.Errorf("%s is %v, want %v", field.Name, value, want)
		}
	}
}

func BenchmarkDecodeRequest(b *testing.B) {
	structured := schemas.CloudEvent{ID: "e-1", Source: "s", Type: "t", Data: []byte(sample)}.Structured()
	binary := schemas.CloudEvent{ID: "e-1", Source: "s", Type: "t", Traceparent: traceparent}.BinaryHeader()
	for _, form := range []struct {
		name   string
		header schemas.Header
		data   []byte
	}{{"plain", nil, []byte(sample)}, {"structured", nil, structured}, {"binary", binary, []byte(sample)}} {
		b.Run(form.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(form.data)))
			for b.Loop() {
				if _, err := schemas.DecodeRequest(form.header, form.data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
