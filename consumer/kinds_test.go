package consumer_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/schemas/schemastest"
	"backhaul/vendorapi/simulator"
)

// The kind of the last event of a request decides about a new delivery of it: a claim of another
// owner makes it wait, every other kind settles it. Nothing is sent in either case. A new
// kind needs a line here.
func TestLedger_everyKindOfLastEvent(t *testing.T) {
	t.Parallel()
	waits := map[schemas.Kind]bool{
		schemas.KindJobSubmitting: true, schemas.KindJobStarted: false, schemas.KindJobFailed: false, schemas.KindRequestRejected: false,
	}
	b := newRig(t, simulator.Config{})
	waiting, written := 0, 0
	for _, kind := range schemas.Kinds {
		if kind.PerJob() {
			continue // its subject is outside of the key's filter
		}
		wait, decided := waits[kind]
		if !decided {
			t.Errorf("say here what the ledger makes of a last event of the kind %s", kind)
		}
		for i, example := range schemastest.Events(t, kind) {
			key := billing(fmt.Sprintf("%s-%d", kind, i))
			m, err := schemas.DecodeRequest(nil, []byte(body(key.Name)))
			if err != nil {
				t.Fatal(err)
			}
			members := make(map[string]any)
			if err := json.Unmarshal(schemas.EncodeEvent(example), &members); err != nil {
				t.Fatal(err)
			}
			members["payloadHash"], members["requestId"] = m.Request.Hash(), key.Name
			if wait {
				members["leaseMillis"] = time.Hour.Milliseconds()
				waiting++
			}
			data, err := json.Marshal(members)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.js.PublishMsg(b.within(patience), &nats.Msg{Subject: key.Subject(kind), Header: eventHeader(key, kind), Data: data}); err != nil {
				t.Fatal(err)
			}
			written++
			b.publish("billing", body(key.Name))
		}
	}
	w := b.start()
	b.eventually("every request with an outcome is settled", func() bool { return b.queued() == uint64(waiting) })
	w.drain()
	if account := b.sim.Account(); account.CreateTaskCalls != 0 {
		t.Errorf("%d calls of CreateTask, want none", account.CreateTaskCalls)
	}
	if stored := b.stored(publisher.EventsStream, "backup.event.*.*.*"); len(stored) != written {
		t.Errorf("%d events are stored, want the %d of the test", len(stored), written)
	}
}
