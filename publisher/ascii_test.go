package publisher_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// notASCII returns the names of the headers that have another byte than ASCII in a value.
func notASCII(h nats.Header) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			if strings.ContainsFunc(value, func(c rune) bool { return c > '~' }) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Every header that we write is ASCII, and our readers decode what was written: one
// public client loses all headers of a message with an umlaut in one of them.
func TestPublisher_headersAreASCII(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	d := publisher.DeadLetter{
		Subject: "backup.request.größe", Data: []byte("{}"), Key: publisher.NewKey("größe", "größe 1"), RequestID: "größe 1", Sequence: 7,
		Time: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Code: "über", Reason: "größer als 50%",
		Header: schemas.Header{
			"X-Team": {"Größe", "plain"}, "X-Latin": {"gr\xfcn"}, "X-Plain": {"100% plain"}, "X-Marked": {"UTF-8''%41"},
			"Nats-Müll": {"left out"}, "Nats-X": {"ä"}, "ce-id": {"grün"},
		},
	}
	msg := keep(t, s, d)
	if names := notASCII(msg.Header); names != nil {
		t.Errorf("the dead letter's headers %q are not ASCII: %q", names, msg.Header)
	}
	if got := msg.Header.Get("X-Plain"); got != "100% plain" {
		t.Errorf("a header of ASCII became %q", got)
	}
	back := publisher.ReadDeadLetter(msg.Subject, msg.Header, msg.Data)
	delete(d.Header, "Nats-Müll") // no client can write it
	want := d.Header
	if !maps.EqualFunc(back.Header, want, slices.Equal) {
		t.Errorf("the original's headers come back as %q, want %q", back.Header, want)
	}
	if back.Subject != d.Subject || back.Key != d.Key || back.RequestID != d.RequestID || back.Code != d.Code || back.Reason != d.Reason {
		t.Errorf("the dead letter comes back as %+v", back)
	}

	replay := back.ReplayMessage("größe 1-replay-7")
	for name := range want {
		delete(replay.Header, name) // those are the publisher's own, byte for byte
	}
	if names := notASCII(replay.Header); names != nil {
		t.Errorf("the replay's headers %q are not ASCII: %q", names, replay.Header)
	}
	m, err := schemas.DecodeRequest(schemas.Header(replay.Header), []byte(`{"clientName":"c","subclientName":"s"}`))
	if err != nil || m.Request.RequestID != "größe 1-replay-7" || m.ReplayOf != d.Key.String() {
		t.Errorf("the replay is read as %+v, %v", m, err)
	}

	request, err := publisher.RequestMsg("größe", publisher.Normal, schemas.BackupRequest{RequestID: "größe", ClientName: "ä", SubclientName: "ö"})
	if err != nil || notASCII(request.Header) != nil {
		t.Errorf("the request's headers are %q, %v", request.Header, err)
	}
	failed := &schemas.JobFailed{Naming: schemas.Naming{RequestID: "größe", Source: "größe", ClientName: "ä", SubclientName: "ö"}, ErrorCode: "über", ErrorMessage: "größe"}
	event := schemas.NewCloudEvent(publisher.NewKey("größe", "größe").EventID(failed.Kind()), failed, "")
	if names := notASCII(nats.Header(event.BinaryHeader())); names != nil {
		t.Errorf("the event's headers %q are not ASCII", names)
	}
}
