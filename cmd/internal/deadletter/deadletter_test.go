package deadletter

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/operator"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// desk is a store with what is needed to fill it.
type desk struct {
	*Store
	t  *testing.T
	js jetstream.JetStream
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	store, err := New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &desk{Store: store, t: t, js: natstest.JetStream(t, nc)}
}

const payload = `{"requestId":"inv-7","clientName":"files","subclientName":"home"}`

var ann = operator.By{Actor: "ann@ops", Reason: "CHG-17"}

// keep puts a dead letter into the store, changed, and returns its number.
func (d *desk) keep(changes ...func(*publisher.DeadLetter)) uint64 {
	d.t.Helper()
	before := d.count(publisher.DeadLetterStream)
	deadLetter := publisher.DeadLetter{
		Subject: "backup.request.billing", Header: schemas.Header{"X-Team": {"billing"}, nats.MsgIdHdr: {"theirs"}}, Data: []byte(payload),
		Key: publisher.NewKey("billing", "inv-7"), RequestID: "inv-7", Sequence: before + 100, Time: time.Now().UTC(),
		Code: "587207178", Reason: "no eligible subclients",
	}
	for _, change := range changes {
		change(&deadLetter)
	}
	if err := d.pub.DeadLetter(d.t.Context(), deadLetter); err != nil {
		d.t.Fatal(err)
	}
	return d.last(publisher.DeadLetterStream)
}

func (d *desk) info(stream string) *jetstream.StreamInfo {
	d.t.Helper()
	s := natstest.Stream(d.t, d.js, stream)
	return s.CachedInfo()
}

func (d *desk) count(stream string) uint64 { return d.info(stream).State.Msgs }
func (d *desk) last(stream string) uint64  { return d.info(stream).State.LastSeq }

func (d *desk) get(number uint64) Message {
	d.t.Helper()
	l, err := d.Get(d.t.Context(), number)
	if err != nil {
		d.t.Fatal(err)
	}
	return l
}

func (d *desk) replay(number uint64, change func(*Order)) (Plan, error) {
	d.t.Helper()
	order := Order{By: ann}
	if change != nil {
		change(&order)
	}
	return d.Replay(d.t.Context(), d.get(number), order)
}

// outcome puts an event of the new request on record.
func (d *desk) outcome(p Plan, e schemas.Event) {
	d.t.Helper()
	if _, err := d.pub.Append(d.t.Context(), p.Key, 0, e, ""); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) operatorEvents() (all []schemas.OperatorEvent) {
	d.t.Helper()
	for _, msg := range natstest.Stored(d.t, d.js, publisher.EventsStream, publisher.AnyOperator) {
		e, err := schemas.DecodeOperatorEvent(msg.Data)
		if err != nil {
			d.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestStore_List(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if deadLetters, older, err := d.List(t.Context(), Filter{}); err != nil || len(deadLetters)+older != 0 {
		t.Fatalf("an empty store has %v, %d, %v", deadLetters, older, err)
	}
	d.keep()
	d.keep(func(l *publisher.DeadLetter) {
		l.Subject, l.Key, l.RequestID, l.Code = "backup.request.storage", publisher.NewKey("storage", "s-1"), "s-1", schemas.CodeInvalidRequest
		l.Data = []byte(`{"requestId":"s-1","clientName":"Files"}`)
	})
	middle := d.get(2).Kept
	d.keep(func(l *publisher.DeadLetter) {
		l.Data = []byte(`{"clientName":"mail","subclientName":"inbox"}`)
		l.Key, l.RequestID = publisher.NewKey("billing", "inv-8"), "inv-8"
	})
	for name, test := range map[string]struct {
		filter Filter
		want   []uint64
		older  int
	}{
		"all":            {Filter{}, []uint64{1, 2, 3}, 0},
		"source":         {Filter{Source: "storage"}, []uint64{2}, 0},
		"client":         {Filter{Client: "files"}, []uint64{1, 2}, 0}, // the vendor's names are not case-sensitive
		"content group":  {Filter{Subclient: "inbox"}, []uint64{3}, 0},
		"code":           {Filter{Code: schemas.CodeInvalidRequest}, []uint64{2}, 0},
		"log code":       {Filter{Code: "35:4618"}, []uint64{1, 3}, 0},
		"request id":     {Filter{RequestID: "inv-8"}, []uint64{3}, 0},
		"since":          {Filter{Since: middle}, []uint64{2, 3}, 0},
		"until":          {Filter{Until: middle}, []uint64{1, 2}, 0},
		"newest":         {Filter{Limit: 1}, []uint64{3}, 2},
		"both":           {Filter{Source: "billing", Client: "files"}, []uint64{1}, 0},
		"none":           {Filter{Source: "nobody"}, nil, 0},
		"newest of some": {Filter{Source: "billing", Limit: 1}, []uint64{3}, 1},
	} {
		deadLetters, older, err := d.List(t.Context(), test.filter)
		var got []uint64
		for _, l := range deadLetters {
			got = append(got, l.Number)
			if l.Data != nil || l.Header != nil {
				t.Errorf("%s: the list has the message of %d", name, l.Number)
			}
		}
		if err != nil || !reflect.DeepEqual(got, test.want) || older != test.older {
			t.Errorf("%s: %v and %d older, %v; want %v and %d", name, got, older, err, test.want, test.older)
		}
	}
	if invalid := d.get(2); invalid.Invalid == nil || invalid.Request.ClientName != "Files" {
		t.Errorf("what could be read of an invalid request: %+v, %v", invalid.Request, invalid.Invalid)
	}
	if _, err := d.Get(t.Context(), 99); !strings.Contains(fmt.Sprint(err), "99") {
		t.Errorf("no such dead letter: %v", err)
	}
}

func TestStore_Drop(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.get(d.keep())
	second := d.get(d.keep())
	if err := d.Drop(t.Context(), first, operator.By{}); err == nil || !strings.Contains(err.Error(), "who acts") || d.count(publisher.DeadLetterStream) != 2 {
		t.Errorf("nobody drops: %v", err)
	}
	if err := d.Drop(t.Context(), first, ann); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(t.Context(), first.Number); err == nil {
		t.Error("it is still there")
	}
	if events := d.operatorEvents(); len(events) != 1 || events[0].Action != schemas.ActionDeadLetterDrop || events[0].DeadLetter != first.ref() {
		t.Errorf("on record: %+v", events)
	}
	if err := d.Drop(t.Context(), first, ann); !strings.Contains(fmt.Sprint(err), "no dead letter 1") {
		t.Errorf("a second time: %v", err)
	}
	// A list from before the stream was created again.
	stale := second
	stale.Kept = stale.Kept.Add(-time.Hour)
	if err := d.Drop(t.Context(), stale, ann); err == nil || d.count(publisher.DeadLetterStream) != 1 {
		t.Errorf("another dead letter in its place was dropped: %v", err)
	}
	if _, err := d.Replay(t.Context(), stale, Order{By: ann}); err == nil {
		t.Error("another dead letter in its place was replayed")
	}
}
