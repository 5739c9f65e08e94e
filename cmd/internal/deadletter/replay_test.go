package deadletter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/operator"
	"backhaul/publisher"
	"backhaul/schemas"
)

func TestReplay(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	number := d.keep()
	plan, err := d.replay(number, nil)
	if err != nil || plan.RequestID != "inv-7-replay-1" || plan.Repeated {
		t.Fatalf("%+v, %v", plan, err)
	}
	s, _ := d.js.Stream(t.Context(), publisher.RequestsStream)
	msg, err := s.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if msg.Subject != "backup.request.billing" || string(msg.Data) != payload || msg.Header.Get("X-Team") != "billing" ||
		msg.Header.Get(schemas.HeaderReplayOf) != "billing/inv-7" || msg.Header.Get(schemas.HeaderRequestID) != "inv-7-replay-1" || msg.Header.Get(nats.MsgIdHdr) != "" {
		t.Errorf("sent on %s: %s %v", msg.Subject, msg.Data, msg.Header)
	}
	events := d.operatorEvents()
	if len(events) != 1 || events[0].Actor != ann.Actor || events[0].Reason != ann.Reason || events[0].At.IsZero() ||
		events[0].DeadLetter.Sequence != number || events[0].Replay.RequestID != plan.RequestID || events[0].Replay.Corrected || events[0].Replay.Forced {
		t.Fatalf("on record: %+v", events)
	}

	// Without an outcome the same replay is sent again, asked for or not.
	for _, again := range []bool{false, true} {
		plan, err = d.replay(number, func(o *Order) { o.Again = again })
		if err != nil || !plan.Repeated || plan.RequestID != "inv-7-replay-1" {
			t.Errorf("once more: %+v, %v", plan, err)
		}
	}
	if sent, events := d.count(publisher.RequestsStream), len(d.operatorEvents()); sent != 3 || events != 1 {
		t.Errorf("%d requests and %d events, want the same request three times and one event", sent, events)
	}

	d.outcome(plan, &schemas.JobStarted{Naming: schemas.Naming{ReplayOf: "billing/inv-7"}, JobID: "5976"})
	_, err = d.replay(number, nil)
	if before, ok := errors.AsType[*ReplayedError](err); !ok || before.Replay.Last.Kind() != schemas.KindJobStarted {
		t.Errorf("a replay with an outcome: %v", err)
	}
	if plan, err = d.replay(number, func(o *Order) { o.Again = true }); err != nil || plan.RequestID != "inv-7-replay-1-2" {
		t.Errorf("again: %+v, %v", plan, err)
	}
	deadLetters, _, err := d.List(t.Context(), Filter{})
	if err != nil || len(deadLetters) != 1 || len(deadLetters[0].Replays) != 2 || !deadLetters[0].Replays[0].Done() || deadLetters[0].Replays[1].Done() {
		t.Errorf("listed as %+v, %v", deadLetters, err)
	}
	// A dead letter of a list can be replayed as well.
	if plan, err := d.Replay(t.Context(), deadLetters[0], Order{By: ann}); err != nil || !plan.Repeated {
		t.Errorf("from a list: %+v, %v", plan, err)
	}
}

// A crash between the record and the request: neither lies, and one more replay
// makes good for it.
func TestStore_ReplayAfterACrash(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	l := d.get(d.keep())
	plan, err := l.Plan(Order{By: ann})
	if err != nil {
		t.Fatal(err)
	}
	plan.event.At = time.Now().UTC()
	if err := d.pub.Operator(t.Context(), plan.event); err != nil { // and dies
		t.Fatal(err)
	}
	if l = d.get(l.Number); len(l.Replays) != 1 || l.Replays[0].Last != nil {
		t.Fatalf("the dead letter says %+v, want a replay without an event", l.Replays)
	}
	if plan, err = d.Replay(t.Context(), l, Order{By: operator.By{Actor: "bob@ops"}}); err != nil || !plan.Repeated {
		t.Fatalf("%+v, %v", plan, err)
	}
	if sent, events := d.count(publisher.RequestsStream), d.operatorEvents(); sent != 1 || len(events) != 1 || events[0].Actor != ann.Actor {
		t.Errorf("%d requests and %+v, want one request and one event", sent, events)
	}
}

