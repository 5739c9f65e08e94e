package publisher_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// Foreign messages among the events hide none of them, wherever they
// are.
func TestLastEvent(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js, pub := natstest.JetStream(t, nc), newPublisher(t, nc)
	ctx := within(t, patience)
	events := natstest.Stream(t, js, publisher.EventsStream)
	intrude := func(subject string, header nats.Header) uint64 {
		ack, err := js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: header, Data: []byte(`{"stream":"BACKUP_REQUESTS","seq":1}`)})
		if err != nil {
			t.Fatal(err)
		}
		return ack.Sequence
	}
	for name, places := range map[string]string{ // e an event, k one of an unknown kind, x something else
		"nothing": "", "event": "e", "other": "x", "others": "xx",
		"before": "xe", "behind": "ex", "around": "xexx", "kind": "k", "kind-behind": "ekx", "two": "eexx",
	} {
		key, want, end := publisher.NewKey("billing", name), uint64(0), uint64(0)
		for _, place := range places {
			switch place {
			case 'x':
				end = intrude(key.Subject(schemas.KindJobFailed), nil)
				continue
			case 'k':
				end = intrude(key.Subject("no-such-kind"), nats.Header{"ce-id": {key.EventID("no-such-kind")}})
				continue
			}
			var err error
			if end, err = pub.Append(ctx, key, end, failed(key, "refused"), ""); err != nil {
				t.Fatal(err)
			}
			want = end
		}
		event, last, err := publisher.LastEvent(ctx, events, key.Filter())
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case (last == nil) != (end == 0), last != nil && last.Sequence != end:
			t.Errorf("%s: the last message is %v, want %d", name, last, end)
		case (event == nil) != (want == 0), event != nil && event.Sequence != want:
			t.Errorf("%s: the last event is %v, want %d", name, event, want)
		}
		if event == nil {
			continue
		}
		got, read, err := publisher.ReadEvent(event.Subject, event.Header, event.Data)
		if err != nil || got != key || read.Kind() != schemas.KindJobFailed {
			t.Errorf("%s: read %v %v, %v", name, got, read, err)
		}
	}
}

func TestReadEvent_refuses(t *testing.T) {
	key := publisher.NewKey("billing", "r-1")
	own := nats.Header{"Ce-Id": {key.EventID(schemas.KindJobFailed)}}
	for name, message := range map[string]struct {
		subject string
		header  nats.Header
		data    string
	}{
		"an answer":       {key.Subject(schemas.KindJobFailed), nil, `{"stream":"BACKUP_REQUESTS","seq":1}`},
		"another kind":    {key.Subject(schemas.KindJobStarted), own, `{}`},
		"another key":     {publisher.NewKey("billing", "r-2").Subject(schemas.KindJobFailed), own, `{}`},
		"unknown kind":    {key.Subject("no-such-kind"), nats.Header{"Ce-Id": {key.EventID("no-such-kind")}}, `{}`},
		"another subject": {publisher.OperatorSubject("pause"), own, `{}`},
		"no JSON":         {key.Subject(schemas.KindJobFailed), own, `{`},
	} {
		if _, e, err := publisher.ReadEvent(message.subject, message.header, []byte(message.data)); err == nil {
			t.Errorf("%s: is read as %+v", name, e)
		}
	}
	if _, _, err := publisher.ReadEvent(key.Subject(schemas.KindJobFailed), own, []byte(`{}`)); err != nil {
		t.Error(err)
	}
}
