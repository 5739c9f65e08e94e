package consumer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer"
)

func TestForgets(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*jetstream.StreamConfig)
		says   string // "" when nothing is forgotten
	}{
		"as shipped":                    {func(*jetstream.StreamConfig) {}, ""},
		"the shortest age":              {func(c *jetstream.StreamConfig) { c.MaxAge = consumer.ShortestAge }, ""},
		"a shorter age":                 {func(c *jetstream.StreamConfig) { c.MaxAge = consumer.ShortestAge - time.Second }, "max_age 47h59m59s"},
		"no age":                        {func(c *jetstream.StreamConfig) { c.MaxAge = 0 }, ""},
		"messages":                      {func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 << 40 }, "max_msgs 1"},
		"messages, the new one refused": {func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 5, jetstream.DiscardNew }, ""},
		"bytes":                         {func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 40 }, "max_bytes 1"},
		"bytes, the new one refused":    {func(c *jetstream.StreamConfig) { c.MaxBytes, c.Discard = 5, jetstream.DiscardNew }, ""},
		"messages of a subject":         {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.Discard = 1, jetstream.DiscardNew }, "max_msgs_per_subject 1"},
		"what was read":                 {func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, "retention"},
	} {
		cfg := jetstream.StreamConfig{MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxAge: 90 * 24 * time.Hour}
		c.change(&cfg)
		if err := consumer.Forgets(cfg); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}
