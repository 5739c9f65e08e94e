package publisher_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// A dead letter is read as it was written.
func TestReadDeadLetter(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	d := deadLetter()
	d.Data = []byte("\x00\xff{not JSON\r\n")
	d.Header = schemas.Header{
		"Content-Type": {"text/plain"}, "X-Several": {"one", "two"}, nats.MsgIdHdr: {"their-id"}, "nats-rollup": {"all"},
		"Status": {"409"}, "backhaul-dlq-code": {"forged"}, "Backhaul-Request-Id": {"r"},
	}
	msg := keep(t, s, d)
	if got := publisher.ReadDeadLetter(msg.Subject, msg.Header, msg.Data); !reflect.DeepEqual(got, d) {
		t.Errorf("read again it is\n%+v, want\n%+v", got, d)
	}
	// No other client writes there, but it must not crash us.
	strange := publisher.ReadDeadLetter("backup.dlq.x", nats.Header{publisher.HeaderDeadLetterSequence: {"many"}, publisher.HeaderDeadLetterTime: {"now"}}, nil)
	if strange.Sequence != 0 || !strange.Time.IsZero() || strange.Key.Source != "x" {
		t.Errorf("a dead letter that is none is %+v", strange)
	}
}

func TestReplay_isTheOriginalUnderANewID(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	d := deadLetter()
	d.Data = []byte("\x00\xff{not JSON\r\n")
	d.Header = schemas.Header{
		"Content-Type": {"text/plain"}, "X-Several": {"one", "two"}, "Status": {"409"}, "traceparent": {"tp"},
		nats.MsgIdHdr: {"their-id"}, "nats-rollup": {"all"}, "NATS-Expected-Stream": {"OTHER"}, "Nats-Expected-Last-Sequence": {"999"}, "Nats-TTL": {"1s"},
		"backhaul-request-id": {"inv-7"}, "Backhaul-Replay-Of": {"billing/inv-0"}, "no client's": {"x"},
	}
	p := newPublisher(t, s.Connect(t))
	for range 2 { // a double click
		if _, err := p.Replay(within(t, patience), d, "inv-7-replay-3"); err != nil {
			t.Fatal(err)
		}
	}
	msgs := stored(t, s, publisher.RequestsStream, ">")
	if len(msgs) != 2 {
		t.Fatalf("stored: %+v", msgs)
	}
	want := nats.Header{
		"Content-Type": {"text/plain"}, "X-Several": {"one", "two"}, "Status": {"409"}, "traceparent": {"tp"},
		"Backhaul-Request-Id": {"inv-7-replay-3"}, "Backhaul-Replay-Of": {"billing/inv-7"},
	}
	for _, msg := range msgs { // the same request for the service
		if msg.Subject != d.Subject || string(msg.Data) != string(d.Data) || !reflect.DeepEqual(msg.Header, want) {
			t.Errorf("stored on %s: %q with headers\n%v, want\n%v", msg.Subject, msg.Data, msg.Header, want)
		}
	}
}

func TestReplay_keepsTheSource(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	p := newPublisher(t, s.Connect(t))
	for _, subject := range []string{"", "backup.request.*", "backup.request.storage", "backup.event.job-started.billing.inv-7", "backup.request.a.b"} {
		d := deadLetter()
		d.Subject = subject
		if ack, err := p.Replay(within(t, patience), d, "r"); err == nil {
			t.Errorf("on %q: stored as %+v", subject, ack)
		}
	}
}

func TestOperator_storesOnce(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	p := newPublisher(t, s.Connect(t))
	e := schemas.OperatorEvent{
		Action: schemas.ActionPause, OperationID: "größe 1", Actor: "ann@ops", At: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC),
		Pause: schemas.QueuePause{Stream: publisher.RequestsStream, Consumer: publisher.RequestsConsumer, Until: time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)},
	}
	other := e
	other.OperationID = "2"
	for _, e := range []schemas.OperatorEvent{e, e, other} {
		if err := p.Operator(within(t, patience), e); err != nil {
			t.Fatal(err)
		}
	}
	msgs := stored(t, s, publisher.EventsStream, publisher.AnyOperator)
	if len(msgs) != 2 {
		t.Fatalf("%d events, want 2", len(msgs))
	}
	if got, err := schemas.DecodeOperatorEvent(msgs[0].Data); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("got %+v, %v", got, err)
	}
	if msgs[0].Subject != "backup.event.operator.pause" || msgs[0].Header.Get("ce-type") != "backhaul.operator.pause.v1" || msgs[0].Header.Get("ce-id") != "operator/pause/gr%C3%B6%C3%9Fe%201" {
		t.Errorf("stored on %s with %v", msgs[0].Subject, msgs[0].Header)
	}
}

// An operator's event is not part of a request's history, whatever the source's name.
func TestParseOperatorSubject(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	p := newPublisher(t, s.Connect(t))
	for _, action := range schemas.Actions {
		subject := publisher.OperatorSubject(action)
		if got, ok := publisher.ParseOperatorSubject(subject); !ok || got != action {
			t.Errorf("%s is read as %q, %v", subject, got, ok)
		}
		if _, _, _, err := publisher.ParseEventSubject(subject); err == nil {
			t.Errorf("%s is read as an event about a request", subject)
		}
		if err := p.Operator(within(t, patience), schemas.OperatorEvent{Action: action, OperationID: "x", Actor: "a"}); err != nil {
			t.Fatal(err)
		}
		for _, source := range []string{"operator", string(action)} {
			for _, filter := range []string{publisher.NewKey(source, string(action)).Filter(), publisher.EventFilter("", source), publisher.EventFilter("operator", "")} {
				if got := stored(t, s, publisher.EventsStream, filter); len(got) > 0 {
					t.Errorf("%s matches %s", filter, got[0].Subject)
				}
			}
		}
	}
	for _, subject := range []string{"backup.event.operator", "backup.event.operator.", "backup.event.operator.a.b", "backup.event.job-started.a.b"} {
		if action, ok := publisher.ParseOperatorSubject(subject); ok {
			t.Errorf("%s is read as %q", subject, action)
		}
	}
}
