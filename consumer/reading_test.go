package consumer

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher/natstest"
)

// The server hears of a delivery that is still being decoded: on a busy machine that may
// take longer than the acknowledgement wait, and a redelivery would be one more to decode.
func TestInWork_ADeliveryThatIsDecodedIsInProgress(t *testing.T) {
	t.Parallel()
	nc := natstest.StartBare(t).Connect(t)
	messages, err := nc.SubscribeSync("request")
	if err != nil {
		t.Fatal(err)
	}
	acks, err := nc.SubscribeSync("ack")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("request", "ack", nil); err != nil {
		t.Fatal(err)
	}
	msg, err := messages.NextMsg(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	d := newDelivery(msg, 1, time.Now(), 1)
	d.received = time.Now().Add(-time.Minute)

	w := newInWork()
	done := w.read(d)
	w.progress(30 * time.Second) // told of
	w.progress(30 * time.Second) // not again
	done()
	w.progress(0) // no more
	if err := nc.PublishMsg(&nats.Msg{Subject: "ack", Data: []byte("end")}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) == 0 || got[len(got)-1] != "end" {
		msg, err := acks.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(msg.Data))
	}
	if len(got) != 2 || got[0] != "+WPI" {
		t.Errorf("the server heard %q, want one +WPI and the end", got)
	}
}