// A crash before the record has no effect, and a request that cannot be
// published is not forgotten.
func TestStore_ReplayThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	l := d.get(d.keep())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Replay(gone, l, Order{By: ann}); err == nil || d.count(publisher.RequestsStream) != 0 {
		t.Errorf("without a context: %v, %d requests", err, d.count(publisher.RequestsStream))
	}
	if err := d.js.DeleteStream(t.Context(), publisher.EventsStream); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Replay(t.Context(), l, Order{By: ann}); err == nil || d.count(publisher.RequestsStream) != 0 {
		t.Errorf("without a record: %v, %d requests", err, d.count(publisher.RequestsStream))
	}
	if err := d.Drop(t.Context(), l, ann); err == nil || d.count(publisher.DeadLetterStream) != 1 {
		t.Errorf("dropped without a record: %v", err)
	}
	if _, err := d.Replay(t.Context(), l, Order{}); err == nil || !strings.Contains(err.Error(), "who acts") {
		t.Errorf("nobody replays: %v", err)
	}
}

func TestMessage_PlanRefuses(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for name, test := range map[string]struct {
		deadLetter func(*publisher.DeadLetter)
		payload    string
		refused    string // part of the reason, "" if it is sent
		forcible   bool
	}{
		"invalid":         {func(l *publisher.DeadLetter) { l.Data = []byte(`{"clientName":"c"}`) }, "", "/subclientName", true},
		"invalid, mended": {func(l *publisher.DeadLetter) { l.Data = []byte(`{"clientName":"c"}`) }, payload, "", false},
		"invalid, worse":  {func(l *publisher.DeadLetter) { l.Data = []byte(`{"clientName":"c"}`) }, `{"x":1}`, "not a request either", true},
		"an event, mended": {func(l *publisher.DeadLetter) {
			l.Header = schemas.Header{"Content-Type": {"application/cloudevents+json"}}
		}, payload, "", false},
		"expired": {func(l *publisher.DeadLetter) {
			l.Data = []byte(strings.Replace(payload, "{", `{"notAfter":"2020-01-01T00:00:00Z",`, 1))
		}, "", "notAfter", true},
		"expired, mended":   {func(l *publisher.DeadLetter) { l.Code = schemas.CodeExpired }, payload, "", false},
		"unknown":           {func(l *publisher.DeadLetter) { l.Code = schemas.CodeOutcomeUnknown }, "", "another", true},
		"unknown, mended":   {func(l *publisher.DeadLetter) { l.Code = schemas.CodeOutcomeUnknown }, payload, "another", true},
		"no source":         {func(l *publisher.DeadLetter) { l.Subject = "backup.request.*"; l.Key.Source = publisher.NoSource }, "", "backhaul request", false},
		"another's subject": {func(l *publisher.DeadLetter) { l.Subject = "backup.request.storage" }, "", "backhaul request", false},
		"no key":            {func(l *publisher.DeadLetter) { l.Key.Name = "" }, "", "which request", false},
		"id reused":         {func(l *publisher.DeadLetter) { l.Code = string(schemas.KindRequestRejected) }, "", "", false},
	} {
		number := d.keep(test.deadLetter)
		order := func(force bool) func(*Order) {
			return func(o *Order) {
				o.Force = force
				if test.payload != "" {
					o.Payload = []byte(test.payload)
				}
			}
		}
		plan, err := d.replay(number, order(false))
		if test.refused == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		refused, ok := errors.AsType[*RefusedError](err)
		if !ok || !strings.Contains(refused.Why, test.refused) || refused.Forcible != test.forcible {
			t.Errorf("%s: %+v, %v; want a refusal with %q", name, plan, err, test.refused)
		}
		plan, err = d.replay(number, order(true))
		if (err == nil) != test.forcible || err == nil && !plan.event.Replay.Forced {
			t.Errorf("%s, forced: %+v, %v", name, plan.event.Replay, err)
		}
	}
	part := d.get(d.keep())
	part.Size = 10_000
	if plan, err := part.Plan(Order{By: ann, Force: true}); err == nil || !strings.Contains(err.Error(), "were kept") {
		t.Errorf("a message of which a part was kept: %+v, %v", plan, err)
	}
	if _, err := part.Plan(Order{By: ann, Payload: []byte(payload)}); err != nil {
		t.Errorf("it is corrected: %v", err)
	}
	for _, e := range d.operatorEvents() {
		if e.Replay.Forced && e.Replay.MessageHash == schemas.HashBytes([]byte(payload)) && e.DeadLetter.ErrorCode == "587207178" {
			t.Errorf("forced without need: %+v", e)
		}
	}
}

