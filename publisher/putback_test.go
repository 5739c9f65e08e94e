package publisher

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

func TestPutBack(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	natstest.ProvisionTrigger(t, nc)
	p, err := New(nc)
	if err != nil {
		t.Fatal(err)
	}
	d := DeadLetter{
		Subject: "storage.event.minio.a", Header: schemas.Header{"Ce-Id": {"1"}, nats.MsgIdHdr: {"theirs"}, nats.ExpectedLastSeqHdr: {"77"}}, Data: []byte("{}"),
		Key: Key{Source: "storage"},
	}
	for _, id := range []string{"one", "one", "two"} {
		if err := p.PutBack(t.Context(), d, id); err != nil {
			t.Fatal(err)
		}
	}
	stored := natstest.Stored(t, natstest.JetStream(t, nc), StorageStream, ">")
	if len(stored) != 2 || stored[0].Subject != d.Subject || string(stored[0].Data) != "{}" || stored[0].Header.Get("Ce-Id") != "1" ||
		stored[0].Header.Get(nats.MsgIdHdr) != "one" || stored[0].Header.Get(nats.ExpectedLastSeqHdr) != "" {
		t.Errorf("stored: %+v", stored)
	}
	part, foreign := d, d
	part.Size, foreign.Subject = 9, "backup.request.storage"
	for want, d := range map[string]DeadLetter{"only the first 2": part, "not the subject of a storage notification": foreign} {
		if err := p.PutBack(t.Context(), d, "three"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestIsStorageSubject(t *testing.T) {
	for subject, want := range map[string]bool{
		"storage.event.a": true, "storage.event.a.b": true, "storage.event.": false, "storage.event": false, "storage.event.a.>": false,
		"storage.event.*": false, "storage.event..a": false, "storage.event.a.": false, "storage.event.a b": false, "storage.window.a": false,
	} {
		if IsStorageSubject(subject) != want {
			t.Errorf("%q: %t", subject, !want)
		}
	}
}

func TestSubjectMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		want             bool
	}{
		{"storage.event.>", "storage.event.a", true}, {"storage.event.>", "storage.event.a.b", true}, {"storage.event.>", "storage.event", false},
		{"storage.event.*", "storage.event.a", true}, {"storage.event.*", "storage.event.a.b", false}, {"storage.*.a", "storage.event.a", true},
		{"storage.event.a", "storage.event.a", true}, {"storage.event.a", "storage.event.b", false}, {"storage.event.a.b", "storage.event.a", false}, {">", "a", true},
	} {
		if got := SubjectMatches(c.pattern, c.subject); got != c.want {
			t.Errorf("%s of %s: %t", c.pattern, c.subject, got)
		}
	}
}
