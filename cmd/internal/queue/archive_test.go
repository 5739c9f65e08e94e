package queue

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
)

func TestLookAtArchive(t *testing.T) {
	t.Parallel()
	nc := natstest.StartBare(t).Connect(t)
	js := natstest.JetStream(t, nc)
	look := func(want string) {
		t.Helper()
		seen, err := LookAtArchive(t.Context(), js)
		if err != nil {
			t.Fatal(err)
		}
		got := "nil"
		if seen != nil {
			until := "nothing"
			if events, err := js.Stream(t.Context(), publisher.EventsStream); !seen.Until.IsZero() && err == nil {
				for sequence := uint64(1); sequence <= events.CachedInfo().State.LastSeq; sequence++ {
					if msg, err := events.GetMsg(t.Context(), sequence); err == nil && msg.Time.Equal(seen.Until) {
						until = fmt.Sprint("event ", sequence)
					}
				}
			}
			got = fmt.Sprintf("until %s, lag %d, read %t", until, seen.Lag, seen.Read)
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	look("nil")
	natstest.Provision(t, nc, func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if s != nil {
			s.DenyDelete, s.DenyPurge = false, false
		}
	})
	look("nil")
	natstest.ProvisionArchive(t, nc)
	look("until nothing, lag 0, read false")
	inbox, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+publisher.EventsStream+"."+publisher.ArchiverConsumer, inbox.Subject, []byte(`{"batch":1}`)); err != nil {
		t.Fatal(err)
	}
	look("until nothing, lag 0, read true") // it waits for events
	if err := inbox.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "end of the pull", func() bool {
		info, err := archiverInfo(t.Context(), js)
		return err == nil && info.NumWaiting == 0
	})
	for i := range 5 {
		if _, err := js.Publish(t.Context(), fmt.Sprintf("backup.event.job-failed.billing.r-%d", i), []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	look("until nothing, lag 5, read false")

	c, err := js.Consumer(t.Context(), publisher.EventsStream, publisher.ArchiverConsumer)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.Fetch(2)
	if err != nil {
		t.Fatal(err)
	}
	var last jetstream.Msg
	for msg := range batch.Messages() {
		last = msg
	}
	look("until nothing, lag 5, read false") // by a process that may be gone
	if err := last.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("until event 2, lag 3, read true")
	events, err := js.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Purge(t.Context(), jetstream.WithPurgeSequence(5)); err != nil {
		t.Fatal(err)
	}
	look("until nothing, lag 1, read true")
}