// Another payload while the last one has no outcome would be the same id with
// other content.
func TestMessage_PlanOfAnotherPayload(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	number := d.keep()
	if _, err := d.replay(number, nil); err != nil {
		t.Fatal(err)
	}
	other := []byte(strings.Replace(payload, "home", "work", 1))
	plan, err := d.replay(number, func(o *Order) { o.Payload = other })
	if _, refused := errors.AsType[*RefusedError](err); !refused {
		t.Errorf("%+v, %v", plan, err)
	}
	if plan, err = d.replay(number, func(o *Order) { o.Payload, o.Again = other, true }); err != nil || plan.RequestID != "inv-7-replay-1-2" || !plan.event.Replay.Corrected {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestReplayID(t *testing.T) {
	t.Parallel()
	at := time.Unix(1764000000, 5)
	replayed := schemas.Header{schemas.HeaderReplayOf: {"billing/inv-7"}}
	for name, test := range map[string]struct {
		deadLetter publisher.DeadLetter
		number     uint64
		nth        int
		want       string
	}{
		"the first":                            {publisher.DeadLetter{RequestID: "inv-7"}, 12, 1, "inv-7-replay-12"},
		"the third":                            {publisher.DeadLetter{RequestID: "inv-7"}, 12, 3, "inv-7-replay-12-3"},
		"of a replay":                          {publisher.DeadLetter{RequestID: "inv-7-replay-12-3", Header: replayed}, 13, 1, "inv-7-replay-13"},
		"only named so":                        {publisher.DeadLetter{RequestID: "inv-7-replay-12"}, 13, 1, "inv-7-replay-12-replay-13"},
		"without an id":                        {publisher.DeadLetter{RequestID: publisher.SequenceKey("", 17, at).Name, Sequence: 17, Time: at}, 3, 1, "message-17-1764000000-replay-3"},
		"of an earlier version, without an id": {publisher.DeadLetter{RequestID: "seq-17", Sequence: 17, Time: at}, 3, 1, "message-17-1764000000-replay-3"},
		"an id of spaces":                      {publisher.DeadLetter{RequestID: " ", Sequence: 17, Time: at}, 3, 1, "message-17-1764000000-replay-3"},
		"spaces around it":                     {publisher.DeadLetter{RequestID: " a b "}, 3, 1, "a b-replay-3"},
		"a long one":                           {publisher.DeadLetter{RequestID: strings.Repeat("x", 256)}, 3, 1, strings.Repeat("x", 247) + "-replay-3"},
		"not in ASCII":                         {publisher.DeadLetter{RequestID: "größe", Key: publisher.Key{Source: "s", Name: "sha256-ab"}}, 3, 1, "sha256-ab-replay-3"},
	} {
		got := replayID(rootID(test.deadLetter), test.number, test.nth)
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if _, err := schemas.DecodeRequest(schemas.Header{schemas.HeaderRequestID: {got}}, []byte(payload)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A replay that is on record is repeated under its own id, also when a version before
// this one chose it in another way.
func TestMessage_PlanRepeatsTheRecordedID(t *testing.T) {
	t.Parallel()
	key := publisher.NewKey("billing", "größe")
	l := Message{Number: 3, DeadLetter: publisher.DeadLetter{
		Subject: "backup.request.billing", Key: key, RequestID: "größe", Code: schemas.CodeNotAllowed, Data: []byte(payload),
	}}
	l.root = rootID(l.DeadLetter)
	l.Replays = []Replay{{DeadLetterReplay: schemas.DeadLetterReplay{
		RequestID: "größe-replay-3", Number: 1, MessageHash: schemas.HashBytes(l.Data),
	}}}
	plan, err := l.Plan(Order{})
	if err != nil || !plan.Repeated || plan.RequestID != "größe-replay-3" || plan.Key != publisher.NewKey("billing", "größe-replay-3") {
		t.Errorf("%+v, %v", plan, err)
	}
}
