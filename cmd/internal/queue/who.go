package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/schemas"
)

// PausedBy is who paused the queue, or ended a pause a moment ago.
type PausedBy struct {
	Action schemas.Action `json:"action,omitempty"`
	Actor  string         `json:"actor,omitempty"`
	Reason string         `json:"reason,omitempty"`
	At     time.Time      `json:"at,omitzero"`
	// Vendor is true if the pause ends when the wait does that the vendor asked for.
	Vendor bool `json:"vendor,omitempty"`
	// VendorWait is the wait that the vendor asked for, nil if none is on record and in force. An
	// operator's pause may be longer.
	VendorWait *consumer.VendorWait `json:"vendorWait,omitempty"`
	// Unrecorded is true when neither the vendor's wait nor an operator's pause ends then: the
	// consumer was paused with another tool, or by a replica of a version without the record.
	Unrecorded bool `json:"unrecorded,omitempty"`
}

// pauseSlack is how far the ends of one pause may lie apart, reckoned from answers
// that came one after another.
const pauseSlack = 2 * time.Second

// WhoPaused finds who made a pause that ends at until. now is the server's time. Who asked for less
// afterwards has the same end on record, so the first operator counts.
func WhoPaused(ctx context.Context, js jetstream.JetStream, now, until time.Time) (*PausedBy, error) {
	near := func(t time.Time) bool { return t.Sub(until).Abs() <= pauseSlack }
	wait, err := vendorWait(ctx, js, now)
	if err != nil {
		return nil, err
	}
	if wait != nil && near(wait.Until) {
		return &PausedBy{Vendor: true, VendorWait: wait}, nil
	}
	who := &PausedBy{Unrecorded: true}
	err = eventlog.Read(ctx, js, eventlog.Query{
		Filters: []string{publisher.OperatorSubject(schemas.ActionPause), publisher.OperatorSubject(schemas.ActionResume)},
		Since:   now.Add(-LongestPause),
		Operators: func(e eventlog.OperatorEvent) error {
			ends := e.Pause.Until
			if e.Action == schemas.ActionResume { // whatever was before is over
				ends, who = e.Stored.Add(consumer.ResumeGrace), &PausedBy{Unrecorded: true}
			}
			if near(ends) && who.Action != schemas.ActionPause {
				who = &PausedBy{Action: e.Action, Actor: e.Actor, Reason: e.Reason, At: e.At}
			}
			return nil
		},
	}, func(eventlog.Event) error { return nil })
	who.VendorWait = wait
	return who, err
}

// vendorWait returns the wait that the vendor asked for, nil if none is in force.
func vendorWait(ctx context.Context, js jetstream.JetStream, now time.Time) (*consumer.VendorWait, error) {
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", publisher.EventsStream, err)
	}
	wait, err := consumer.LastVendorWait(ctx, events)
	if err != nil || !wait.Until.After(now) {
		return nil, err
	}
	return &wait, nil
}

// Text goes on from when the pause ends, "" if p is nil.
func (p *PausedBy) Text() string {
	var text string
	switch {
	case p == nil:
		return ""
	case p.Vendor:
		return ", because the vendor asked for it" + answerOf(p.VendorWait)
	case p.Unrecorded:
		text = ", by no operator on record: the vendor asked, or another tool did it"
	case p.Action == schemas.ActionResume:
		text = ", resumed by " + p.Actor
	default:
		text = ", by " + p.Actor
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	if w := p.VendorWait; w != nil {
		text += "; the vendor asked to wait until " + w.Until.UTC().Format(time.RFC3339) + answerOf(w)
	}
	return text
}

// answerOf returns the answer that asked for a wait, in brackets.
func answerOf(w *consumer.VendorWait) string {
	if w.By == "" {
		return ""
	}
	return " (" + w.By + ")"
}
