package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher/natstest"
)

// An archiver that is gone is noticed though there is nothing to archive.
func TestNATSArchiving(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js := natstest.JetStream(t, nc)
	want(t, only(NATS(t.Context(), nc, js), "archive"))
	natstest.ProvisionArchive(t, nc)
	want(t, only(NATS(t.Context(), nc, js), "archive"), "warning | archive | no replica of `backhaul archive` reads events")
}

func TestArchiveFindings(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		floor       uint64
		archived    time.Duration // since something was archived
		first, last uint64
		oldest      time.Duration
		newest      time.Duration
		level       Level
		what        string
	}{
		"all":         {9, 0, 1, 9, 20 * day, 0, OK, "every event that the stream has is archived"},
		"empty":       {0, 0, 0, 0, 0, 0, OK, "every event that the stream has is archived"},
		"a few":       {7, time.Second, 1, 9, 20 * day, time.Second, OK, "2 events are still"},
		"lost":        {3, time.Hour, 7, 9, 14 * day, time.Hour, Warning, "has lost 3 events"},
		"nearly lost": {6, time.Hour, 7, 9, 8 * day, time.Minute, Warning, "3 events are not archived, the oldest for 192h0m0s"},
		"late":        {7, time.Hour, 1, 9, day, 30 * time.Minute, Warning, "nothing was for 1h0m0s"},
		"new":         {7, time.Hour, 1, 9, day, time.Second, OK, "2 events are still"},
	} {
		last := now.Add(-test.archived)
		info := &jetstream.ConsumerInfo{AckFloor: jetstream.SequenceInfo{Stream: test.floor, Last: &last}}
		events := &jetstream.StreamInfo{
			TimeStamp: now, Config: jetstream.StreamConfig{MaxAge: 14 * day},
			State: jetstream.StreamState{FirstSeq: test.first, LastSeq: test.last, FirstTime: now.Add(-test.oldest), LastTime: now.Add(-test.newest)},
		}
		got := archiveFindings("archive", info, events)
		if len(got) != 1 || got[0].Level != test.level || !strings.Contains(got[0].What, test.what) || (got[0].Fix == "") != (test.level == OK) {
			t.Errorf("%s: %+v, want %s with %q", name, got, test.level, test.what)
		}
	}
}
