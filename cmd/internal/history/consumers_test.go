package history

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// A consumer with several filters makes the server look at every subject of the stream.
func TestRead_oneFilterForEachConsumer(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	key := publisher.NewKey("billing", "r-1")
	started := &schemas.JobStarted{Naming: schemas.Naming{RequestID: "r-1", Source: "billing"}, JobID: "1"}
	if _, err := rig.pub.Append(t.Context(), key, 0, started, ""); err != nil {
		t.Fatal(err)
	}
	nc := rig.js.Conn()
	made, err := nc.SubscribeSync("$JS.API.CONSUMER.CREATE." + publisher.EventsStream + ".>")
	if err != nil {
		t.Fatal(err)
	}
	if h, err := (Found{Key: key}).Read(t.Context(), rig.js); err != nil || len(h.Steps) != 1 {
		t.Fatalf("%+v, %v", h, err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; ; n++ {
		msg, err := made.NextMsg(1)
		if errors.Is(err, nats.ErrTimeout) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var request struct{ Config jetstream.ConsumerConfig }
		if err := json.Unmarshal(msg.Data, &request); err != nil {
			t.Fatal(err)
		}
		if request.Config.FilterSubject == "" || len(request.Config.FilterSubjects) > 0 {
			t.Errorf("a consumer with the filters %q, %q", request.Config.FilterSubject, request.Config.FilterSubjects)
		}
	}
	if n == 0 {
		t.Error("no consumer was seen")
	}
}
