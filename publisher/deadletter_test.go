package publisher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

func deadLetter() publisher.DeadLetter {
	return publisher.DeadLetter{
		Subject: "backup.request.billing", Header: schemas.Header{"Content-Type": {"application/json"}},
		Data: []byte(`{"requestId":"inv-7"}`),
		Key:  publisher.NewKey("billing", "inv-7"), RequestID: "inv-7",
		Sequence: 42, Time: time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.UTC),
		Code: "587207178", Reason: "no eligible subclients",
	}
}

// keep writes a dead letter and reads it back.
func keep(t *testing.T, s *natstest.Server, d publisher.DeadLetter) *jetstream.RawStreamMsg {
	t.Helper()
	if err := newPublisher(t, s.Connect(t)).DeadLetter(within(t, patience), d); err != nil {
		t.Fatalf("keep: %v", err)
	}
	msgs := stored(t, s, publisher.DeadLetterStream, ">")
	if len(msgs) == 0 {
		t.Fatal("no dead letter is stored")
	}
	return msgs[len(msgs)-1]
}

func TestDeadLetter_isTheOriginalWithTheReason(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	d := deadLetter()
	d.Data = []byte("\x00\xff{not JSON\r\n")
	d.Header = schemas.Header{
		"Content-Type": {"text/plain"}, "X-Several": {"one", "two"}, "x-lower": {"kept"},
		nats.MsgIdHdr: {"their-id"}, "nats-rollup": {"all"}, "NATS-Expected-Stream": {"OTHER"},
		"Nats-Expected-Last-Sequence": {"999"}, "Nats-TTL": {"1s"}, "Natsy": {"no instruction"},
	}
	msg := keep(t, s, d)
	if msg.Subject != "backup.dlq.billing" || string(msg.Data) != string(d.Data) {
		t.Errorf("stored on %s: %q", msg.Subject, msg.Data)
	}
	for name, want := range map[string][]string{
		"Content-Type":                           {"text/plain"},
		"X-Several":                              {"one", "two"},
		"x-lower":                                {"kept"},
		"Natsy":                                  {"no instruction"},
		"Backhaul-Original-Nats-Msg-Id":          {"their-id"},
		"Backhaul-Original-nats-rollup":          {"all"},
		"Backhaul-Original-NATS-Expected-Stream": {"OTHER"},
		"Backhaul-Original-Nats-TTL":             {"1s"},
		"Backhaul-Original-Nats-Expected-Last-Sequence": {"999"},
		publisher.HeaderDeadLetterCode:                  {"587207178"},
		publisher.HeaderDeadLetterReason:                {"no eligible subclients"},
		publisher.HeaderDeadLetterSubject:               {"backup.request.billing"},
		publisher.HeaderDeadLetterSequence:              {"42"},
		publisher.HeaderDeadLetterTime:                  {"2026-11-23T10:00:00.123456789Z"},
		publisher.HeaderDeadLetterKey:                   {"inv-7"},
		publisher.HeaderDeadLetterRequestID:             {"inv-7"},
	} {
		if got := msg.Header[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	for name := range msg.Header {
		if strings.HasPrefix(strings.ToLower(name), "nats-") && name != nats.MsgIdHdr {
			t.Errorf("the dead letter instructs JetStream: %s", name)
		}
	}
	if d.Header.Get(nats.MsgIdHdr) != "their-id" || len(d.Header) != 9 {
		t.Errorf("the caller's headers were changed: %v", d.Header)
	}
}

func TestDeadLetter_isKeptOncePerMessage(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	first := deadLetter()
	again := deadLetter()
	again.Reason = "said again after a crash"
	other := deadLetter()
	other.Sequence = 43
	newStream := deadLetter()
	newStream.Time = newStream.Time.Add(time.Nanosecond)
	notification := deadLetter()
	notification.Stream = publisher.StorageStream
	for _, d := range []publisher.DeadLetter{first, again, first, other, newStream, notification} {
		keep(t, s, d)
	}
	if got := len(stored(t, s, publisher.DeadLetterStream, ">")); got != 4 {
		t.Errorf("%d dead letters are stored, want 4: sequences 42 and 43, 42 of a new stream and 42 of another stream", got)
	}
}

func TestDeadLetter_headersAreOneLineEach(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	d := deadLetter()
	d.Reason = "line one\r\nNats-Rollup: all\r\n\r\nbody\x00\x1b[31m\x7f\xff"
	d.Code = "1\r\nX-Injected: yes"
	d.RequestID = "id\nX-Injected: yes"
	d.Header = schemas.Header{"X-Theirs": {"value\r\nX-Injected: yes"}}
	msg := keep(t, s, d)
	if len(msg.Header["X-Injected"]) > 0 || len(msg.Header["Nats-Rollup"]) > 0 {
		t.Fatalf("a header was injected: %q", msg.Header)
	}
	if string(msg.Data) != string(d.Data) {
		t.Errorf("the payload is %q", msg.Data)
	}
	for name, values := range msg.Header {
		for _, value := range values {
			if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
				t.Errorf("header %s has control characters: %q", name, value)
			}
		}
	}
	if got := schemas.DecodeHeader(msg.Header.Get(publisher.HeaderDeadLetterReason)); !strings.HasPrefix(got, "line one  Nats-Rollup: all") || !strings.HasSuffix(got, " [31m \uFFFD") {
		t.Errorf("the reason became %q", got)
	}
}

func TestDeadLetter_ofALongReason(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	d := deadLetter()
	d.Reason = "x" + strings.Repeat("ü", 1<<20)
	got := schemas.DecodeHeader(keep(t, s, d).Header.Get(publisher.HeaderDeadLetterReason))
	if len(got) < 1000 || len(got) > 1030 || !strings.HasPrefix(d.Reason, got) {
		t.Errorf("the reason has %d bytes and ends in %q", len(got), got[max(0, len(got)-8):])
	}
}

// Whatever NATS delivers can be kept: a dead letter that cannot be written would keep
// its request in the queue for ever.
func TestDeadLetter_ofAnyMessage(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	many := make(schemas.Header)
	for i := range 60_000 {
		many[fmt.Sprintf("Nats-%d", i)] = []string{""}
	}
	for name, test := range map[string]struct {
		header schemas.Header
		want   map[string]string
	}{
		"names that nats.go does not write": {
			schemas.Header{"foo bar": {"1"}, "\x01": {"2"}, "é": {"3"}, "good": {"4"}},
			map[string]string{"good": "4"},
		},
		// A reader that pulls would take a dead letter with an empty body for a status of the server.
		"a status": {
			schemas.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}},
			map[string]string{"Backhaul-Original-Status": "409", "Backhaul-Original-Description": "Consumer Deleted", "Status": "", "Description": ""},
		},
		"our own headers": {
			schemas.Header{"backhaul-dlq-code": {"forged"}, "Backhaul-Dlq-Key": {"forged"}, "Backhaul-Original-Nats-Msg-Id": {"forged"}, "Nats-Msg-Id": {"true"}},
			map[string]string{
				"backhaul-dlq-code": "", publisher.HeaderDeadLetterKey: "inv-7", publisher.HeaderDeadLetterCode: "587207178",
				"Backhaul-Original-Nats-Msg-Id": "true", "Backhaul-Original-backhaul-dlq-code": "forged",
			},
		},
		"headers that become too large when they are renamed": {
			schemas.Header{"Nats-X": make([]string, 6000)}, map[string]string{publisher.HeaderDeadLetterCode: "587207178"},
		},
		"headers that make the dead letter too large": {many, map[string]string{publisher.HeaderDeadLetterCode: "587207178"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := deadLetter()
			d.Header, d.RequestID = test.header, name
			d.Time = d.Time.Add(time.Duration(len(name)) * time.Second)
			msg := keep(t, s, d)
			if msg.Header.Get(publisher.HeaderDeadLetterRequestID) != name || string(msg.Data) != string(d.Data) {
				t.Fatalf("the dead letter is %.300v", msg.Header)
			}
			for header, want := range test.want {
				if got := msg.Header.Get(header); got != want {
					t.Errorf("header %s is %q, want %q", header, got, want)
				}
			}
		})
	}
}

