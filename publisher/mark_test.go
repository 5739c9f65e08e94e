package publisher_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

func TestMark_Differs(t *testing.T) {
	made := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	now := made.Add(100 * 24 * time.Hour)
	const age = 90 * 24 * time.Hour
	known := publisher.Mark{Created: made, First: 11, FirstAt: now.Add(-age).Add(time.Hour), Last: 806, Witness: 806, WitnessAt: now, Missing: 1}
	state := func(change func(*jetstream.StreamInfo)) *jetstream.StreamInfo {
		info := &jetstream.StreamInfo{Created: made, TimeStamp: now, Config: jetstream.StreamConfig{MaxAge: age}}
		info.State = jetstream.StreamState{Msgs: 795, FirstSeq: 11, FirstTime: known.FirstAt, LastSeq: 806, LastTime: now, NumDeleted: 1}
		if change != nil {
			change(info)
		}
		return info
	}
	if got := publisher.MarkOf(state(nil)); got != known {
		t.Errorf("the mark is %+v, want %+v", got, known)
	}
	gone := publisher.Mark{Created: made, First: 807, FirstAt: now, Last: 806}
	if got := publisher.MarkOf(state(func(i *jetstream.StreamInfo) {
		i.State = jetstream.StreamState{FirstSeq: 807, LastSeq: 806, LastTime: now}
	})); got != gone {
		t.Errorf("the mark of a stream whose messages are all gone is %+v, want %+v", got, gone)
	}
	for name, c := range map[string]struct {
		mark publisher.Mark
		info *jetstream.StreamInfo
		says string // "" when it is the ledger
	}{
		"the same":         {known, state(nil), ""},
		"more":             {known, state(func(i *jetstream.StreamInfo) { i.State.LastSeq = 900 }), ""},
		"nothing is known": {publisher.Mark{}, state(nil), ""},
		"nothing was in it": {publisher.Mark{Created: made.Add(-time.Hour)},
			state(nil), ""},
		"made again":       {known, state(func(i *jetstream.StreamInfo) { i.Created = now }), "made again"},
		"it goes back":     {known, state(func(i *jetstream.StreamInfo) { i.State.LastSeq = 402 }), "ends at sequence 402 and was seen up to 806"},
		"a hole":           {known, state(func(i *jetstream.StreamInfo) { i.State.NumDeleted = 404 }), "has lost 403 events"},
		"fewer holes":      {known, state(func(i *jetstream.StreamInfo) { i.State.NumDeleted = 0 }), ""},
		"the front, early": {known, state(func(i *jetstream.StreamInfo) { i.State.FirstSeq = 400 }), "begins at sequence 400 instead of 11"},
		"the front, by age": {known, state(func(i *jetstream.StreamInfo) {
			i.State.FirstSeq, i.TimeStamp = 400, now.Add(2*time.Hour)
		}), ""},
		// The clocks of two servers differ.
		"the front, by age on another server": {known, state(func(i *jetstream.StreamInfo) {
			i.State.FirstSeq, i.TimeStamp = 400, now.Add(time.Hour-30*time.Second)
		}), ""},
		"the front, without an age": {known, state(func(i *jetstream.StreamInfo) {
			i.State.FirstSeq, i.TimeStamp, i.Config.MaxAge = 400, now.Add(2*time.Hour), 0
		}), "begins at sequence"},
		"all of it, early": {known, state(func(i *jetstream.StreamInfo) {
			i.State = jetstream.StreamState{FirstSeq: 807, LastSeq: 806, LastTime: now}
		}), "begins at sequence 807"},
		"lost before": {publisher.Mark{Created: made, Last: 806, Forgot: "it was lost"}, state(nil), "it was lost"},
	} {
		err := c.mark.Differs(c.info)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// The last writer knows what the one before wrote.
func TestRecordMark(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	pub, ctx := newPublisher(t, nc), within(t, patience)
	marks := natstest.Stream(t, natstest.JetStream(t, nc), publisher.MarkStream)
	if m, sequence, err := publisher.ReadMark(ctx, marks); err != nil || sequence != 0 || m != (publisher.Mark{}) {
		t.Fatalf("%+v %d, %v; want none", m, sequence, err)
	}
	mark := publisher.Mark{Created: time.Date(2026, 11, 1, 0, 0, 0, 7, time.UTC), First: 1, FirstAt: time.Date(2026, 11, 2, 0, 0, 0, 8, time.UTC), Last: 9, Missing: 2, Forgot: "it was lost"}
	for range 2 {
		_, after, err := publisher.ReadMark(ctx, marks)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pub.RecordMark(ctx, after, mark); err != nil {
			t.Fatal(err)
		}
		if _, err := pub.RecordMark(ctx, after, publisher.Mark{}); !errors.Is(err, publisher.ErrConflict) {
			t.Errorf("a writer that does not know of it: %v, want a conflict", err)
		}
	}
	if m, _, err := publisher.ReadMark(ctx, marks); err != nil || !reflect.DeepEqual(m, mark) {
		t.Errorf("%+v, %v; want %+v", m, err, mark)
	}
	if info, err := marks.Info(ctx); err != nil || info.State.Msgs != 1 {
		t.Errorf("%+v, %v; want one message", info, err)
	}
}
