package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/queue"
	"backhaul/cmd/internal/show"
	"backhaul/consumer/trigger"
)

// triggerStatus is what waits for `backhaul trigger`.
type triggerStatus struct {
	// Error says why it is not to be seen; the rest is nil then.
	Error string `json:"error,omitempty"`
	*queue.Trigger
	OldestAgeSeconds *float64 `json:"oldestAgeSeconds,omitempty"`
}

// lookAtTrigger returns nil where there are no notifications. A user of the service
// need not be permitted to look at the trigger, so a refusal is part of the answer.
func lookAtTrigger(ctx context.Context, js jetstream.JetStream, now time.Time) (*triggerStatus, error) {
	seen, err := lookAt(ctx, js, queue.LookAtTrigger)
	switch {
	case errors.Is(err, errNotPermitted):
		return &triggerStatus{Error: err.Error()}, nil
	case err != nil, seen == nil:
		return nil, err
	}
	age := seen.Age(now).Round(time.Millisecond).Seconds()
	return &triggerStatus{Trigger: seen, OldestAgeSeconds: &age}, nil
}

func (s *triggerStatus) print(t table, now time.Time) {
	switch {
	case s == nil:
		return
	case s.Error != "":
		t.row("trigger", s.Error)
		return
	}
	t.row("trigger", fmt.Sprintf("%d notifications waiting, %d in flight", s.Waiting, s.InFlight))
	if !s.Oldest.IsZero() {
		t.row("  oldest", fmt.Sprintf("%s, %s ago", stamp(s.Oldest), ago(s.Age(now))))
	}
	if r := s.Reader; r != nil && r.Owner != "" {
		t.row("  read by", plainText(r.Owner))
	}
	if r := s.Reader; r == nil {
		t.row("  windows", "not known: no replica says that it reads")
	} else {
		windows := fmt.Sprintf("%d open, with %s", r.Windows, show.Count(r.Changes, "change"))
		if !r.Oldest.IsZero() {
			windows += fmt.Sprintf(", the oldest %s ago", ago(max(now.Sub(r.Oldest), 0)))
		}
		if r.Held > 0 {
			windows += fmt.Sprintf("; %d wait for a job of their content group", r.Held)
		}
		if r.Blackout > 0 {
			windows += fmt.Sprintf("; %d wait for the end of a blackout", r.Blackout)
		}
		t.row("  windows", windows)
		t.row("  asked for", fmt.Sprintf("%s of %s, since %s", show.Count(r.Asked.Requests, "request"), show.Count(r.Asked.Changes, "change"), stamp(r.Asked.Since)))
	}
	if r := s.Reader; r != nil {
		if r.Unrouted != nil {
			t.row("  no route", unroutedText(r.Unrouted))
		}
		for _, w := range r.Waits {
			t.row("  waits", fmt.Sprintf("%s, for %s: %s", plainText(w.ContentGroup), ago(max(now.Sub(w.Since), 0)), plainText(w.Why)))
		}
		for _, c := range r.Conditions {
			t.row("  condition", c.Name+": "+plainText(c.Text))
		}
	}
	t.row("  last decision", decisionText(s.LastDecision, now))
}

func decisionText(d *trigger.Decision, now time.Time) string {
	if d == nil {
		return "none"
	}
	text := fmt.Sprintf("%s, %s ago", stamp(d.At), ago(max(now.Sub(d.At), 0)))
	switch {
	case d.RequestID != "":
		text += fmt.Sprintf(": %d changes of %s are %s", d.Changes, d.ContentGroup, d.RequestID)
	case d.ContentGroup != "":
		text += fmt.Sprintf(": nothing was left of %s", d.ContentGroup)
	}
	return text
}
