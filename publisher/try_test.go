package publisher_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// A stream that refuses a message is reported with each try, and an error that does not concern the
// stream is not: a conflict, and a message that no stream would take.
func TestOnTry(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, func(cfg *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if cfg != nil && cfg.Name == publisher.EventsStream {
			cfg.Discard, cfg.MaxMsgs = jetstream.DiscardNew, 1
		}
	})
	var mu sync.Mutex
	var told []string
	ctx, stop := context.WithCancel(within(t, patience))
	p := newPublisher(t, s.Connect(t))
	p.OnTry(func(try publisher.Try) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf("%s %s %t", try.Stream, try.Kind, try.Err == nil))
		if len(told) == 4 { // the second refusal
			stop()
		}
	})
	key, other := publisher.NewKey("billing", "a"), publisher.NewKey("billing", "b")
	if err := p.DeadLetter(ctx, deadLetter()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Append(ctx, key, 0, failed(key, "one"), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Append(ctx, key, 0, failed(key, "conflict"), ""); err == nil {
		t.Fatal("the second first event is stored")
	}
	if _, err := p.Append(ctx, other, 0, failed(other, strings.Repeat("x", 2<<20)), ""); err == nil {
		t.Fatal("an event larger than max_payload is stored")
	}
	if _, err := p.Append(ctx, other, 0, failed(other, "two"), ""); err == nil || !strings.Contains(err.Error(), "maximum messages exceeded") {
		t.Errorf("%v, want what the stream said", err)
	}
	mu.Lock()
	defer mu.Unlock()
	refused := publisher.EventsStream + " " + string(schemas.KindJobFailed) + " false"
	want := []string{publisher.DeadLetterStream + "  true", publisher.EventsStream + "  true", refused, refused}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}

func TestFullness(t *testing.T) {
	state := func(discard jetstream.DiscardPolicy, messages, bytes int64) *jetstream.StreamInfo {
		return &jetstream.StreamInfo{
			Config: jetstream.StreamConfig{Discard: discard, MaxMsgs: messages, MaxBytes: bytes},
			State:  jetstream.StreamState{Msgs: 50, Bytes: 900},
		}
	}
	for name, c := range map[string]struct {
		info  *jetstream.StreamInfo
		share float64
		limit string
	}{
		"without limits":            {state(jetstream.DiscardNew, -1, -1), 0, ""},
		"that forgets":              {state(jetstream.DiscardOld, 50, 900), 0, ""},
		"messages":                  {state(jetstream.DiscardNew, 100, -1), 0.5, "50 of max_msgs 100"},
		"bytes":                     {state(jetstream.DiscardNew, -1, 1000), 0.9, "900 of max_bytes 1000"},
		"the nearer of two limits":  {state(jetstream.DiscardNew, 100, 1000), 0.9, "900 of max_bytes 1000"},
		"the other one":             {state(jetstream.DiscardNew, 50, 1000), 1, "50 of max_msgs 50"},
		"more than the limit holds": {state(jetstream.DiscardNew, 25, -1), 2, "50 of max_msgs 25"},
	} {
		if share, limit := publisher.Fullness(c.info); share != c.share || limit != c.limit {
			t.Errorf("%s: %v %q, want %v %q", name, share, limit, c.share, c.limit)
		}
	}
}
