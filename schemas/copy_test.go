package schemas_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"backhaul/schemas"
)

// A server stores what was read on any subject that the reader names as the reply subject.
// None of it is a request, and the id in it belongs to another request.
func TestDecodeRequest_RefusesCopies(t *testing.T) {
	answer := `{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{"subject":"backup.dlq.billing","seq":1,"data":"` +
		base64.StdEncoding.EncodeToString([]byte(sample)) + `","time":"2026-11-23T10:00:00Z"}}`
	started := events()["job-started"]
	event := schemas.NewCloudEvent("billing/"+started.Names().RequestID+"/job-started", started, "")
	for name, c := range map[string]struct {
		header schemas.Header
		data   string
		want   string
	}{
		"a dead letter":          {schemas.Header{"Backhaul-Dlq-Code": {"NOT_ALLOWED"}, "Nats-Msg-Id": {"BACKUP_REQUESTS/1/2"}}, sample, "copy of a dead letter"},
		"in other letters":       {schemas.Header{"BACKHAUL-DLQ-SEQUENCE": {"1"}}, sample, "copy of a dead letter"},
		"a direct read":          {schemas.Header{"Nats-Stream": {"BACKUP_REQUESTS"}, "Nats-Subject": {"backup.request.billing"}, "Nats-Sequence": {"1"}}, sample, "copy of a message read"},
		"an event":               {event.BinaryHeader(), string(event.Data), "copy of an event"},
		"an answer of JetStream": {nil, answer, "/type: is \"io.nats.jetstream.api.v1.stream_msg_get_response\": this is an answer of the NATS server"},
	} {
		m, err := schemas.DecodeRequest(c.header, []byte(c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
		if m.Request.RequestID != "" || m.Request.ClientName != "" {
			t.Errorf("%s: names %+v, want nothing", name, m.Request)
		}
	}
	// A republished message was published by a client.
	republished := schemas.Header{"Nats-Stream": {"EDGE"}, "Nats-Subject": {"edge"}, "Nats-Sequence": {"7"}, "Nats-Last-Sequence": {"6"}}
	if _, err := schemas.DecodeRequest(republished, []byte(sample)); err != nil {
		t.Errorf("republished: %v", err)
	}
}
