package provision

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

func TestApplyMakesWhatIsMissing(t *testing.T) {
	t.Parallel()
	js := natstest.JetStream(t, natstest.StartBare(t).Connect(t))

	if _, err := Apply(t.Context(), js, 1, false); err == nil || !strings.Contains(err.Error(), "backhaul setup") {
		t.Errorf("without permission to create: %v, want a way out", err)
	}
	var all sync.WaitGroup
	for range 3 { // replicas that start at the same time
		all.Go(func() {
			if _, err := Apply(t.Context(), js, 1, true); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	actions, err := Apply(t.Context(), js, 1, false)
	if err != nil || len(actions) != 4 {
		t.Fatalf("%v, %v: want three streams and a consumer", actions, err)
	}
	for _, action := range actions {
		if action.Created {
			t.Errorf("%s was made twice", action.Name)
		}
	}
}

// A stream that cannot be made keeps the others from being made, too.
func TestSetup_makesNothingWhenAnotherStreamHasASubject(t *testing.T) {
	t.Parallel()
	js := natstest.JetStream(t, natstest.StartBare(t).Connect(t))
	for name, subject := range map[string]string{"WIDE": "backup.dlq.>", "STORE": "storage.event.s3"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
			t.Fatal(err)
		}
	}
	for name, apply := range map[string]func() ([]Action, error){
		"Setup": func() ([]Action, error) { return Setup(t.Context(), js, 1, Parts{Trigger: true, Archive: true}) },
		"Apply": func() ([]Action, error) { return Apply(t.Context(), js, 1, true) },
	} {
		actions, err := apply()
		overlap, ok := errors.AsType[*OverlapError](err)
		if !ok || len(actions) > 0 || overlap.Overlaps[0] != (Overlap{publisher.DeadLetterStream, "backup.dlq.*", "WIDE"}) {
			t.Errorf("%s: %v, %v", name, actions, err)
			continue
		}
		if name == "Setup" && (len(overlap.Overlaps) != 2 || overlap.Overlaps[1].Other != "STORE") {
			t.Errorf("%s: %v, want both streams", name, err)
		}
	}
	for name := range js.StreamNames(t.Context()).Name() {
		if name != "WIDE" && name != "STORE" {
			t.Errorf("%s was made", name)
		}
	}
	if actions, err := ApplyMark(t.Context(), js, 1); err != nil || len(actions) != 1 {
		t.Errorf("a stream that none overlaps: %v, %v", actions, err)
	}
}

// A requests stream of an earlier version takes no priorities. That is said, and breaks
// nothing; any other subject does.
func TestSetup_aStreamWithoutPriorities(t *testing.T) {
	t.Parallel()
	js := natstest.JetStream(t, natstest.StartBare(t).Connect(t))
	if _, err := Setup(t.Context(), js, 1, Parts{}); err != nil {
		t.Fatal(err)
	}
	noted := func() string {
		t.Helper()
		actions, err := Setup(t.Context(), js, 1, Parts{})
		if err != nil {
			t.Fatal(err)
		}
		var notes string
		for _, action := range actions {
			if action.Note != "" && action.Name != publisher.RequestsStream {
				t.Errorf("%s: %s", action.Name, action.Note)
			}
			notes += action.Note
		}
		return notes
	}
	if note := noted(); note != "" {
		t.Errorf("of the shipped stream: %q", note)
	}
	edit := func(subjects ...string) {
		t.Helper()
		config := natstest.Stream(t, js, publisher.RequestsStream).CachedInfo().Config
		config.Subjects = subjects
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	edit("backup.request.*")
	if note := noted(); !strings.Contains(note, "--subjects 'backup.request.*,backup.request.*.high,backup.request.*.low'") {
		t.Errorf("%q does not say how priorities are added", note)
	}
	if _, err := Apply(t.Context(), js, 1, false); err != nil {
		t.Errorf("a service does not start with such a stream: %v", err)
	}
	for _, subjects := range [][]string{{"backup.request.>"}, {"backup.request.*.high"}, {"backup.request.*", "other"}} {
		edit(subjects...)
		if _, err := Apply(t.Context(), js, 1, false); err == nil {
			t.Errorf("%v are taken for those of the queue", subjects)
		}
	}
}

// The contract with operators and with the protocol, in the shipped files.
func TestShippedDefinitions(t *testing.T) {
	t.Parallel()
	js := natstest.JetStream(t, natstest.StartBare(t).Connect(t))
	if _, err := Apply(t.Context(), js, 1, true); err != nil {
		t.Fatal(err)
	}
	config := func(name string) jetstream.StreamConfig {
		s := natstest.Stream(t, js, name)
		return s.CachedInfo().Config
	}
	if c := config(publisher.RequestsStream); c.Retention != jetstream.WorkQueuePolicy || c.Discard != jetstream.DiscardNew ||
		c.Duplicates != 10*time.Minute || c.MaxAge != 0 ||
		!slices.Equal(c.Subjects, []string{"backup.request.*", "backup.request.*.high", "backup.request.*.low"}) {
		t.Errorf("%+v", c)
	}
	if c := config(publisher.EventsStream); c.AllowDirect || !c.DenyDelete || !c.DenyPurge || c.MaxAge != 90*24*time.Hour || c.Subjects[0] != "backup.event.>" {
		t.Errorf("%+v", c)
	}
	if c := config(publisher.DeadLetterStream); c.MaxAge != 90*24*time.Hour || c.Subjects[0] != "backup.dlq.*" {
		t.Errorf("%+v", c)
	}
	consumer, err := js.Consumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	if c := consumer.CachedInfo().Config; c.AckPolicy != jetstream.AckExplicitPolicy || c.AckWait != 2*time.Second ||
		c.MaxDeliver != -1 || c.MaxAckPending != 1024 || len(c.BackOff) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestApplyRefusesDriftThatBreaksGuarantees(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream string
		change func(*jetstream.StreamConfig)
		want   string // "" when the change is the operator's choice
	}{
		"direct reads":      {publisher.EventsStream, func(c *jetstream.StreamConfig) { c.AllowDirect = true }, "allow_direct"},
		"purge":             {publisher.EventsStream, func(c *jetstream.StreamConfig) { c.DenyPurge = false }, "deny_purge"},
		"requests age":      {publisher.RequestsStream, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour; c.Duplicates = time.Minute }, "max_age"},
		"drop old requests": {publisher.RequestsStream, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "discard"},
		"other subjects":    {publisher.RequestsStream, func(c *jetstream.StreamConfig) { c.Subjects = []string{"backup.request.billing"} }, "subjects"},
		"events age":        {publisher.EventsStream, func(c *jetstream.StreamConfig) { c.MaxAge = 7 * 24 * time.Hour }, ""},
		"events short age":  {publisher.EventsStream, func(c *jetstream.StreamConfig) { c.MaxAge = 24 * time.Hour }, "max_age"},
		"events number":     {publisher.EventsStream, func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 }, "max_msgs"},
		"events size":       {publisher.EventsStream, func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, "max_bytes"},
		"events per key":    {publisher.EventsStream, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }, "max_msgs_per_subject"},
		"dead letters size": {publisher.DeadLetterStream, func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, ""},
		"description":       {publisher.DeadLetterStream, func(c *jetstream.StreamConfig) { c.Description = "ours" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := natstest.JetStream(t, natstest.Start(t).Connect(t))
			stream := natstest.Stream(t, js, c.stream)
			changed := stream.CachedInfo().Config
			c.change(&changed)
			if changed.DenyPurge != stream.CachedInfo().Config.DenyPurge { // cannot be updated
				if err := js.DeleteStream(t.Context(), c.stream); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := js.CreateOrUpdateStream(t.Context(), changed); err != nil {
				t.Fatal(err)
			}
			_, err := Apply(t.Context(), js, 1, true)
			drift, isDrift := errors.AsType[*DriftError](err)
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if !isDrift || len(drift.Differences) != 1 || !strings.Contains(drift.Differences[0], c.stream+": "+c.want) {
				t.Errorf("got %v, want one difference about %s", err, c.want)
			}
		})
	}
}

// A new events stream keeps events for as long as it is told to. One that exists is not changed.
func TestSetup_eventsMaxAge(t *testing.T) {
	t.Parallel()
	js := natstest.JetStream(t, natstest.StartBare(t).Connect(t))
	const age = 336 * time.Hour
	for _, want := range []struct {
		age  time.Duration
		note string
	}{{age, ""}, {100 * time.Hour, "it keeps events for 336h0m0s"}, {0, ""}} {
		actions, err := Setup(t.Context(), js, 1, Parts{EventsMaxAge: want.age})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range actions {
			if a.Name == publisher.EventsStream && !strings.Contains(a.Note, want.note) || want.note == "" && a.Note != "" {
				t.Errorf("with %s it says %+v, want %q", want.age, a, want.note)
			}
		}
		if got := natstest.Stream(t, js, publisher.EventsStream).CachedInfo().Config.MaxAge; got != age {
			t.Errorf("with %s events are kept for %s", want.age, got)
		}
		if got := natstest.Stream(t, js, publisher.DigestStream).CachedInfo().Config.MaxAge; got != age {
			t.Errorf("with %s digests are kept for %s", want.age, got)
		}
	}
}
