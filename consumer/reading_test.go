package consumer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// deliveries returns deliveries that were received a minute ago, and a function that returns
// their acknowledgements since the last call.
func deliveries(t *testing.T, number int) (all []*delivery, heard func() []string) {
	t.Helper()
	nc := natstest.StartBare(t).Connect(t)
	messages, err := nc.SubscribeSync("request")
	if err != nil {
		t.Fatal(err)
	}
	acks, err := nc.SubscribeSync("ack.*")
	if err != nil {
		t.Fatal(err)
	}
	next := func(sub *nats.Subscription) *nats.Msg {
		msg, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	for i := range number {
		if err := nc.PublishRequest("request", fmt.Sprint("ack.", i+1), nil); err != nil {
			t.Fatal(err)
		}
		d := newDelivery(next(messages), uint64(i+1), time.Now(), 1)
		d.received = time.Now().Add(-time.Minute)
		all = append(all, d)
	}
	return all, func() (got []string) {
		if err := nc.PublishMsg(&nats.Msg{Subject: "ack.end"}); err != nil {
			t.Fatal(err)
		}
		for msg := next(acks); msg.Subject != "ack.end"; msg = next(acks) {
			got = append(got, msg.Subject+" "+string(msg.Data))
		}
		slices.Sort(got)
		return got
	}
}

// A delivery that is still being decoded is kept alive: on a busy machine decoding may take
// longer than the acknowledgement wait, and a redelivery would have to be decoded too.
func TestInFlight_ADeliveryThatIsDecodedIsInProgress(t *testing.T) {
	t.Parallel()
	all, heard := deliveries(t, 1)
	w := newInFlight()
	done := w.read(all[0])
	w.progress(30 * time.Second) // reported
	w.progress(30 * time.Second) // not again
	done()
	w.progress(0) // not reported again
	if got := heard(); !slices.Equal(got, []string{"ack.1 +WPI"}) {
		t.Errorf("the server heard %q, want one +WPI", got)
	}
}

// Every delivery of a request in flight is kept alive: the server would redeliver the others.
func TestInFlight_EveryDeliveryOfARequestIsInProgress(t *testing.T) {
	t.Parallel()
	all, heard := deliveries(t, 3)
	w, req := newInFlight(), &request{key: publisher.NewKey("test", "r")}
	for i, d := range all {
		if first := w.enter(req, d); first != (i == 0) {
			t.Errorf("delivery %d begins the work: %t", i, first)
		}
	}
	w.progress(30 * time.Second)
	w.progress(30 * time.Second)
	if attached := w.leave(req.key, all[0]); len(attached) != 2 {
		t.Errorf("%d deliveries have joined, want 2", len(attached))
	}
	w.progress(0)
	if got := heard(); !slices.Equal(got, []string{"ack.1 +WPI", "ack.2 +WPI", "ack.3 +WPI"}) {
		t.Errorf("the server heard %q, want one +WPI of each", got)
	}
}
