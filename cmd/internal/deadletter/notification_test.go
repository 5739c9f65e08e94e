package deadletter

import (
	"errors"
	"strings"
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

const notification = `{"EventName":"s3:ObjectCreated:Put","Key":"a/k","Records":[{"eventVersion":"2.0","eventSource":"minio:s3","eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"a"},"object":{"key":"k"}}}]}`

// notified is a change of a dead letter to that of a storage notification.
func notified(data string) func(*publisher.DeadLetter) {
	return func(l *publisher.DeadLetter) {
		l.Subject, l.Header, l.Data = "storage.event.minio", nil, []byte(data)
		l.Key, l.RequestID, l.Stream, l.Code = publisher.Key{Source: "storage"}, "", publisher.StorageStream, schemas.CodeInvalidRequest
	}
}

// A notification goes back to its subject, once for each time that it is asked for.
func TestReplay_putsNotificationsBack(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	natstest.ProvisionTrigger(t, d.js.Conn())
	number := d.keep(notified(notification))
	d.keep()
	for round, repeated := range []bool{false, true} {
		plan, err := d.replay(number, nil)
		if err != nil || plan.PutBackOn != "storage.event.minio" || plan.Repeated != repeated {
			t.Fatalf("round %d: %+v, %v", round, plan, err)
		}
	}
	if stored := natstest.Stored(t, d.js, publisher.StorageStream, ">"); len(stored) != 1 || string(stored[0].Data) != notification {
		t.Errorf("stored: %+v", stored)
	}
	if n := d.count(publisher.RequestsStream); n != 0 {
		t.Errorf("%d requests", n)
	}
	events := d.operatorEvents()
	if len(events) != 1 || events[0].DeadLetter.Sequence != number || events[0].Replay.Number != 1 || events[0].Actor != ann.Actor {
		t.Errorf("on record: %+v", events)
	}

	l := d.get(number)
	if l.Replayed() {
		t.Error("it counts as put back at once: its first time may have ended before it was published")
	}
	l.Replays[0].At = time.Now().Add(-2 * recentPutBack)
	if _, err := l.Plan(Order{By: ann}); !l.Replayed() || !isPutBack(err) {
		t.Errorf("later: %v", err)
	}
	if plan, err := l.Plan(Order{By: ann, Again: true}); err != nil || plan.Repeated || plan.event.Replay.Number != 2 {
		t.Errorf("again: %+v, %v", plan, err)
	}

	found, _, err := d.List(t.Context(), Filter{Subject: "storage.event.>"})
	if err != nil || len(found) != 1 || found[0].Number != number || !found[0].Notification() {
		t.Errorf("listed: %+v, %v", found, err)
	}
}

func isPutBack(err error) bool {
	_, ok := errors.AsType[*PutBackError](err)
	return ok
}

// What this version does not understand is refused, unless it is forced or corrected.
func TestReplay_refusesNotifications(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	natstest.ProvisionTrigger(t, d.js.Conn())
	number := d.keep(notified("{}"))
	_, err := d.replay(number, nil)
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || !refused.Forcible || !strings.Contains(refused.Why, "does not understand it either") {
		t.Errorf("got %v", err)
	}
	for name, change := range map[string]func(*Order){
		"forced": func(o *Order) { o.Force = true }, "corrected": func(o *Order) { o.Payload = []byte(notification) },
	} {
		plan, err := d.get(d.keep(notified("{}"))).planPutBackFor(change)
		if err != nil || plan.event.Replay.Forced != (name == "forced") || plan.event.Replay.Corrected != (name == "corrected") {
			t.Errorf("%s: %+v, %v", name, plan, err)
		}
	}
	short := d.get(d.keep(notified(notification)))
	short.Size = 10_000
	if _, err := short.Plan(Order{By: ann, Force: true}); err == nil || !strings.Contains(err.Error(), "were kept") {
		t.Errorf("half of it: %v", err)
	}
}

func (l Message) planPutBackFor(change func(*Order)) (Plan, error) {
	o := Order{By: ann}
	change(&o)
	return l.Plan(o)
}
