package provision

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher/natstest"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	empty := natstest.JetStream(t, natstest.StartBare(t).Connect(t))
	all, err := Compare(t.Context(), empty)
	if err != nil || len(all) != 4 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, one := range all {
		if !one.Missing {
			t.Errorf("%s is there", one.Name)
		}
	}
	if names := empty.StreamNames(t.Context()); len(names.Name()) != 0 {
		t.Error("a comparison has made a stream")
	}

	shipped := natstest.JetStream(t, natstest.Start(t).Connect(t))
	if all, err = Compare(t.Context(), shipped); err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if one.Missing || len(one.Differences) > 0 {
			t.Errorf("as shipped: %+v", one)
		}
	}

	changed := natstest.JetStream(t, natstest.Start(t, func(s *jetstream.StreamConfig, c *jetstream.ConsumerConfig) {
		if s != nil && s.Name == "BACKUP_EVENTS" {
			s.MaxAge, s.AllowDirect = time.Hour, true
		}
		if s != nil && s.Name == "BACKUP_DLQ" {
			s.DenyDelete, s.AllowDirect = true, true
		}
		if c != nil {
			c.AckWait, c.MaxDeliver = time.Minute, 3
		}
	}).Connect(t))
	if all, err = Compare(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range all {
		for _, d := range one.Differences {
			got = append(got, d.String())
		}
	}
	const want = `stream BACKUP_DLQ: deny_delete is true, is shipped as false
stream BACKUP_EVENTS: max_age is 1h0m0s, must be 2160h0m0s
stream BACKUP_EVENTS: allow_direct is true, must be false
consumer BACKUP_REQUESTS/backhaul: max_deliver is 3, must be -1
consumer BACKUP_REQUESTS/backhaul: ack_wait is 1m0s, is shipped as 2s`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

// The trigger's one open pull, by which a replica knows that another reads.
func TestCompareTheTrigger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		waiting int
		want    string
	}{
		{1, ""},
		{512, "consumer STORAGE_EVENTS/trigger: max_waiting is 512, is shipped as 1"},
	} {
		nc := natstest.StartBare(t).Connect(t)
		natstest.ProvisionTrigger(t, nc, func(_ *jetstream.StreamConfig, durable *jetstream.ConsumerConfig) {
			if durable != nil {
				durable.MaxWaiting = c.waiting
			}
		})
		js := natstest.JetStream(t, nc)
		all, err := CompareTrigger(t.Context(), js)
		if err != nil || len(all) != 3 {
			t.Fatalf("%+v, %v", all, err)
		}
		var got []string
		for _, one := range all {
			for _, d := range one.Differences {
				got = append(got, d.String())
			}
		}
		if text := strings.Join(got, "\n"); text != c.want {
			t.Errorf("got\n%s\nwant\n%s", text, c.want)
		}
		if _, err := ApplyTrigger(t.Context(), js, 1, false); err != nil {
			t.Errorf("max_waiting %d: %v", c.waiting, err)
		}
	}
}