// A dead letter that is too large without the headers as well is kept with the beginning of its
// payload. It is marked as cut, and is not replayed.
func TestDeadLetter_cutsAPayloadThatIsTooLarge(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, func(cfg *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if cfg != nil && cfg.Name == publisher.DeadLetterStream {
			cfg.MaxMsgSize = 16 << 10
		}
	})
	d := deadLetter()
	d.Header["X-Theirs"] = []string{strings.Repeat("x", 12<<10)}
	for name, c := range map[string]struct{ size, kept int }{
		"whole, without the headers": {8 << 10, 8 << 10},
		"a part":                     {40 << 10, 4 << 10},
	} {
		d.Data, d.Time = []byte(strings.Repeat("p", c.size-1)+"e"), d.Time.Add(time.Second)
		msg := keep(t, s, d)
		got := publisher.ReadDeadLetter(msg.Subject, msg.Header, msg.Data)
		if len(got.Data) != c.kept || !strings.HasPrefix(string(d.Data), string(got.Data)) || len(got.Header) != 0 || got.Code != d.Code {
			t.Errorf("%s: %d bytes are kept of %d, with %d headers and the code %q", name, len(got.Data), c.size, len(got.Header), got.Code)
		}
		_, err := newPublisher(t, s.Connect(t)).Replay(within(t, patience), got, "again")
		if cut := c.kept < c.size; cut {
			if got.Size != c.size || got.Whole() == nil || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("only the first %d of the message's %d bytes", c.kept, c.size)) {
				t.Errorf("%s: the size is %d, and the replay %v", name, got.Size, err)
			}
		} else if got.Size != 0 || got.Whole() != nil || err != nil {
			t.Errorf("%s: the size is %d, and the replay %v", name, got.Size, err)
		}
	}
}
